"""Small folders of chips made by hand: bright objects on dark, noisy ground."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from engine.data.rle import encode_mask

IGNORED = 255


def draw_objects(
    height_px: int, width_px: int, rng: np.random.Generator, count: int = 2
) -> NDArray[np.bool_]:
    """Return ``count`` rectangles that do not touch, bool ``[n, H, W]``, one per column strip."""
    masks = np.zeros((count, height_px, width_px), bool)
    strip = width_px // max(1, count)
    for index in range(count):
        rows, cols = (int(rng.integers(side // 3, side // 2 + 1)) for side in (height_px, strip))
        row = int(rng.integers(1, height_px - rows))
        col = index * strip + int(rng.integers(1, max(2, strip - cols)))
        masks[index, row : row + rows, col : col + cols] = True
    return masks


def write_chips(
    folder: Path,
    splits: dict[str, int],
    *,
    side_px: int = 32,
    bands: int = 3,
    dtype: str = "uint8",
    empty: int = 0,
    classes: tuple[str, ...] = ("background", "object"),
    nodata_columns: int = 0,
) -> Path:
    """Write a folder of chips; the brightest pixels of all bands are the objects.

    Args:
        folder: Folder to make.
        splits: Chips per part.
        side_px: Side of the chips.
        bands: Bands.
        dtype: Data type of the images.
        empty: Chips of the training part that hold no object (the last ones).
        classes: Names of the classes, background first; objects take the others in turn.
        nodata_columns: First columns of each chip that hold no data and are unknown ground.
    """
    rng = np.random.default_rng(7)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    top = 60000 if dtype == "uint16" else 200
    chips: list[dict[str, Any]] = []
    images, annotations, lines = [], [], []
    for split, count in splits.items():
        for number in range(count):
            bare = split == "train" and number >= count - empty
            masks = draw_objects(side_px, side_px, rng, 0 if bare else 2)
            name = f"{split}_{number}"
            ids = [1 + i % (len(classes) - 1) for i in range(len(masks))]
            label = np.zeros((side_px, side_px), np.uint8)
            image = rng.uniform(0.1, 0.3, (bands, side_px, side_px))
            for mask, class_id in zip(masks, ids, strict=True):
                label[mask] = class_id
                image[:, mask] = 0.9 - 0.3 * (class_id - 1)
            label[:, :nodata_columns] = IGNORED
            _write(folder / "images" / f"{name}.tif", (image * top).astype(dtype), nodata_columns)
            _write(folder / "masks" / f"{name}.tif", label[None], 0)
            image_id = len(images) + 1
            images.append(
                {
                    "id": image_id,
                    "file_name": f"images/{name}.tif",
                    "width": side_px,
                    "height": side_px,
                    "split": split,
                }
            )
            own = []
            for mask, class_id in zip(masks, ids, strict=True):
                rows, cols = np.nonzero(mask)
                own.append(
                    {
                        "id": len(annotations) + len(own) + 1,
                        "image_id": image_id,
                        "category_id": class_id,
                        "segmentation": encode_mask(mask),
                        "area": int(mask.sum()),
                        "bbox": [
                            int(cols.min()),
                            int(rows.min()),
                            int(np.ptp(cols)) + 1,
                            int(np.ptp(rows)) + 1,
                        ],
                        "iscrowd": 0,
                    }
                )
            annotations += own
            lines.append(",\n".join(json.dumps(a) for a in own))
            values, counts = np.unique(label[label != IGNORED], return_counts=True)
            chips.append(
                {
                    "name": name,
                    "split": split,
                    "source": 0,
                    "row_off": number * side_px,
                    "col_off": 0,
                    "height_px": side_px,
                    "width_px": side_px,
                    "valid_ratio": 1 - nodata_columns / side_px,
                    "labelled_ratio": 1 - nodata_columns / side_px,
                    "class_pixels": {
                        str(int(v)): int(n) for v, n in zip(values, counts, strict=True)
                    },
                    "instances": len(masks),
                    "annotations": [0, 0],
                }
            )
    _write_annotations(folder, images, classes, lines, chips)
    record = {
        "format": "rs-segment-chips",
        "version": 1,
        "task": "both",
        "classes": [
            {"id": i, "name": n, "color": f"#{(i * 80) % 256:02x}8040", "background": i == 0}
            for i, n in enumerate(classes)
        ],
        "ignore_index": IGNORED,
        "tile_px": side_px,
        "gsd_m": 0.5,
        "dtype": dtype,
        "bands": [
            {
                "name": f"band {b}",
                "mean": 0.3 * top,
                "std": 0.25 * top,
                "min": 0,
                "max": top,
                "p2": 0,
                "p98": top,
            }
            for b in range(bands)
        ],
        "splits": splits,
        "chips": chips,
        "sources": [],
        "split": {"by": "block", "seed": 0},
        "leak_check": {"shared_pixels": 0},
        "licenses": {},
        "job": {},
        "engine": "0.1.0",
    }
    (folder / "chips.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def _write_annotations(
    folder: Path,
    images: list[dict[str, Any]],
    classes: tuple[str, ...],
    lines: list[str],
    chips: list[dict[str, Any]],
) -> None:
    """Write the COCO record, and into each chip where its lines are."""
    categories = [{"id": i, "name": n} for i, n in enumerate(classes) if i]
    text = json.dumps({"images": images, "categories": categories})[:-1] + ', "annotations": [\n'
    filled = [(chip, line) for chip, line in zip(chips, lines, strict=True) if line]
    for index, (chip, line) in enumerate(filled):
        chip["annotations"] = [len(text.encode()), len(line.encode())]
        text += line + (",\n" if index < len(filled) - 1 else "\n")
    (folder / "annotations.json").write_text(text + "]}", encoding="utf-8")


def _write(path: Path, pixels: NDArray[Any], nodata_columns: int) -> None:
    bands, height, width = pixels.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=bands,
        height=height,
        width=width,
        dtype=pixels.dtype,
        crs="EPSG:32645",
        transform=Affine(0.5, 0, 300000, 0, -0.5, 3000000),
    ) as target:
        target.write(pixels)
        if nodata_columns:
            valid = np.full((height, width), 255, np.uint8)
            valid[:, :nodata_columns] = 0
            target.write_mask(valid)
