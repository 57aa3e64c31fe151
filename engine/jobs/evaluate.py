"""Jobs that measure models and layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from ..errors import JobError
from .base import Job, check_ending, check_given, check_range


@dataclass(frozen=True)
class EvaluateJob(Job):
    """Measure a model on chips, on a data set, or on a raster with labels.

    Exactly one of ``chips``, ``dataset`` (with ``root``) and ``raster`` (with ``labels``) is
    given.

    Attributes:
        model: Id of a model in the zoo, or the path of a model folder.
        output: ``metrics.json`` to write.
        chips: Folder of chips.
        split: Part of the chips or of the data set: ``train``, ``val``, ``test`` or ``all``.
        dataset: Name of a data set reader.
        root: Folder of the data set.
        raster: GDAL source of a raster.
        labels: Vector file of its true polygons.
        label_layer: Layer of ``labels``.
        class_field: Field with the class name or id; empty means one class for all.
        aoi: Vector file of the labelled area; empty means the whole raster.
        aoi_layer: Layer of ``aoi``.
        crs: CRS of the raster as WKT2 or ``EPSG:n``, for a file that has none.
        bands: Raster band numbers (from 1), one per model band; empty means by the card.
        figures: Folder for pictures (confusion matrix, curves); empty means none.
        batch: Images per batch, 0 means automatic.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        score: Minimum score, -1 means the card's.
        boundary_px: Tolerance of the boundary F1 in pixels.
        boundary_m: The same in metres, instead of ``boundary_px``; 0 means not given.
        overwrite: Whether an existing output may be replaced.
    """

    model: str
    output: str
    chips: str = ""
    split: str = "test"
    dataset: str = ""
    root: str = ""
    raster: str = ""
    labels: str = ""
    label_layer: str = ""
    class_field: str = ""
    aoi: str = ""
    aoi_layer: str = ""
    crs: str = ""
    bands: Tuple[int, ...] = ()
    figures: str = ""
    batch: int = 0
    device: str = "auto"
    score: float = -1.0
    boundary_px: float = 3.0
    boundary_m: float = 0.0
    overwrite: bool = False

    def check(self) -> None:
        """Raise JobError if a value is out of its range."""
        check_given(self, "model", "output")
        check_ending("output", self.output, (".json",), "JSON file")
        if sum(map(bool, (self.chips, self.dataset, self.raster))) != 1:
            raise JobError(
                "exactly one of chips, dataset and raster is needed",
                "set 'chips', or 'dataset' and 'root', or 'raster' and 'labels'",
            )
        check_given(self, *(("root",) if self.dataset else ()))
        check_given(self, *(("labels",) if self.raster else ()))
        check_range("batch", self.batch, 0, 1024)
        check_range("score", self.score, -1.0, 1.0)
        check_range("boundary_px", self.boundary_px, 0.0, 1e4)
        check_range("boundary_m", self.boundary_m, 0.0, 1e6)


@dataclass(frozen=True)
class CompareJob(Job):
    """Compare a polygon layer with a true one, in map units and on the ground.

    Attributes:
        predicted: Vector file of found polygons.
        truth: Vector file of true polygons.
        output: ``metrics.json`` to write; empty means none.
        predicted_layer: Layer of ``predicted``; empty means the only or first one.
        truth_layer: Layer of ``truth``.
        class_field: Field with the class in ``predicted``; empty means ``class_name`` where
            there is one, else one class for all.
        truth_class_field: Field with the class in ``truth``; empty means one class for all.
        score_field: Field with the score in ``predicted``, needed for AP only.
        aoi: Vector file of the area to compare in; empty means everywhere.
        aoi_layer: Layer of ``aoi``.
        min_iou: IoU from which two polygons are the same object.
        figures: Folder for pictures; empty means none.
        overwrite: Whether an existing output may be replaced.
    """

    predicted: str
    truth: str
    output: str = ""
    predicted_layer: str = ""
    truth_layer: str = ""
    class_field: str = ""
    truth_class_field: str = ""
    score_field: str = "score"
    aoi: str = ""
    aoi_layer: str = ""
    min_iou: float = 0.5
    figures: str = ""
    overwrite: bool = False

    def check(self) -> None:
        """Raise JobError if a value is out of its range."""
        check_given(self, "predicted", "truth")
        check_ending("output", self.output, (".json",), "JSON file")
        check_range("min_iou", self.min_iou, 0.0, 1.0)
