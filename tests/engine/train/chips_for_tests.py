"""Small folders of chips made by hand: bright objects on dark, noisy ground."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from engine.data.rle import encode_mask

IGNORED = 255


@dataclass(frozen=True)
class Look:
    """How chips look.

    Attributes:
        side_px: Side of the chips.
        bands: Bands.
        dtype: Data type of the images.
        classes: Names of the classes, background first; objects take the others in turn.
        nodata_columns: First columns that hold no data and are unknown ground.
    """

    side_px: int = 32
    bands: int = 3
    dtype: str = "uint8"
    classes: tuple[str, ...] = ("background", "object")
    nodata_columns: int = 0

    @property
    def top(self) -> int:
        return 60000 if self.dtype == "uint16" else 200

    @property
    def known_ratio(self) -> float:
        return 1 - self.nodata_columns / self.side_px


def draw_objects(side_px: int, rng: np.random.Generator, count: int = 2) -> NDArray[np.bool_]:
    """Return ``count`` rectangles that do not touch, bool ``[n, H, W]``, one per column strip."""
    masks = np.zeros((count, side_px, side_px), bool)
    strip = side_px // max(1, count)
    for index in range(count):
        rows, cols = (int(rng.integers(side // 3, side // 2 + 1)) for side in (side_px, strip))
        row = int(rng.integers(1, side_px - rows))
        col = index * strip + int(rng.integers(1, max(2, strip - cols)))
        masks[index, row : row + rows, col : col + cols] = True
    return masks


def write_chips(folder: Path, splits: dict[str, int], *, empty: int = 0, **look: Any) -> Path:
    """Write a folder of chips; the brightest pixels of all bands are the objects.

    Args:
        folder: Folder to make.
        splits: Chips per part.
        empty: Chips of the training part that hold no object (the last ones).
        look: Fields of :class:`Look`.
    """
    chosen, rng = Look(**look), np.random.default_rng(7)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    chips, annotations = [], []
    for split, count in splits.items():
        for number in range(count):
            bare = split == "train" and number >= count - empty
            masks = draw_objects(chosen.side_px, rng, 0 if bare else 2)
            chip, objects = _write_chip(folder, f"{split}_{number}", masks, chosen, rng)
            chips.append({**chip, "split": split, "row_off": number * chosen.side_px})
            annotations.append(objects)
    _write_annotations(folder, chips, annotations, chosen)
    record = _description(chips, splits, chosen)
    (folder / "chips.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def _write_chip(
    folder: Path, name: str, masks: NDArray[np.bool_], look: Look, rng: np.random.Generator
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write image and mask of a chip; return its record and its annotations without ids."""
    side = look.side_px
    ids = [1 + i % (len(look.classes) - 1) for i in range(len(masks))]
    label = np.zeros((side, side), np.uint8)
    image = rng.uniform(0.1, 0.3, (look.bands, side, side))
    for mask, class_id in zip(masks, ids, strict=True):
        label[mask] = class_id
        image[:, mask] = 0.9 - 0.3 * (class_id - 1)
    label[:, : look.nodata_columns] = IGNORED
    pixels = (image * look.top).astype(look.dtype)
    _write(folder / "images" / f"{name}.tif", pixels, look.nodata_columns)
    _write(folder / "masks" / f"{name}.tif", label[None], 0)
    values, counts = np.unique(label[label != IGNORED], return_counts=True)
    chip = {
        "name": name,
        "source": 0,
        "col_off": 0,
        "height_px": side,
        "width_px": side,
        "valid_ratio": look.known_ratio,
        "labelled_ratio": look.known_ratio,
        "class_pixels": {str(int(v)): int(n) for v, n in zip(values, counts, strict=True)},
        "instances": len(masks),
        "annotations": [0, 0],
    }
    return chip, [_annotation(mask, i) for mask, i in zip(masks, ids, strict=True)]


def _annotation(mask: NDArray[np.bool_], class_id: int) -> dict[str, Any]:
    rows, cols = np.nonzero(mask)
    corner = [int(cols.min()), int(rows.min())]
    return {
        "category_id": class_id,
        "segmentation": encode_mask(mask),
        "area": int(mask.sum()),
        "bbox": [*corner, int(np.ptp(cols)) + 1, int(np.ptp(rows)) + 1],
        "iscrowd": 0,
    }


def _write_annotations(
    folder: Path,
    chips: list[dict[str, Any]],
    annotations: list[list[dict[str, Any]]],
    look: Look,
) -> None:
    """Write the COCO record, and into each chip where its lines are."""
    images = [
        {
            "id": number,
            "file_name": f"images/{chip['name']}.tif",
            "width": chip["width_px"],
            "height": chip["height_px"],
            "split": chip["split"],
        }
        for number, chip in enumerate(chips, 1)
    ]
    categories = [{"id": i, "name": n} for i, n in enumerate(look.classes) if i]
    text = json.dumps({"images": images, "categories": categories})[:-1] + ', "annotations": [\n'
    filled = [(i, c, a) for (i, c), a in zip(enumerate(chips, 1), annotations, strict=True) if a]
    for index, (image_id, chip, objects) in enumerate(filled):
        own = [{"id": 100 * image_id + n, "image_id": image_id, **a} for n, a in enumerate(objects)]
        line = ",\n".join(json.dumps(a) for a in own)
        chip["annotations"] = [len(text.encode()), len(line.encode())]
        text += line + (",\n" if index < len(filled) - 1 else "\n")
    (folder / "annotations.json").write_text(text + "]}", encoding="utf-8")


def _description(chips: list[dict[str, Any]], splits: dict[str, int], look: Look) -> dict[str, Any]:
    top = look.top
    spread = {"mean": 0.3 * top, "std": 0.25 * top, "min": 0, "max": top, "p2": 0, "p98": top}
    return {
        "format": "rs-segment-chips",
        "version": 1,
        "task": "both",
        "classes": [
            {"id": i, "name": n, "color": f"#{(i * 80) % 256:02x}8040", "background": i == 0}
            for i, n in enumerate(look.classes)
        ],
        "ignore_index": IGNORED,
        "tile_px": look.side_px,
        "gsd_m": 0.5,
        "dtype": look.dtype,
        "bands": [{"name": f"band {b}", **spread} for b in range(look.bands)],
        "splits": splits,
        "chips": chips,
        "sources": [],
        "split": {"by": "block", "seed": 0},
        "leak_check": {"shared_pixels": 0},
        "licenses": {},
        "job": {},
        "engine": "0.1.0",
    }


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
