"""Cut the shipped sample (raster and labels) out of the Banepa orthophoto's test block.

Usage: ``python scripts/make_sample.py --data FOLDER --output resources/samples``
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyogrio
import rasterio
import shapely
from rasterio.windows import Window

ROW_PX, COL_PX, HEIGHT_PX, WIDTH_PX = 3072, 0, 1024, 1536
RASTER_NAME, LABELS_NAME, LAYER = "banepa.tif", "banepa_buildings.gpkg", "buildings"


def cut_raster(source: Path, target: Path) -> tuple[float, float, float, float]:
    """Write the window without loss; return its bounds (west, south, east, north)."""
    window = Window(COL_PX, ROW_PX, WIDTH_PX, HEIGHT_PX)
    with rasterio.open(source) as raster:
        pixels = raster.read(window=window)
        profile = {
            "driver": "GTiff",
            "dtype": "uint8",
            "count": 3,
            "height": HEIGHT_PX,
            "width": WIDTH_PX,
            "crs": raster.crs,
            "transform": raster.window_transform(window),
            "tiled": True,
            "blockxsize": 256,
            "blockysize": 256,
            "compress": "deflate",
            "predictor": 2,
            "zlevel": 9,
            "photometric": "rgb",
        }
        bounds = raster.window_bounds(window)
    with rasterio.open(target, "w", **profile) as out:
        out.write(pixels)
    west, south, east, north = bounds
    return west, south, east, north


def cut_labels(source: Path, target: Path, bounds: tuple[float, float, float, float]) -> int:
    """Write the polygons inside the bounds, clipped; return their number."""
    meta, _, geometry, columns = pyogrio.raw.read(
        source, bbox=bounds, columns=["osm_id", "building", "class"]
    )
    clipped = shapely.intersection(shapely.from_wkb(geometry), shapely.box(*bounds))
    parts, owner = shapely.get_parts(clipped, return_index=True)
    keep = (shapely.get_type_id(parts) == 3) & ~shapely.is_empty(parts)
    pyogrio.raw.write(
        target,
        geometry=shapely.to_wkb(parts[keep]),
        field_data=[column[owner[keep]] for column in columns],
        fields=meta["fields"],
        layer=LAYER,
        driver="GPKG",
        geometry_type="Polygon",
        crs=meta["crs"],
        dataset_options={"VERSION": "1.2"},  # read without a warning by the GDAL of QGIS 3.22
    )
    return int(keep.sum())


def main() -> None:
    """Read the arguments and cut."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder banepa_buildings")
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    bounds = cut_raster(
        arguments.data / "banepa_orthophoto_rgb.tif", arguments.output / RASTER_NAME
    )
    labels = arguments.output / LABELS_NAME
    labels.unlink(missing_ok=True)
    cut_labels(arguments.data / "banepa_buildings.gpkg", labels, bounds)


if __name__ == "__main__":
    main()
