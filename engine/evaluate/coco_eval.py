"""COCO evaluation of instances: average precision and recall of masks and boxes.

The matching is that of the COCO evaluation (Lin et al.: Microsoft COCO, ECCV 2014; the code of
``pycocotools`` is the reference), done by ``hotcoco``; the tests hold both equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hotcoco import COCO, COCOeval
from numpy.typing import NDArray

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = 100
KINDS = {"mask": ("segm", "segmentation"), "box": ("bbox", "bbox")}
AREAS = ("", "S", "M", "L")
"""All sizes, then below 32², 32² to 96² and above 96² pixels."""

Record = dict[str, Any]


@dataclass(frozen=True)
class PrecisionRecall:
    """What all figures follow from; -1 where there is no truth.

    Attributes:
        names: Name of each class, K.
        truth: True objects of each class, crowds left out, int64 ``[K]``.
        found: Detections of each class, int64 ``[K]``.
        precision: ``[10, 101, K, 4]``: IoU threshold, recall, class, size.
        recall: Largest recall, ``[10, K, 4]``.
        max_detections: Detections per image that count, those with the highest scores; 0 for
            all.
    """

    names: tuple[str, ...]
    truth: NDArray[np.int64]
    found: NDArray[np.int64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    max_detections: int = MAX_DETECTIONS

    def summary(self) -> Record:
        """Return ``AP, AP50, AP75, APS, APM, APL`` and ``AR100`` over all classes.

        The last one is called ``AR`` where all detections count. None where there is no truth.
        """
        return self._figures(slice(None), AREAS)

    def classes(self) -> list[Record]:
        """Return the figures of each class with its name and counts."""
        return [
            {
                "name": name,
                "truth": int(self.truth[index]),
                "found": int(self.found[index]),
                **self._figures(slice(index, index + 1), AREAS),
            }
            for index, name in enumerate(self.names)
        ]

    def curves(self) -> Record:
        """Return precision over recall of each class at IoU 0.5 and 0.75, None without truth."""
        rows = []
        for index, name in enumerate(self.names):
            curve: Record = {"name": name}
            for threshold, place in (("50", 0), ("75", 5)):
                values = self.precision[place, :, index, 0]
                curve[f"precision{threshold}"] = (
                    None if (values < 0).any() else np.round(values, 6).tolist()
                )
            rows.append(curve)
        return {"recall": np.round(RECALLS, 2).tolist(), "classes": rows}

    def _figures(self, chosen: slice, areas: Sequence[str]) -> Record:
        precision, recall = self.precision[:, :, chosen], self.recall[:, chosen]
        figures: Record = {
            "AP": _mean(precision[..., 0]),
            "AP50": _mean(precision[0, ..., 0]),
            "AP75": _mean(precision[5, ..., 0]),
        }
        for index, size in enumerate(areas[1:], 1):
            figures[f"AP{size}"] = _mean(precision[..., index])
        figures[f"AR{self.max_detections or ''}"] = _mean(recall[..., 0])
        return figures


def _mean(values: NDArray[np.float64]) -> float | None:
    """Return the mean of what is there, None if nothing is."""
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def evaluate_coco(
    truth: Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    kind: str,
    *,
    max_detections: int = MAX_DETECTIONS,
) -> PrecisionRecall:
    """Compare detections with the annotations of a COCO data set.

    Args:
        truth: COCO data set: ``images``, ``annotations`` (with ``bbox``, ``area``, ``iscrowd``
            and, for masks, ``segmentation``) and ``categories``.
        detections: COCO results: ``image_id, category_id, score`` and ``segmentation`` (for
            masks, as RLE) or ``bbox`` (for boxes, x, y, width, height).
        kind: ``mask`` or ``box``.
        max_detections: Detections per image and class that count.

    Raises:
        ValueError: If the kind is unknown, or a detection names an unknown image or class.
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    iou_type, field = KINDS[kind]
    categories = sorted(truth["categories"], key=lambda category: int(category["id"]))
    ids = [int(category["id"]) for category in categories]
    _check_ids(truth, ids, detections)
    evaluator = COCOeval(_dataset(truth), _results(truth, detections, field), iou_type)
    evaluator.params.max_dets = [1, min(10, max_detections), max_detections]
    evaluator.evaluate()
    evaluator.accumulate()
    arrays = evaluator.eval
    if arrays is None:
        raise RuntimeError("the COCO evaluation gave no figures")
    counted = Counter(
        int(a["category_id"]) for a in truth["annotations"] if not a.get("iscrowd", 0)
    )
    seen = Counter(int(d["category_id"]) for d in detections)
    return PrecisionRecall(
        names=tuple(str(category["name"]) for category in categories),
        truth=np.array([counted[i] for i in ids], np.int64),
        found=np.array([seen[i] for i in ids], np.int64),
        precision=np.asarray(arrays["precision"], np.float64)[..., -1],
        recall=np.asarray(arrays["recall"], np.float64)[..., -1],
        max_detections=max_detections,
    )


def _check_ids(
    truth: Mapping[str, Any], ids: Sequence[int], detections: Sequence[Mapping[str, Any]]
) -> None:
    images = {int(image["id"]) for image in truth["images"]}
    for detection in detections:
        if int(detection["image_id"]) not in images:
            raise ValueError(f"a detection lies in the unknown image {detection['image_id']}")
        if int(detection["category_id"]) not in ids:
            raise ValueError(f"a detection has the unknown class {detection['category_id']}")


def _dataset(truth: Mapping[str, Any]) -> COCO:
    keys = ("images", "annotations", "categories")
    return COCO({"info": {}, **{key: list(truth[key]) for key in keys}})


def _results(truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], field: str) -> COCO:
    """Return detections with one kind of geometry only, which then decides their size."""
    wanted = ("image_id", "category_id", "score", field)
    if not detections:
        return _dataset({**truth, "annotations": []})
    return _dataset(truth).load_res([{key: d[key] for key in wanted} for d in detections])


def instance_report(
    truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]]
) -> tuple[Record, dict[str, PrecisionRecall]]:
    """Return the report of an instance evaluation and what its curves are drawn from.

    Returns:
        ``mask`` and ``box`` (see :meth:`PrecisionRecall.summary`), ``classes`` (``name, truth,
        found`` and the figures of both kinds) and ``curves`` (of the masks), as JSON values; and
        the arrays by kind.
    """
    kinds = {kind: evaluate_coco(truth, detections, kind) for kind in KINDS}
    return report_of(kinds), kinds


def report_of(kinds: Mapping[str, PrecisionRecall]) -> Record:
    """Return the report of :func:`instance_report` from the arrays by kind."""
    report: Record = {kind: found.summary() for kind, found in kinds.items()}
    rows = {kind: found.classes() for kind, found in kinds.items()}
    counts = ("name", "truth", "found")
    report["classes"] = [
        {
            **{key: row[key] for key in counts},
            **{
                kind: {k: v for k, v in rows[kind][index].items() if k not in counts}
                for kind in kinds
            },
        }
        for index, row in enumerate(rows["mask"])
    ]
    report["curves"] = kinds["mask"].curves()
    return report
