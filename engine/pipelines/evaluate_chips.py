"""A model on chips: labels against masks, or instances against objects."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.chip_folder import Chip, ChipFolder
from ..data.rle import encode_mask
from ..errors import JobCancelled, LabelError
from ..evaluate.coco_eval import instance_report
from ..evaluate.confusion import IGNORED_LABEL, ConfusionMatrix
from ..geo.mask_runs import MaskRuns, paint
from ..geo.normalize import normalize
from ..geo.resolution import check_dtype
from ..jobs import EvaluateJob
from ..predict.bands import pad_tile
from ..predict.instances import InstancePredictor, InstanceTile, TileInstances
from ..protocol import IsCancelled, Log, Progress, Report
from ..zoo.bands import choose_bands
from .evaluate_model import (
    ArraySegmenter,
    ClassTable,
    MeasuredModel,
    batches,
    match_classes,
)
from .evaluate_outlines import boundary_counts, semantic_figures

Record = dict[str, Any]


@dataclass(frozen=True)
class ChipRun:
    """A model and the chips that it is measured on.

    Attributes:
        job: The job.
        model: The model.
        folder: The chips.
        chips: Those of the wanted part.
        bands: Indices from 0 of the chips' bands, one per band of the model.
        classes: From class ids of the chips to those of the model.
        report: Called with progress and log events.
        cancelled: Asked before each chip.
    """

    job: EvaluateJob
    model: MeasuredModel
    folder: ChipFolder
    chips: list[Chip]
    bands: tuple[int, ...]
    classes: ClassTable
    report: Report
    cancelled: IsCancelled

    def read(self, chip: Chip) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return pixels in the order of the model's bands, and which of them hold data."""
        pixels = self.folder.read_image(chip)
        return pixels[list(self.bands)], self.folder.read_valid(chip)

    def step(self, done: int) -> None:
        """Report progress; JobCancelled if the user asked to stop."""
        if self.cancelled():
            raise JobCancelled
        self.report(Progress("evaluate", done, len(self.chips), "chips"))


def prepare_chips(
    job: EvaluateJob, model: MeasuredModel, path: str, report: Report, cancelled: IsCancelled
) -> ChipRun:
    """Open a folder of chips and match its bands and classes with the model.

    Raises:
        LabelError: If the folder cannot be used, the part is empty, or classes do not fit.
        RasterError: If the bands do not fit.
    """
    folder = ChipFolder.open(path)
    chips = folder.chips(job.split)
    if not chips:
        counts = Counter(chip.split for chip in folder.chips())
        shown = ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
        raise LabelError(
            f"{path} has no chips in split {job.split!r}", f"its chips: {shown}; or use 'all'"
        )
    card = model.card
    if card.task == "instance" and folder.task != "both":
        raise LabelError(
            f"{path} holds masks only, model {card.id!r} gives instances",
            "make the chips from polygons, or choose a semantic model",
        )
    names = [band.name.lower() for band in folder.bands]
    bands, note = choose_bands(names, len(names), card.bands, job.bands)
    classes = match_classes(card, folder.classes)
    notes = [note, *classes.notes] if note else list(classes.notes)
    for text in notes:
        report(Log(text))
    for warning in [*check_dtype(folder.dtype, card.dtypes), *_resolution(folder, model)]:
        report(Log(warning, "warning"))
    numbers = tuple(band - 1 for band in bands)
    return ChipRun(job, model, folder, chips, numbers, classes, report, cancelled)


def _resolution(folder: ChipFolder, model: MeasuredModel) -> list[str]:
    """Return a warning where the chips are outside the resolutions of the model."""
    wanted = model.card.resolution_m
    if not folder.gsd_m or wanted.min <= folder.gsd_m <= wanted.max:
        return []
    return [
        f"the chips have pixels of {folder.gsd_m:g} m, the model is made for {wanted.min:g} to "
        f"{wanted.max:g} m"
    ]


def semantic_record(run: ChipRun) -> Record:
    """Return the figures of a semantic model on chips."""
    names = [c.name for c in run.model.card.classes]
    segmenter = ArraySegmenter(run.model, run.model.threshold(run.job), run.cancelled)
    matrix = ConfusionMatrix(len(names))
    gsd_m = run.folder.gsd_m
    boundary = boundary_counts(run.job, len(names), (gsd_m, gsd_m))
    for number, chip in enumerate(run.chips):
        run.step(number)
        pixels, valid = run.read(chip)
        truth = run.classes.table[run.folder.read_mask(chip)]
        truth[~valid] = IGNORED_LABEL
        found = segmenter.labels(pixels, valid)
        matrix.add(truth, found)
        boundary.counts.add(truth, found)
    run.step(len(run.chips))
    return semantic_figures(matrix, boundary, names)


def instance_record(run: ChipRun) -> Record:
    """Return the figures of an instance model on chips, each seen by the network as a whole."""
    card = run.model.card
    ids = [c.id for c in run.model.foreground]
    threshold = run.model.threshold(run.job)
    predictor = InstancePredictor(
        run.model.network, run.model.backend, class_ids=ids, threshold=threshold
    )
    truth = _coco_truth(run)
    image_ids = {str(image["file_name"]): int(image["id"]) for image in truth["images"]}
    detections: list[Record] = []
    done = 0
    for part in batches(run.chips, max(1, run.model.backend.batch)):
        run.step(done)
        tiles = [_tile(run, chip, card.stride) for chip in part]
        for chip, found in zip(part, predictor(tiles), strict=True):
            shape_px = (chip.height_px, chip.width_px)
            detections += coco_results(found, image_ids[chip.image_file], shape_px)
        done += len(part)
    run.step(done)
    record, _ = instance_report(truth, detections)
    return {**record, "min_score": threshold, "detections": len(detections)}


def _coco_truth(run: ChipRun) -> Record:
    """Return the objects of the chips with the class ids of the model."""
    coco = run.folder.coco(run.job.split)
    annotations = [
        {**a, "category_id": int(run.classes.table[a["category_id"]])} for a in coco["annotations"]
    ]
    categories = [{"id": c.id, "name": c.name} for c in run.model.foreground]
    return {"images": coco["images"], "annotations": annotations, "categories": categories}


def _tile(run: ChipRun, chip: Chip, stride: int) -> InstanceTile:
    pixels, valid = run.read(chip)
    height, width = valid.shape
    input_px = (-(-height // stride) * stride, -(-width // stride) * stride)
    return InstanceTile(pad_tile(normalize(pixels, run.model.card.bands, valid), input_px), valid)


def coco_results(found: TileInstances, image_id: int, shape_px: tuple[int, int]) -> list[Record]:
    """Return the instances of an image as COCO results with masks and boxes."""
    results = []
    for index, (row0, col0, row1, col1) in enumerate(found.masks.box.tolist()):
        mask = _crop(found.masks, index)
        results.append(
            {
                "image_id": image_id,
                "category_id": int(found.class_id[index]),
                "score": float(found.score[index]),
                "segmentation": encode_mask(mask, shape_px=shape_px, row=row0, col=col0),
                "bbox": [col0, row0, col1 - col0, row1 - row0],
            }
        )
    return results


def _crop(masks: MaskRuns, index: int) -> NDArray[np.bool_]:
    """Return one mask as the pixels of its box."""
    row0, col0, row1, col1 = masks.box[index].tolist()
    canvas = np.zeros((row1 - row0, col1 - col0), np.uint8)
    paint(masks.take(np.array([index])), np.zeros((1, 2), np.int64), canvas)
    return canvas.view(np.bool_)
