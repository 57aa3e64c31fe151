"""Reader of folders of images and label images, in the manner of PASCAL VOC."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import LabelError
from ...geo.image_file import read_codes
from ...zoo.card import ClassInfo
from ..class_list import palette_color
from .codes import Color, MaskCodes, color_text, parse_color
from .dataset import Dataset, DatasetImage, image_files, nothing_found, split_of

IMAGE_FOLDERS = ("images", "image", "img", "imgs", "jpegimages", "images_png")
MASK_FOLDERS = (
    *("masks", "mask", "labels", "label", "annotations", "gt", "segmentationclass", "masks_png"),
    "segmentationclassaug",
)
CLASS_FILES = ("classes.json", "labels.json", "class_dict.json")
_SAMPLES = 20
_LAYOUT = "images/NAME.jpg and masks/NAME.png, and a classes.json"


def read_mask_folder(root: Path) -> Dataset:
    """Read images and label images of equal names.

    ``classes.json`` says what values or colours mean: ``{"1": "roof"}``, ``{"#3c1098": "roof"}``,
    ``{"roof": "#3c1098"}``, or a list of ``{"name", "color", "id", "background", "ignore"}``.
    Without it, values are classes of their own; 0 is background and 255 unknown, except in masks
    of only 0 and 255, where 255 is the object. Parts come from folders (``train/images``) or
    from ``ImageSets/Segmentation/train.txt``.

    Raises:
        LabelError: If there is no such pair, or the label images hold too many values.
    """
    pairs = find_pairs(root)
    if not pairs:
        raise nothing_found(root, "images with label images", _LAYOUT)
    file = next((root / name for name in CLASS_FILES if (root / name).is_file()), None)
    classes, codes = _from_file(file) if file else _from_masks([mask for _, mask in pairs])
    lists = _split_lists(root)
    images = []
    for image, mask in pairs:
        loader = codes.loader(mask)
        split = lists.get(image.stem, "") or split_of(image, root)
        item = DatasetImage(
            path=image,
            name=image.stem,
            load=loader,
            split=split,
            amounts=loader.amounts,
            labels=mask,
        )
        images.append(item)
    return Dataset(classes, tuple(images), "semantic")


def find_pairs(root: Path) -> list[tuple[Path, Path]]:
    """Return images and label images: same name, in sibling folders of images and masks."""
    pairs = []
    folders = [root, *(p for p in sorted(root.rglob("*")) if p.is_dir())]
    for folder in folders:
        if folder.name.lower() not in IMAGE_FOLDERS:
            continue
        masks = _mask_folder(folder, root)
        if masks is None:
            continue
        by_stem = {p.relative_to(masks).with_suffix(""): p for p in image_files(masks)}
        for image in image_files(folder):
            mask = by_stem.get(image.relative_to(folder).with_suffix(""))
            if mask is not None:
                pairs.append((image, mask))
    return pairs


def _mask_folder(images: Path, root: Path) -> Path | None:
    """Return the folder of masks beside a folder of images, or beside its parent."""
    for sibling in sorted(images.parent.iterdir()) if images != root else []:
        if sibling.is_dir() and sibling.name.lower() in MASK_FOLDERS:
            return sibling
    return None


def _split_lists(root: Path) -> dict[str, str]:
    """Return the part of each image from the lists of PASCAL VOC."""
    found = {}
    for split in ("train", "val", "test"):
        for path in sorted(root.rglob(f"ImageSets/Segmentation/{split}.txt")):
            for name in path.read_text(encoding="utf-8").split():
                found[name] = split
    return found


def _from_file(path: Path) -> tuple[tuple[ClassInfo, ...], MaskCodes]:
    """Return classes and codes of a class file.

    Raises:
        LabelError: If it is not understood.
    """
    hint = 'write for example {"#3c1098": "roof"} or {"1": "roof"}, see docs/chips.md'
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        entries = _entries(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabelError(f"{path} is not understood: {error}", hint) from None
    if not entries:
        raise LabelError(f"{path} names no class", hint)
    by_color: dict[Color, int] = {}
    by_value: dict[int, int] = {}
    classes, next_id = [], 1
    for number, entry in enumerate(entries):
        if entry.get("ignore"):
            continue
        background = bool(entry.get("background", entry["name"].lower() == "background"))
        class_id = 0 if background else next_id
        next_id += not background
        color = parse_color(str(entry.get("color", "")))
        shown = color_text(color) if color else palette_color(class_id - 1)
        classes.append(ClassInfo(class_id, entry["name"], shown, background))
        if color:
            by_color[color] = class_id
        by_value[int(entry.get("id", number))] = class_id
    classes.sort(key=lambda c: c.id)
    return tuple(classes), MaskCodes(by_color or None, by_value)


def _entries(record: Any) -> list[dict[str, Any]]:
    """Return class records of any of the forms of a class file."""
    if isinstance(record, Mapping) and isinstance(record.get("classes"), list):
        record = record["classes"]
    if isinstance(record, list):
        return [_entry(item, number) for number, item in enumerate(record)]
    entries = []
    for key, value in record.items():
        if str(key).isdigit():
            entries.append({"id": int(key), **_entry(value, int(key))})
        elif parse_color(str(key)) and str(key).startswith("#"):
            entries.append({"color": key, "name": str(value)})
        else:
            entries.append({"name": str(key), **_code(value)})
    return entries


def _entry(item: Any, number: int) -> dict[str, Any]:
    if isinstance(item, Mapping):
        entry = dict(item)
        entry["name"] = str(entry.get("name", entry.get("title", number)))
        return {**entry, **(_code(entry["color"]) if "color" in entry else {})}
    return {"name": str(item)}


def _code(value: Any) -> dict[str, Any]:
    """Return the colour or id that stands for a class."""
    if isinstance(value, str):
        return {"color": value}
    if isinstance(value, int):
        return {"id": value}
    red, green, blue = (int(part) for part in value)
    return {"color": color_text((red, green, blue))}


def _from_masks(masks: list[Path]) -> tuple[tuple[ClassInfo, ...], MaskCodes]:
    """Return classes and codes from what is in the label images.

    Raises:
        LabelError: If they hold more values than classes can be.
    """
    step = max(1, len(masks) // _SAMPLES)
    if any(_is_colored(path) for path in masks[::step]):
        return _from_colors(masks[::step])
    values: set[int] = set()
    for path in masks[::step]:
        values.update(int(v) for v in np.unique(read_codes(path)[0][0]))
    if values <= {0, 255} or len(values) > 128:
        threshold = None if values <= {0, 255} else 127
        names = ("object",)
        return _named(names), MaskCodes(by_value={0: 0, 255: 1}, threshold=threshold)
    found = sorted(values - {0, 255})
    codes = MaskCodes(by_value={0: 0, **{v: i for i, v in enumerate(found, 1)}})
    return _named([f"class {v}" for v in found]), codes


def _is_colored(path: Path) -> bool:
    codes, _ = read_codes(path)
    return len(codes) >= 3 and bool((codes[:3] != codes[:1]).any())


def _named(names: Any) -> tuple[ClassInfo, ...]:
    found = [ClassInfo(i, name, palette_color(i - 1)) for i, name in enumerate(names, 1)]
    return (ClassInfo(0, "background", "#000000", background=True), *found)


def _from_colors(masks: list[Path]) -> tuple[tuple[ClassInfo, ...], MaskCodes]:
    colors: set[int] = set()
    for path in masks:
        packed = read_codes(path)[0][:3].astype(np.int32)
        colors.update(int(v) for v in np.unique(packed[0] << 16 | packed[1] << 8 | packed[2]))
        if len(colors) > 254:
            raise LabelError(
                f"the label images hold more than 254 colours ({path})",
                "name the colours of the classes in a classes.json, and save label images "
                "without loss (PNG)",
            )
    found = sorted(colors - {0})
    by_color: dict[Color, int] = {(0, 0, 0): 0}
    classes = [ClassInfo(0, "background", "#000000", background=True)]
    for class_id, packed_color in enumerate(found, 1):
        color = (packed_color >> 16, packed_color >> 8 & 255, packed_color & 255)
        by_color[color] = class_id
        classes.append(ClassInfo(class_id, color_text(color), color_text(color)))
    return tuple(classes), MaskCodes(by_color=by_color)
