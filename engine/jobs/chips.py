"""Job that cuts labelled rasters or a published data set into chips."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Tuple

from ..errors import JobError
from .base import MAX_SEED, Job, check_choice, check_given, check_range

MASK_DTYPE_CLASSES = 255
DEFAULT_TILE_PX = 512
SPLIT_UNITS = ("block", "raster")
_COLOR = re.compile(r"^.+=#[0-9a-fA-F]{6}$", re.DOTALL)


@dataclass(frozen=True)
class ChipsJob(Job):
    """Cut labelled rasters, or a data set, into a folder of chips (docs/chips.md).

    Either ``rasters`` and ``labels``, or ``dataset`` and ``root`` are given.

    Attributes:
        output: Folder to make.
        rasters: GDAL sources of the rasters; all need the same bands and data type.
        labels: Vector file of label polygons, any CRS.
        label_layer: Layer of ``labels``; empty means the only or first one.
        class_field: Field with the class; empty means one class for all polygons.
        classes: Names of the classes to keep, in the order of their ids; empty means all
            values of ``class_field``, sorted. Polygons of other classes are ignored ground.
        class_name: Name of the single class where ``class_field`` is empty.
        colors: Colours of classes as ``NAME=#rrggbb``; a class that is not named takes the
            style stored with ``labels`` (``layer_styles`` of a GeoPackage), else a palette.
        background: Whether labelled ground outside all polygons is a class of its own
            (``background``, id 0); otherwise it is ignored (sparse labels).
        ignore: Vector file of polygons whose ground is left out of training; empty for none.
        ignore_layer: Layer of ``ignore``.
        aoi: Vector file of the labelled area; empty means the whole raster.
        aoi_layer: Layer of ``aoi``.
        crs: CRS of rasters without one, as WKT2 or ``EPSG:n``.
        bands: Raster band numbers (from 1); empty means all except alpha.
        gsd_m: Pixel size of the chips in metres; 0 means the raster's own.
        tile_px: Side of a chip in pixels; 0 means 512, or what the data set's papers use.
        overlap_px: Overlap of neighbouring chips of one split part in pixels.
        split: Shares of train, val and test ground in percent.
        split_by: ``block`` (ground blocks of ``block_m``) or ``raster`` (whole rasters).
        block_m: Side of a ground block in metres; 0 means automatic.
        buffer_m: Ground left out between parts in metres; 0 still shares no pixel.
        empty_ratio: Largest share of chips without an object among the training chips;
            1 keeps all.
        seed: Seed of the split and of the choice of empty chips.
        dataset: Name of a data set reader (``coco``, ``masks``, ``labelme``, ``yolo_seg``,
            ``nwpu_vhr10``, ``isaid``, ...); empty means rasters and labels.
        root: Folder of the data set.
        resume: Whether to continue a folder that was interrupted.
        overwrite: Whether an existing folder of chips may be replaced.
    """

    output: str
    rasters: Tuple[str, ...] = ()
    labels: str = ""
    label_layer: str = ""
    class_field: str = ""
    classes: Tuple[str, ...] = ()
    class_name: str = "object"
    colors: Tuple[str, ...] = ()
    background: bool = True
    ignore: str = ""
    ignore_layer: str = ""
    aoi: str = ""
    aoi_layer: str = ""
    crs: str = ""
    bands: Tuple[int, ...] = ()
    gsd_m: float = 0.0
    tile_px: int = 0
    overlap_px: int = 0
    split: Tuple[float, float, float] = (70.0, 15.0, 15.0)
    split_by: str = "block"
    block_m: float = 0.0
    buffer_m: float = 0.0
    empty_ratio: float = 1.0
    seed: int = 0
    dataset: str = ""
    root: str = ""
    resume: bool = False
    overwrite: bool = False

    def check(self) -> None:
        """Raise JobError if a value is out of its range."""
        check_given(self, "output")
        if bool(self.dataset) == bool(self.rasters or self.labels):
            raise JobError(
                "a job of chips needs either rasters and labels, or a data set",
                "set 'rasters' and 'labels', or 'dataset' and 'root'",
            )
        check_given(self, *(("root",) if self.dataset else ("labels",)))
        if not self.dataset and not self.rasters:
            raise JobError("job field 'rasters' is empty", "give at least one raster")
        for color in self.colors:
            if not _COLOR.search(color):
                raise JobError(f"color {color!r} is not NAME=#rrggbb", "write e.g. roof=#e6550d")
        self._check_numbers()

    def _check_numbers(self) -> None:
        if self.tile_px:
            check_range("tile_px", self.tile_px, 16, 8192)
        check_range("overlap_px", self.overlap_px, 0, (self.tile_px or DEFAULT_TILE_PX) - 1)
        check_range("gsd_m", self.gsd_m, 0.0, 1e5)
        check_range("block_m", self.block_m, 0.0, 1e7)
        check_range("buffer_m", self.buffer_m, 0.0, 1e7)
        check_range("empty_ratio", self.empty_ratio, 0.0, 1.0)
        check_range("seed", self.seed, 0, MAX_SEED)
        check_choice("split_by", self.split_by, SPLIT_UNITS)
        for share in self.split:
            check_range("split", share, 0.0, 100.0)
        if self.split[0] <= 0 or abs(sum(self.split) - 100.0) > 0.5:
            raise JobError(
                f"split {list(self.split)} does not share out 100 percent",
                "give three percentages that sum to 100, the first (train) above 0",
            )
        if len(self.classes) > MASK_DTYPE_CLASSES - 1:
            raise JobError(f"{len(self.classes)} classes are too many", "254 fit into a mask")
        if any(band < 1 for band in self.bands):
            raise JobError(f"bands {list(self.bands)} has a number below 1", "bands count from 1")
