"""Readers of the ISPRS benchmark of semantic labelling: Potsdam and Vaihingen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from .codes import Color, MaskCodes, color_text
from .dataset import (
    Dataset,
    DatasetImage,
    find_folder,
    image_files,
    make_classes,
    nothing_found,
)

ISPRS_COLORS: Mapping[str, Color] = {
    "impervious surface": (255, 255, 255),
    "building": (0, 0, 255),
    "low vegetation": (0, 255, 255),
    "tree": (0, 255, 0),
    "car": (255, 255, 0),
}
ISPRS_CLUTTER: Color = (255, 0, 0)
ISPRS_TILE_PX = 512
POTSDAM_TEST = frozenset(
    (
        *("2_13", "2_14", "3_13", "3_14", "4_13", "4_14", "4_15"),
        *("5_13", "5_14", "5_15", "6_13", "6_14", "6_15", "7_13"),
    )
)
POTSDAM_FAULTY = frozenset({"7_10"})
VAIHINGEN_TEST = frozenset(
    str(n) for n in (2, 4, 6, 8, 10, 12, 14, 16, 20, 22, 24, 27, 29, 31, 33, 35, 38)
)


def read_potsdam(root: Path) -> Dataset:
    """Read ISPRS Potsdam: ``2_Ortho_RGB/top_potsdam_2_10_RGB.tif``, ``5_Labels_all``.

    The 14 images of the benchmark's test are ``test``; 7_10, whose labels are faulty, is left
    out. Images with four bands (``4_Ortho_RGBIR``) are taken if the others are not there.

    Raises:
        LabelError: If the layout is another one.
    """
    pictures = find_folder(root, "2_Ortho_RGB", "3_Ortho_IRRG", "4_Ortho_RGBIR", "images")
    labels = find_folder(root, "5_Labels_all", "5_Labels_for_participants", "Labels_all", "labels")
    return _isprs(
        root,
        (pictures, labels),
        key=lambda path: "_".join(path.stem.split("_")[2:4]),
        test=POTSDAM_TEST,
        left_out=POTSDAM_FAULTY,
        gsd_m=0.05,
    )


def read_vaihingen(root: Path) -> Dataset:
    """Read ISPRS Vaihingen: ``top/top_mosaic_09cm_area1.tif`` and the ground truth of that name.

    The 17 images of the benchmark's test are ``test``.

    Raises:
        LabelError: If the layout is another one.
    """
    pictures = find_folder(root, "top", "images")
    labels = find_folder(
        root,
        "_".join(("ISPRS_semantic_labeling_Vaihingen", "ground_truth_COMPLETE")),
        "gts_for_participants",
        "gts",
        "labels",
    )
    return _isprs(
        root,
        (pictures, labels),
        key=lambda path: path.stem.split("area")[-1].split("_")[0],
        test=VAIHINGEN_TEST,
        left_out=frozenset(),
        gsd_m=0.09,
    )


def _isprs(
    root: Path,
    folders: tuple[Path | None, Path | None],
    *,
    key: Callable[[Path], str],
    test: frozenset[str],
    left_out: frozenset[str],
    gsd_m: float,
) -> Dataset:
    """Return a data set of the ISPRS benchmark; clutter is background."""
    by_color = {color: i for i, color in enumerate(ISPRS_COLORS.values(), 1)} | {ISPRS_CLUTTER: 0}
    codes = MaskCodes(by_color=by_color, snap=True)
    pictures, labels = folders
    images = []
    if pictures is not None and labels is not None:
        by_key = {key(p): p for p in image_files(labels) if p.suffix.lower() in (".tif", ".png")}
        for path in image_files(pictures):
            name = key(path)
            if name in by_key and name not in left_out:
                loader = codes.loader(by_key[name])
                split = "test" if name in test else "train"
                amounts = loader.amounts
                item = DatasetImage(path, path.stem, loader, split, "", amounts, loader.path)
                images.append(item)
    if not images:
        layout = "a folder of orthophotos and one of label images, as published"
        raise nothing_found(root, "images of the ISPRS benchmark with labels", layout)
    classes = make_classes(
        ISPRS_COLORS, map(color_text, ISPRS_COLORS.values()), background="clutter"
    )
    licenses = {"data": "ISPRS benchmark: research"}
    return Dataset(classes, tuple(images), "semantic", ISPRS_TILE_PX, 0, licenses, gsd_m)
