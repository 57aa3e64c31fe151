"""COCO data sets with random ellipses, and the same evaluation by pycocotools."""

from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SHAPE = (131, 173)
Case = tuple[dict[str, Any], list[dict[str, Any]]]


def ellipse(ellipse_px: tuple[float, float, float, float]) -> np.ndarray:
    """Return the mask of an ellipse given by centre and half axes (row, column, row, column)."""
    row, col, half_row, half_col = ellipse_px
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return ((rows - row) / half_row) ** 2 + ((cols - col) / half_col) ** 2 <= 1


def geometry(mask: np.ndarray) -> dict[str, Any]:
    """Return segmentation, box and area of a mask as COCO has them."""
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")},
        "bbox": [float(value) for value in coco_mask.toBbox(rle)],
        "area": float(coco_mask.area(rle)),
    }


def random_case(
    seed: int,
    *,
    images: int = 4,
    classes: int = 3,
    objects: int = 6,
    found: int = 14,
    crowd_ratio: float = 0.15,
    ties: bool = True,
) -> Case:
    """Return a data set and detections: copies of true ellipses with noise, and false ones.

    Class 1 is the last class and has neither truth nor detections.
    """
    rng = np.random.default_rng(seed)
    truth: dict[str, Any] = {
        "images": [{"id": i, "height": SHAPE[0], "width": SHAPE[1]} for i in range(7, 7 + images)],
        "annotations": [],
        "categories": [{"id": 3 * k + 1, "name": f"kind {k}"} for k in range(classes + 1)],
    }
    detections: list[dict[str, Any]] = []
    for image in truth["images"]:
        shapes = [_draw(rng, classes) for _ in range(int(rng.integers(objects + 1)))]
        for outline, category in shapes:
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": image["id"],
                    "category_id": category,
                    "iscrowd": int(rng.random() < crowd_ratio),
                    **geometry(ellipse(outline)),
                }
            )
        for _ in range(int(rng.integers(found + 1))):
            outline, category = _draw(rng, classes)
            if shapes and rng.random() < 0.7:
                outline, category = shapes[int(rng.integers(len(shapes)))]
                outline = tuple(v * float(np.exp(rng.normal(0, 0.06))) for v in outline)
            score = float(rng.random())
            detections.append(
                {
                    "image_id": image["id"],
                    "category_id": category,
                    "score": round(score, 1) if ties else score,
                    **geometry(ellipse(outline)),
                }
            )
    return truth, [d for d in detections if d["area"] > 0]


def _draw(rng: np.random.Generator, classes: int) -> tuple[tuple[float, ...], int]:
    half = np.exp(rng.uniform(np.log(4), np.log(60), size=2))
    outline = (rng.uniform(10, SHAPE[0] - 10), rng.uniform(10, SHAPE[1] - 10), *half)
    return tuple(map(float, outline)), 3 * int(rng.integers(classes)) + 4


def by_pycocotools(truth: dict[str, Any], found: list[dict[str, Any]], kind: str) -> COCOeval:
    """Return the evaluation by the reference, with its ``stats``; the records stay as they are."""
    return run_pycocotools(copy.deepcopy(truth), copy.deepcopy(found), kind)


def run_pycocotools(truth: dict[str, Any], found: list[dict[str, Any]], kind: str) -> COCOeval:
    """Return the evaluation by the reference, which changes the records."""
    iou_type, field = {"mask": ("segm", "segmentation"), "box": ("bbox", "bbox")}[kind]
    keys = ("image_id", "category_id", "score", field)
    results = [{key: d[key] for key in keys} for d in found]
    with contextlib.redirect_stdout(io.StringIO()):
        dataset, detected = COCO(), COCO()
        dataset.dataset = truth
        dataset.createIndex()
        if results:
            detected = dataset.loadRes(results)
        else:
            detected.dataset = {**truth, "annotations": []}
            detected.createIndex()
        evaluation = COCOeval(dataset, detected, iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation
