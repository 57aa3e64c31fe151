"""Small rasters and model folders with known truth, made with GDAL and the standard library."""

from __future__ import annotations

import json
import os
import struct
from hashlib import sha256
from pathlib import Path

from osgeo import gdal, osr

gdal.UseExceptions()

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("RS_SEGMENT_PYTHON", str(ROOT / ".venv/bin/python"))
ROWS, COLS = 37, 61
PIXEL_X_M, PIXEL_Y_M = 2.0, 1.0
PIXEL_M2 = PIXEL_X_M * PIXEL_Y_M
WEST, NORTH = 400_000.0, 5_200_000.0
EPSG = 32633
ODD_GRID = (WEST, PIXEL_X_M, 0.0, NORTH, 0.0, -PIXEL_Y_M)

LOGIT_SCALE = 64.0


def write_identity(folder: Path, classes: int) -> Path:
    """Write a model of one band whose predicted class is the value of the band.

    The same network as ``tests/factories_models.py`` makes with torch: the logit of class
    ``k`` for the value ``v`` is ``64 (k v - k^2 / 2)``; the weights file is packed by hand.
    """
    folder.mkdir(parents=True)
    numbers = [LOGIT_SCALE * k for k in range(classes)]
    numbers += [-LOGIT_SCALE / 2 * k * k for k in range(classes)]
    half = 4 * classes
    header = {
        "classifier.weight": _tensor([classes, 1, 1, 1], 0, half),
        "classifier.bias": _tensor([classes], half, 2 * half),
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    data = struct.pack("<Q", len(text)) + text + struct.pack(f"<{2 * classes}f", *numbers)
    (folder / "weights.safetensors").write_bytes(data)
    card = {**CARD, "id": folder.name, "title": "Identity", "builder": "pixel_linear"}
    card["classes"] = [
        {"id": k, "name": f"class {k}", "color": f"#{40 * k:02x}8040", "background": k == 0}
        for k in range(classes)
    ]
    digest = sha256(data).hexdigest()
    card["weights"] = {"file": "weights.safetensors", "sha256": digest, "bytes": len(data)}
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def _tensor(shape: list[int], start: int, end: int) -> dict[str, object]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}


CARD = {
    "task": "semantic",
    "builder_args": {},
    "bands": [
        {
            **{"name": "band_1", "scale": 1.0, "offset": 0.0, "mean": 0.0, "std": 1.0},
            "names": ["band_1"],
        }
    ],
    "resolution_m": {"min": 1e-6, "nominal": 1.0, "max": 1e6},
    "tile_px": 64,
    "overlap_px": 16,
    "stride": 1,
    "score_threshold": 0.5,
}


def class_map() -> list[bytearray]:
    """Rows of class ids: a block of class 1 with a hole, and a bar of class 2 beside it."""
    rows = [bytearray(COLS) for _ in range(ROWS)]
    for row in range(5, 20):
        rows[row][10:30] = b"\x01" * 20
        rows[row][30:34] = b"\x02" * 4
    for row in range(9, 13):
        rows[row][15:20] = bytes(5)
    return rows


PIXELS_1 = 15 * 20 - 4 * 5
PIXELS_2 = 15 * 4


def write_raster(
    path: Path,
    rows: list[bytearray],
    *,
    bands: int = 1,
    epsg: int = EPSG,
    transform: tuple[float, ...] = ODD_GRID,
) -> Path:
    """Write the rows as the first of some equal bands; ``epsg`` 0 means no CRS."""
    driver = gdal.GetDriverByName("GTiff")
    data = driver.Create(str(path), len(rows[0]), len(rows), bands, gdal.GDT_Byte)
    data.SetGeoTransform(transform)
    if epsg:
        system = osr.SpatialReference()
        system.ImportFromEPSG(epsg)
        data.SetProjection(system.ExportToWkt())
    pixels = b"".join(bytes(row) for row in rows)
    for number in range(1, bands + 1):
        data.GetRasterBand(number).WriteRaster(0, 0, len(rows[0]), len(rows), pixels)
    data = None
    return path


def write_web_tiles(folder: Path) -> str:
    """Write the four XYZ tiles of zoom 1 and return their QGIS source.

    The pixels are 1 west of the prime meridian and 2 east of it.
    """
    from osgeo import gdal

    driver = gdal.GetDriverByName("MEM")
    for column in (0, 1):
        for row in (0, 1):
            data = driver.Create("", 256, 256, 3)
            data.GetRasterBand(1).Fill(column + 1)
            path = folder / "1" / str(column) / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            gdal.GetDriverByName("PNG").CreateCopy(str(path), data)
    return f"type=xyz&url=file://{folder}/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmin=1&zmax=1"
