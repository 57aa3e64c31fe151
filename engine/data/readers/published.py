"""Readers of published data sets with label images: iSAID, LoveDA, Dubai land cover."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...geo.image_file import read_codes
from ..chip_folder import IGNORE_INDEX
from ..instances import PolygonPart
from .codes import Color, MaskCodes, MaskLoader, color_text, parse_color
from .dataset import (
    Dataset,
    DatasetImage,
    ImageLabels,
    image_files,
    make_classes,
    nothing_found,
)

ISAID_COLORS: Mapping[str, Color] = {
    "ship": (0, 0, 63),
    "storage tank": (0, 63, 63),
    "baseball diamond": (0, 63, 0),
    "tennis court": (0, 63, 127),
    "basketball court": (0, 63, 191),
    "ground track field": (0, 63, 255),
    "bridge": (0, 127, 63),
    "large vehicle": (0, 127, 127),
    "small vehicle": (0, 0, 127),
    "helicopter": (0, 0, 191),
    "swimming pool": (0, 0, 255),
    "roundabout": (0, 191, 127),
    "soccer ball field": (0, 127, 191),
    "plane": (0, 127, 255),
    "harbor": (0, 100, 155),
}
ISAID_TILE_PX, ISAID_OVERLAP_PX = 896, 384
LOVEDA_COLORS: Mapping[str, Color] = {
    "building": (255, 0, 0),
    "road": (255, 255, 0),
    "water": (0, 0, 255),
    "barren": (159, 129, 183),
    "forest": (0, 255, 0),
    "agriculture": (255, 195, 128),
}
DUBAI_COLORS = {
    "building": "#3C1098",
    "land (unpaved)": "#8429F6",
    "road": "#6EC1E4",
    "vegetation": "#FEDD3A",
    "water": "#E2A929",
}
DUBAI_UNLABELED = "#9B9B9B"


@dataclass(frozen=True)
class _IsaidLoader:
    """Reads classes and, where there are masks of ids, objects of one image of iSAID."""

    semantic: MaskLoader
    ids: Path | None

    def __call__(self, height: int, width: int) -> ImageLabels:
        mask = self.semantic(height, width).mask
        if mask is None or self.ids is None:
            return ImageLabels(mask)
        codes, _ = read_codes(self.ids)
        packed = codes[:3].astype(np.int32)
        return ImageLabels(mask, id_parts(packed[0] << 16 | packed[1] << 8 | packed[2], mask))


def id_parts(ids: NDArray[np.int32], classes: NDArray[np.uint8]) -> list[PolygonPart]:
    """Return the objects of an image of ids; the class of each is that of most of its pixels.

    Args:
        ids: Number of the object of each pixel, 0 for none, ``[H, W]``.
        classes: Class ids ``[H, W]``.
    """
    numbers, flat = np.unique(ids, return_inverse=True)
    flat = flat.ravel()
    order = np.argsort(flat, kind="stable")
    starts = np.searchsorted(flat[order], np.arange(len(numbers) + 1))
    parts = []
    for index, number in enumerate(numbers):
        if number == 0:
            continue
        pixels = order[starts[index] : starts[index + 1]]
        rows, cols = np.divmod(pixels, ids.shape[1])
        counts = np.bincount(classes.ravel()[pixels], minlength=IGNORE_INDEX + 1)
        class_id = int(counts.argmax())
        if class_id in (0, IGNORE_INDEX):
            continue
        top, left = int(rows.min()), int(cols.min())
        mask = np.zeros((int(rows.max()) - top + 1, int(cols.max()) - left + 1), dtype=bool)
        mask[rows - top, cols - left] = True
        parts.append(PolygonPart(class_id, float(len(pixels)), top, left, mask))
    return parts


def read_isaid(root: Path) -> Dataset:
    """Read iSAID: ``{train,val}/images/P0000.png`` with ``P0000_instance_color_RGB.png``.

    The masks may lie beside the images or anywhere below the folder of the part. Objects come
    from ``P0000_instance_id_RGB.png`` where they are there. The colours are those of the devkit.

    Raises:
        LabelError: If the layout is another one.
    """
    by_color = {color: i for i, color in enumerate(ISAID_COLORS.values(), 1)} | {(0, 0, 0): 0}
    codes = MaskCodes(by_color=by_color)
    images, whole = [], True
    for split in ("train", "val"):
        files = image_files(root / split)
        colors = {p.name.split("_")[0]: p for p in files if p.stem.endswith("_color_RGB")}
        ids = {p.name.split("_")[0]: p for p in files if p.stem.endswith("_id_RGB")}
        for path in files:
            if path.stem not in colors:
                continue
            mask = colors[path.stem]
            loader = _IsaidLoader(codes.loader(mask), ids.get(path.stem))
            whole &= loader.ids is not None
            images.append(DatasetImage(path, path.stem, loader, split, labels=mask))
    if not images:
        layout = "train/images/P0000.png, P0000_instance_color_RGB.png; val likewise"
        raise nothing_found(root, "images of iSAID with masks", layout)
    classes = make_classes(ISAID_COLORS, map(color_text, ISAID_COLORS.values()))
    task = "both" if whole else "semantic"
    licenses = {"data": "iSAID and DOTA: academic use only"}
    return Dataset(classes, tuple(images), task, ISAID_TILE_PX, ISAID_OVERLAP_PX, licenses)


def read_loveda(root: Path) -> Dataset:
    """Read LoveDA: ``{Train,Val}/{Urban,Rural}/images_png/N.png`` and ``masks_png/N.png``.

    Values 1 to 7 are background to agriculture; 0 is unknown. Images of 1024 pixels stay whole.

    Raises:
        LabelError: If the layout is another one.
    """
    codes = MaskCodes(by_value={value: value - 1 for value in range(1, 8)})
    images = []
    for split in ("train", "val"):
        for scene in ("rural", "urban"):
            pictures = _any_case(root, split, scene, "images_png")
            masks = _any_case(root, split, scene, "masks_png")
            if pictures is None or masks is None:
                continue
            by_stem = {p.stem: p for p in image_files(masks)}
            for path in image_files(pictures):
                if path.stem in by_stem:
                    loader = codes.loader(by_stem[path.stem])
                    name = f"{scene}_{path.stem}"
                    images.append(DatasetImage(path, name, loader, split, labels=loader.path))
    if not images:
        layout = "Train/Urban/images_png/N.png and masks_png/N.png; Val likewise"
        raise nothing_found(root, "images of LoveDA", layout)
    classes = make_classes(LOVEDA_COLORS, map(color_text, LOVEDA_COLORS.values()))
    licenses = {"data": "CC BY-NC-SA 4.0"}
    return Dataset(classes, tuple(images), "semantic", licenses=licenses, gsd_m=0.3)


def _any_case(root: Path, *names: str) -> Path | None:
    """Return a folder whose parts may be written in any case."""
    folder = root
    for name in names:
        if not folder.is_dir():
            return None
        found = [p for p in sorted(folder.iterdir()) if p.is_dir() and p.name.lower() == name]
        if not found:
            return None
        folder = found[0]
    return folder


def read_dubai(root: Path) -> Dataset:
    """Read the land cover of Dubai: ``Tile_N/images/image_part_001.jpg`` and ``masks/*.png``.

    The colours are those of the masks, which differ from the ``classes.json`` of the set. Black
    (no data) is unknown; grey (unlabelled) is background. Images of one tile stay together.

    Raises:
        LabelError: If the layout is another one.
    """
    texts = {**DUBAI_COLORS, "background": DUBAI_UNLABELED}
    colors = {name: parse_color(text) for name, text in texts.items()}
    ids = {name: i for i, name in enumerate(DUBAI_COLORS, 1)} | {"background": 0}
    codes = MaskCodes(by_color={c: ids[name] for name, c in colors.items() if c is not None})
    images = []
    for folder in sorted(p for p in root.rglob("images") if p.is_dir()):
        masks = {p.stem: p for p in image_files(folder.parent / "masks")}
        for path in image_files(folder):
            if path.stem in masks:
                loader = codes.loader(masks[path.stem])
                group = folder.parent.name
                name, amounts = f"{group}_{path.stem}", loader.amounts
                images.append(DatasetImage(path, name, loader, "", group, amounts, loader.path))
    if not images:
        layout = "Tile_N/images/image_part_001.jpg and Tile_N/masks/image_part_001.png"
        raise nothing_found(root, "images of the Dubai land cover", layout)
    classes = make_classes(DUBAI_COLORS, [color.lower() for color in DUBAI_COLORS.values()])
    return Dataset(classes, tuple(images), "semantic", 512, 0, {"data": "CC0 1.0"})
