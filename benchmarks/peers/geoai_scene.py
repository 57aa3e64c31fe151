"""geoai: predict_geotiff and raster_to_vector with their own defaults."""

import geoai
import numpy as np
from geoai.inference import predict_geotiff
from peer_network import BATCH, CLASSES, OUT_GPKG, OUT_TIF, OVERLAP_PX, RASTER, TILE_PX, timed


def run(network):
    """Segment the raster into a class raster and polygons."""
    predict_geotiff(
        model=network,
        input_raster=str(RASTER),
        output_raster=str(OUT_TIF),
        tile_size=TILE_PX,
        overlap=OVERLAP_PX,
        batch_size=BATCH,
        num_classes=CLASSES,
        output_dtype="uint8",
        output_nodata=255,
        preprocess_fn=lambda tile: tile.astype(np.float32) / 255,
        postprocess_fn=lambda scores: scores.argmax(axis=0)[None].astype(np.uint8),
        device="cpu",
        verbose=False,
    )
    geoai.raster_to_vector(str(OUT_TIF), str(OUT_GPKG), output_format="gpkg")


timed(run)
