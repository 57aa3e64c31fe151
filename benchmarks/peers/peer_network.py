"""What the peers' scripts share: the same network, class raster to polygons, the clock."""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch

warnings.filterwarnings("ignore")

RASTER, WEIGHTS, FOLDER = (Path(a) for a in sys.argv[1:4])
TILE_PX, OVERLAP_PX, CLASSES, BATCH = 512, 64, 2, 4
OUT_TIF, OUT_GPKG = FOLDER / "classes.tif", FOLDER / "polygons.gpkg"


def load_network():
    """Return U-Net on ResNet-18 as segmentation_models_pytorch ships it, in float32."""
    network = smp.Unet("resnet18", encoder_weights=None, classes=CLASSES)
    network.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return network.eval()


def polygons_by_shapes():
    """Write the polygons of the class raster as tutorials do: shapes, geopandas, one write."""
    import geopandas
    import rasterio
    from rasterio import features
    from shapely.geometry import shape

    with rasterio.open(OUT_TIF) as raster:
        labels, crs, transform = raster.read(1), raster.crs, raster.transform
    found = [
        (shape(outline), int(value))
        for outline, value in features.shapes(labels, mask=labels > 0, transform=transform)
    ]
    outlines = [outline for outline, _ in found]
    values = [value for _, value in found]
    frame = geopandas.GeoDataFrame({"class_id": values}, geometry=outlines, crs=crs)
    frame.to_file(OUT_GPKG)


def write_classes(labels):
    """Write the class raster beside the input's georeference."""
    import rasterio

    with rasterio.open(RASTER) as raster:
        profile = raster.profile
    profile.update(count=1, dtype="uint8", compress="deflate", nodata=None, photometric=None)
    profile = {name: value for name, value in profile.items() if value is not None}
    with rasterio.open(OUT_TIF, "w", **profile) as raster:
        raster.write(labels.astype(np.uint8), 1)


def timed(run):
    """Run once after a warm-up of the network and print the seconds as JSON."""
    torch.set_num_threads(len(__import__("os").sched_getaffinity(0)))
    network = load_network()
    with torch.inference_mode():
        network(torch.zeros(1, 3, TILE_PX, TILE_PX))
    begin = time.perf_counter()
    with torch.inference_mode():
        run(network)
    print(json.dumps({"seconds": time.perf_counter() - begin}))
