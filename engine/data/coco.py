"""COCO annotation files: images, categories and objects, as polygons or run lengths."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from ..errors import LabelError
from .instances import PolygonPart
from .labels import rasterize_polygons
from .rle import decode_mask


@dataclass(frozen=True)
class CocoFile:
    """A COCO annotation file.

    Attributes:
        path: The file.
        categories: Name by category id, in the order of the ids.
        images: Records of the images.
        annotations: Annotations by image id.
    """

    path: Path
    categories: dict[int, str]
    images: list[dict[str, Any]]
    annotations: Mapping[Any, list[dict[str, Any]]]


def read_coco(path: Path) -> CocoFile:
    """Read a COCO annotation file.

    Raises:
        LabelError: If it is none.
    """
    hint = "choose a COCO file with images, annotations and categories"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        categories = {int(c["id"]): str(c["name"]) for c in record["categories"]}
        images = [{"id": i["id"], "file_name": str(i["file_name"]), **i} for i in record["images"]]
        by_image: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
        for annotation in record["annotations"]:
            int(annotation["category_id"])
            by_image[annotation["image_id"]].append(annotation)
    except OSError as error:
        raise LabelError(f"{path} cannot be read: {error.strerror}", hint) from None
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__} {error}"
        raise LabelError(f"{path} is no COCO annotation file: {reason}", hint) from None
    return CocoFile(path, dict(sorted(categories.items())), images, by_image)


def is_coco(path: Path) -> bool:
    """Return whether a JSON file looks like COCO annotations, from its contents."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and {"images", "annotations", "categories"} <= record.keys()


def coco_parts(
    annotations: Sequence[Mapping[str, Any]],
    class_ids: Mapping[int, int],
    shape_px: tuple[int, int],
    where: str,
) -> list[PolygonPart]:
    """Return the objects of one image.

    A pixel belongs to a polygon if its centre does; the polygons of one object are united.
    Annotations without a segmentation (boxes only) are left out.

    Args:
        annotations: COCO annotations of the image.
        class_ids: Class id by category id.
        shape_px: Height and width of the image.
        where: File and image, for errors.

    Raises:
        LabelError: If an annotation is broken.
    """
    parts = []
    for annotation in annotations:
        segmentation = annotation.get("segmentation")
        if not segmentation:
            continue
        try:
            class_id = class_ids[int(annotation["category_id"])]
            crowd = bool(annotation.get("iscrowd", 0))
            if isinstance(segmentation, Mapping):
                part = _part_of_mask(decode_mask(segmentation), shape_px)
            else:
                part = polygon_part([_ring(points) for points in segmentation], shape_px)
        except (KeyError, TypeError, ValueError, shapely.errors.ShapelyError) as error:
            reason = f"{type(error).__name__} {error}"
            raise LabelError(
                f"annotation {annotation.get('id')} of {where} is broken: {reason}",
                "correct or remove it",
            ) from None
        if part is not None:
            row, col, mask, area_px = part
            parts.append(PolygonPart(class_id, area_px, row, col, mask, crowd))
    return parts


Placed = tuple[int, int, NDArray[np.bool_], float]


def polygon_part(rings: Sequence[NDArray[np.float64]], shape_px: tuple[int, int]) -> Placed | None:
    """Return the pixels of the union of rings in an image.

    Args:
        rings: Outlines ``[n, 2]`` as (x, y) in pixels; those with fewer than three points have
            no area.
        shape_px: Height and width of the image.

    Returns:
        First row, first column, mask and area in pixels; None if no pixel centre is inside.
    """
    outlines = [shapely.Polygon(ring) for ring in rings if len(ring) >= 3]
    whole = shapely.unary_union(shapely.make_valid(outlines)) if outlines else None
    if whole is None or whole.area <= 0:
        return None
    x0, y0, x1, y1 = whole.bounds
    top, left = max(int(y0), 0), max(int(x0), 0)
    bottom, right = min(int(y1) + 1, shape_px[0]), min(int(x1) + 1, shape_px[1])
    if bottom <= top or right <= left:
        return None
    polygons = [p for p in shapely.get_parts(whole) if p.geom_type.endswith("Polygon")]
    place = Affine.translation(left, top)
    mask = rasterize_polygons(polygons, place, (bottom - top, right - left)) > 0
    return (top, left, mask, float(whole.area)) if mask.any() else None


def _ring(points: Sequence[float]) -> NDArray[np.float64]:
    return np.asarray(points, np.float64).reshape(-1, 2)


def _part_of_mask(mask: NDArray[np.bool_], shape_px: tuple[int, int]) -> Placed | None:
    """Return the tight part of a mask.

    Raises:
        ValueError: If the mask is not as large as the image.
    """
    if mask.shape != shape_px:
        raise ValueError(f"its mask has {mask.shape} pixels, the image {shape_px}")
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    inner = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    return int(rows[0]), int(cols[0]), inner.copy(), float(inner.sum())
