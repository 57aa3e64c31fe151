"""The model of an evaluation: its network on a device, and its classes matched with the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..errors import LabelError, ModelError
from ..evaluate.class_names import folded
from ..jobs import EvaluateJob
from ..merge.scores import LabelRule
from ..predict.backend import Backend
from ..predict.choice import Wish, choose_for_tiles
from ..predict.plan import Panel, column_bytes, plan_tiles
from ..predict.second_look import first_look, look_twice
from ..predict.semantic import SemanticPredictor, model_key, warm_network
from ..predict.strips import TileCounts, TileLoop
from ..protocol import IsCancelled
from ..zoo.card import NODATA_CLASS_ID, ClassInfo, ModelCard
from ..zoo.registry import ModelEntry, find_model

INSTANCE_SCORE = 0.05
"""Least score of detections for average precision, where the job does not set one."""


@dataclass(frozen=True)
class MeasuredModel:
    """A model with weights, and where it runs."""

    entry: ModelEntry
    card: ModelCard
    backend: Backend

    @property
    def network(self) -> nn.Module:
        """The network on its device; loaded once."""
        return warm_network(self.entry, self.backend)

    @property
    def foreground(self) -> list[ClassInfo]:
        """The classes that are not background."""
        return [c for c in self.card.classes if not c.background]

    def threshold(self, job: EvaluateJob) -> float:
        """Return the least score that counts: the job's, else the card's or, for AP, 0.05."""
        if job.score >= 0:
            return job.score
        return INSTANCE_SCORE if self.card.task == "instance" else self.card.score_threshold


def load_model(job: EvaluateJob) -> MeasuredModel:
    """Find the model of a job and choose its backend.

    Raises:
        ModelError: If there is no such model, or it has no weights.
        DeviceError: If the device is unknown or absent.
    """
    entry = find_model(job.model)
    if entry.card is None or entry.card.weights is None:
        raise ModelError(f"model {entry.id!r} has no weights", "train it first, or import weights")
    input_px = (entry.card.tile_px, entry.card.tile_px)
    backend, _ = choose_for_tiles(Wish(job.device, batch=job.batch), entry, input_px, None)
    return MeasuredModel(entry, entry.card, backend)


@dataclass(frozen=True)
class ClassTable:
    """From class ids of the truth to those of the model.

    Attributes:
        table: uint8 ``[256]``; 255 for ids that do not count.
        notes: What the user should know.
    """

    table: NDArray[np.uint8]
    notes: tuple[str, ...]


def match_classes(card: ModelCard, truth: Sequence[ClassInfo]) -> ClassTable:
    """Match the classes of the truth with those of a model by name.

    The background of one side is that of the other, whatever their names. Background that the
    model does not know does not count.

    Raises:
        LabelError: If the truth has a class that the model lacks.
    """
    table = np.full(256, NODATA_CLASS_ID, np.uint8)
    ids = {folded(c.name): c.id for c in card.classes}
    backgrounds = [c.id for c in card.classes if c.background]
    unknown, notes = [], []
    for item in truth:
        if folded(item.name) in ids:
            table[item.id] = ids[folded(item.name)]
        elif item.background and backgrounds:
            table[item.id] = backgrounds[0]
        elif item.background:
            notes.append(f"ground of class {item.name!r} does not count: the model has none such")
        else:
            unknown.append(item.name)
    if unknown:
        raise missing_classes(card, unknown)
    known = set(table.tolist())
    absent = [c.name for c in card.classes if c.id not in known]
    if absent:
        notes.append(f"classes of the model that the labels do not have: {', '.join(absent)}")
    return ClassTable(table, tuple(notes))


def missing_classes(card: ModelCard, unknown: Sequence[str]) -> LabelError:
    """Return the error for classes of the labels that a model lacks."""
    known = ", ".join(c.name for c in card.classes)
    return LabelError(
        f"the labels have classes that model {card.id!r} lacks: {', '.join(unknown)}",
        f"rename or leave out these classes; the model has: {known}",
    )


class ArraySegmenter:
    """Labels of images in memory, as the segmentation of a raster would give them.

    Args:
        model: A semantic model.
        threshold: Least score of foreground.
        cancelled: Asked before each batch.
    """

    def __init__(self, model: MeasuredModel, threshold: float, cancelled: IsCancelled) -> None:
        background = tuple(c.id for c in model.card.classes if c.background)
        self._card = model.card
        self._key = model_key(model.card)
        self._backend = model.backend
        self._network = model.network
        self._rule = LabelRule(background, threshold)
        self._cancelled = cancelled

    def labels(self, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return class ids ``[h, w]``, 255 where no class is given.

        Args:
            pixels: ``[C, h, w]`` in the order of the model's bands, as stored.
            valid: Pixels with data, ``[h, w]``.
        """
        loop = self._loop(valid.shape)
        found = np.full(valid.shape, NODATA_CLASS_ID, np.uint8)
        for panel in loop.plan.panels:
            source = _ArrayRows(pixels, valid, panel)
            for strip in loop.run_panel(source, panel, 0, TileCounts()):
                rows = slice(*loop.plan.strip_rows(strip.row_index))
                found[rows, panel.col_start : panel.col_stop] = strip.labels
        return found

    def _loop(self, shape_px: tuple[int, ...]) -> TileLoop:
        card, classes = self._card, max(2, len(self._card.classes))
        predictor = SemanticPredictor(first_look(self._network), self._backend, key=self._key)
        plan = plan_tiles(
            (shape_px[0], shape_px[1]),
            tile_px=card.tile_px,
            overlap_px=card.overlap_px,
            stride=card.stride,
            column_bytes=column_bytes(classes + 1, len(card.bands)),
        )
        loop = TileLoop(
            plan=plan,
            bands=card.bands,
            classes=classes,
            rule=self._rule,
            predict=predictor,
            logits=predictor.gives_logits,
            batch=self._backend.batch,
            cancelled=self._cancelled,
            on_tiles=lambda counts: None,
        )
        return look_twice(loop, self._network, self._backend, key=self._key)


@dataclass(frozen=True)
class _ArrayRows:
    """The rows of an image in memory under the columns that a panel reads."""

    pixels: NDArray[Any]
    valid: NDArray[np.bool_]
    panel: Panel

    def read_rows(self, row0: int, row1: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return pixels ``[C, h, w]`` and validity ``[h, w]``."""
        columns = slice(self.panel.read_start, self.panel.read_stop)
        return self.pixels[:, row0:row1, columns], self.valid[row0:row1, columns]


def batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield runs of at most ``size`` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
