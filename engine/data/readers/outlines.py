"""Readers of outlines that annotation programs write: LabelMe and YOLO-seg."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import LabelError
from ..class_list import palette_color, sorted_names
from ..coco import polygon_part
from ..instances import PolygonPart
from .dataset import (
    Dataset,
    DatasetImage,
    ImageLabels,
    image_files,
    make_classes,
    nothing_found,
    split_of,
)

CIRCLE_CORNERS = 64
IGNORED_NAMES = ("ignore", "_ignore_", "__ignore__")
BACKGROUND_NAMES = ("background", "_background_")
Ring = NDArray[np.float64]


@dataclass(frozen=True)
class _Outline:
    """One object: its class and its rings in pixels, or in shares of the image's sides."""

    class_id: int
    rings: tuple[Ring, ...]


@dataclass(frozen=True)
class _OutlineLoader:
    """Paints the outlines of one image."""

    outlines: Sequence[_Outline]
    relative: bool

    def __call__(self, height: int, width: int) -> ImageLabels:
        scale = np.array([width, height], np.float64) if self.relative else np.ones(2)
        parts = []
        for outline in self.outlines:
            placed = polygon_part([ring * scale for ring in outline.rings], (height, width))
            if placed is not None:
                row, col, mask, area_px = placed
                parts.append(PolygonPart(outline.class_id, area_px, row, col, mask))
        return ImageLabels(None, parts)

    def amounts(self) -> dict[int, float]:
        """Return the number of objects of each class."""
        counts = Counter(o.class_id for o in self.outlines if 0 < o.class_id < 255)
        return {class_id: float(count) for class_id, count in counts.items()}


def read_labelme(root: Path) -> Dataset:
    """Read JSON files of LabelMe beside their images.

    Polygons, rectangles and circles are objects; shapes with one ``group_id`` are one object.
    Shapes called ``ignore`` are unknown ground. Points and lines are passed over.

    Raises:
        LabelError: If there is none, or an image is missing.
    """
    records = []
    for path in sorted(root.rglob("*.json")):
        record = _labelme_record(path)
        if record is not None:
            records.append((path, record))
    if not records:
        raise nothing_found(root, "JSON files of LabelMe", "NAME.json beside NAME.jpg")
    every = {_label(shape) for _, record in records for shape in record["shapes"]}
    names = sorted_names(every - {*IGNORED_NAMES, *BACKGROUND_NAMES})
    ids = {name: i for i, name in enumerate(names, 1)}
    ids |= dict.fromkeys(IGNORED_NAMES, 255) | dict.fromkeys(BACKGROUND_NAMES, 0)
    images = []
    for path, record in records:
        loader = _OutlineLoader(_labelme_outlines(record, ids, path), relative=False)
        image = _labelme_image(path, record)
        split = split_of(path, root)
        item = DatasetImage(image, path.stem, loader, split, "", loader.amounts, path)
        images.append(item)
    return _outline_dataset(names, images)


def _labelme_record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("shapes"), list) else None


def _label(shape: Any) -> str:
    """Return the label of a shape, empty where it has none."""
    return str(shape.get("label") or "") if isinstance(shape, Mapping) else ""


def _labelme_image(path: Path, record: Mapping[str, Any]) -> Path:
    """Return the image of a LabelMe file.

    Raises:
        LabelError: If it is not there.
    """
    name = Path(str(record.get("imagePath") or "").replace("\\", "/"))
    beside = path.parent / name.name
    for found in (path.parent / name, beside, *sorted(path.parent.glob(f"{path.stem}.*"))):
        if found.is_file() and found.suffix.lower() != ".json":
            return found
    raise LabelError(f"the image {name} of {path} is missing", "put it beside the JSON file")


def _labelme_outlines(
    record: Mapping[str, Any], ids: Mapping[str, int], path: Path
) -> list[_Outline]:
    grouped: dict[tuple[str, Any], list[Ring]] = {}
    for number, shape in enumerate(record["shapes"]):
        try:
            points = np.asarray(shape["points"], np.float64).reshape(-1, 2)
            if not _label(shape):
                raise ValueError("it has no label")
        except (KeyError, TypeError, ValueError):
            raise LabelError(f"shape {number} of {path} is broken", "draw it again") from None
        ring = _shape_ring(str(shape.get("shape_type") or "polygon"), points)
        if ring is not None:
            group = shape.get("group_id")
            key = (_label(shape), ("alone", number) if group is None else group)
            grouped.setdefault(key, []).append(ring)
    return [_Outline(ids[name], tuple(rings)) for (name, _), rings in grouped.items()]


def _shape_ring(kind: str, points: Ring) -> Ring | None:
    """Return the outline of a shape in pixels, None for points and lines."""
    if kind == "polygon" and len(points) >= 3:
        return points
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    if kind == "rectangle" and len(points) == 4:
        return points
    if kind == "circle" and len(points) == 2:
        radius = math.hypot(*(points[1] - points[0]))
        angles = np.arange(CIRCLE_CORNERS) * 2 * math.pi / CIRCLE_CORNERS
        circle: Ring = points[0] + radius * np.column_stack([np.cos(angles), np.sin(angles)])
        return circle
    return None


def read_yolo_seg(root: Path) -> Dataset:
    """Read YOLO-seg: ``images/train/NAME.jpg``, ``labels/train/NAME.txt`` and a ``data.yaml``.

    Each line of a label file is a class number and the points of an outline as shares of the
    image's sides. An image without a label file has no object. The order ``train/images`` and
    ``train/labels`` is read too.

    Raises:
        LabelError: If the layout is another one, or lines are boxes.
    """
    names = _yolo_names(root)
    images = []
    for path in image_files(root):
        parts = path.relative_to(root).parts
        if "images" not in parts:
            continue
        at = len(parts) - 1 - parts[::-1].index("images")
        labels = root.joinpath(*parts[:at], "labels", *parts[at + 1 :]).with_suffix(".txt")
        loader = _OutlineLoader(_yolo_outlines(labels, len(names)), relative=True)
        file = labels if labels.is_file() else None
        split = split_of(path, root)
        images.append(DatasetImage(path, path.stem, loader, split, "", loader.amounts, file))
    if not any(image.labels for image in images):
        layout = "images/train/NAME.jpg, labels/train/NAME.txt and data.yaml"
        raise nothing_found(root, "images with outlines of YOLO", layout)
    return _outline_dataset(names, images)


def _yolo_names(root: Path) -> list[str]:
    """Return the class names of the first YAML file that has some.

    Raises:
        LabelError: If there is none.
    """
    for path in sorted((*root.glob("*.yaml"), *root.glob("*.yml"))):
        names = yaml_names(path.read_text(encoding="utf-8"))
        if names:
            return names
    file = root / "classes.txt"
    if file.is_file():
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line]
    raise LabelError(f"{root} has no data.yaml with names of classes", "add one: names: [roof]")


def yaml_names(text: str) -> list[str]:
    """Return the ``names`` of a YOLO data file: a list in one line, or one name a line."""
    lines = [line.split(" #")[0].rstrip() for line in text.splitlines()]
    for number, line in enumerate(lines):
        if not line.startswith("names:"):
            continue
        inline = line.removeprefix("names:").strip()
        if inline:
            items = [item for item in inline.strip("[]{}").split(",") if item.strip()]
        else:
            items = []
            for following in lines[number + 1 :]:
                if following and not following.startswith((" ", "-", "\t")):
                    break
                if following.strip():
                    items.append(following.strip().removeprefix("-"))
        return [_yaml_name(item) for item in items]
    return []


def _yaml_name(item: str) -> str:
    key, colon, value = item.partition(":")
    name = value if colon and key.strip().isdigit() else item
    return name.strip().strip("'\"")


def _yolo_outlines(path: Path, classes: int) -> list[_Outline]:
    if not path.is_file():
        return []
    outlines = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            class_id = int(float(words[0])) + 1
            points = np.array([float(word) for word in words[1:]])
        except ValueError:
            raise _yolo_error(path, number, "is not made of numbers") from None
        if len(points) < 6 or len(points) % 2:
            raise _yolo_error(path, number, f"has {len(points)} numbers, not 3 or more points")
        if not 1 <= class_id <= classes:
            raise _yolo_error(path, number, f"has the class {class_id - 1}, which has no name")
        outlines.append(_Outline(class_id, (points.reshape(-1, 2),)))
    return outlines


def _yolo_error(path: Path, line: int, what: str) -> LabelError:
    return LabelError(
        f"line {line} of {path} {what}", "outlines are needed: a class number and its points"
    )


def _outline_dataset(names: Sequence[str], images: Sequence[DatasetImage]) -> Dataset:
    classes = make_classes(names, [palette_color(i) for i in range(len(names))])
    return Dataset(classes, tuple(images), "both")
