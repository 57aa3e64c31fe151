"""Labelled rasters as a source of chips: opening, labels on their grids, cutting."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import shapely
from numpy.typing import NDArray

from ..errors import LabelError, RasterError
from ..geo.grid import Grid, crs_to_wkt
from ..geo.image_file import may_have_gaps
from ..geo.layer_style import SINGLE, read_class_colors
from ..geo.raster import RasterReader
from ..geo.vector import layer_info, read_labels, read_polygons
from ..geo.windows import Window
from ..jobs import ChipsJob
from .chip_folder import IGNORE_INDEX, Chip
from .chip_writer import CutChip
from .class_list import ClassList, class_text, make_class_list, parse_colors, sorted_names
from .instances import PixelPolygons, objects_of

BUFFER_BYTES = 128 << 20
GSD_SLACK_RATIO = 1.1
MAX_ENLARGEMENT = 8.0
SAMPLES, SAMPLE_PX = 4, 8


class RasterFacts(NamedTuple):
    """What is known of a raster without reading it."""

    source: str
    grid: Grid
    source_gsd_m: float
    bands: tuple[int, ...]
    band_names: tuple[str, ...]
    dtype: str
    fingerprint: str
    has_gaps: bool


@dataclass(frozen=True)
class Scene:
    """One raster and what was drawn on it.

    Attributes:
        facts: The raster; its grid is the grid of the chips.
        name: Name without ending, different for all scenes.
        labels: Label polygons with their classes.
        ignore: Polygons of ground that is left out, None if there are none.
        aoi: Polygons of labelled ground, None if all of the raster is.
    """

    facts: RasterFacts
    name: str
    labels: PixelPolygons
    ignore: PixelPolygons | None
    aoi: PixelPolygons | None

    @property
    def grid(self) -> Grid:
        """Grid of the chips."""
        return self.facts.grid


class Labels(NamedTuple):
    """Polygons in one CRS with the texts of their class values."""

    polygons: NDArray[Any]
    texts: list[str]


class LabelReader:
    """Reads the vector layers of a job once for each CRS.

    Args:
        job: The job.
    """

    def __init__(self, job: ChipsJob) -> None:
        self._job = job
        self._labels: dict[str, Labels] = {}
        self._areas: dict[tuple[str, str, str], NDArray[Any]] = {}

    def labels(self, crs_wkt: str) -> Labels:
        """Return the label polygons; one class has the job's name for all of them."""
        if crs_wkt not in self._labels:
            job = self._job
            if job.class_field:
                polygons, values = read_labels(
                    job.labels, layer=job.label_layer, crs_wkt=crs_wkt, field=job.class_field
                )
                texts = [class_text(value) for value in values]
            else:
                polygons = read_polygons(job.labels, layer=job.label_layer, crs_wkt=crs_wkt)
                texts = [job.class_name] * len(polygons)
            self._labels[crs_wkt] = Labels(polygons, texts)
        return self._labels[crs_wkt]

    def areas(self, path: str, layer: str, grid: Grid) -> PixelPolygons | None:
        """Return the polygons of a layer without classes, None if no path is given."""
        if not path:
            return None
        key = (path, layer, grid.crs_wkt)
        if key not in self._areas:
            self._areas[key] = read_polygons(path, layer=layer, crs_wkt=grid.crs_wkt)
        polygons = self._areas[key]
        return PixelPolygons(polygons, [IGNORE_INDEX] * len(polygons), grid)


def read_facts(job: ChipsJob) -> list[RasterFacts]:
    """Open all rasters of a job and check that their chips fit together.

    Raises:
        RasterError: If one cannot be read, or has other bands or another data type.
    """
    facts = [_facts(source, job) for source in job.rasters]
    first = facts[0]
    for other in facts[1:]:
        if len(other.bands) != len(first.bands) or other.dtype != first.dtype:
            raise RasterError(
                f"{other.source} has {len(other.bands)} bands of {other.dtype}, "
                f"{first.source} has {len(first.bands)} of {first.dtype}",
                "use rasters of one kind, or choose the bands",
            )
    return facts


def _facts(source: str, job: ChipsJob) -> RasterFacts:
    with RasterReader(source, bands=job.bands) as reader:
        grid = reader.grid
        if not grid.crs_wkt and job.crs:
            grid = replace(grid, crs_wkt=crs_to_wkt(job.crs))
        gsd_m = grid.gsd_m if grid.crs_wkt else 0.0
        every = reader.band_names
        names = tuple(every[band - 1] for band in reader.bands)
        working = _working_grid(grid, job.gsd_m, source)
        return RasterFacts(
            source=source,
            grid=working,
            source_gsd_m=gsd_m,
            bands=reader.bands,
            band_names=names,
            dtype=reader.dtype,
            fingerprint=reader.fingerprint(),
            has_gaps=may_have_gaps(source),
        )


def _working_grid(grid: Grid, gsd_m: float, source: str) -> Grid:
    """Return the grid of the chips: the raster's own, or one with square pixels of a size.

    Raises:
        RasterError: If the raster has no CRS, or is far too coarse.
    """
    if not gsd_m:
        return grid
    if not grid.crs_wkt:
        raise RasterError(
            f"{source} has no CRS, so its pixels cannot be made {gsd_m:g} m large",
            "assign a CRS, or leave the pixel size of the chips open",
        )
    height_m, width_m = grid.pixel_size_m
    if max(height_m, width_m) > MAX_ENLARGEMENT * gsd_m:
        raise RasterError(
            f"{source} has pixels of {grid.gsd_m:.3g} m, too coarse for chips of {gsd_m:g} m",
            "choose larger pixels for the chips, or leave this raster out",
        )
    rows, cols = round(grid.height * height_m / gsd_m), round(grid.width * width_m / gsd_m)
    return grid.scaled(max(1, rows), max(1, cols))


def open_scenes(job: ChipsJob, facts: Sequence[RasterFacts]) -> tuple[list[Scene], ClassList]:
    """Place the labels on all rasters.

    Returns:
        The scenes and the classes. Rasters outside the labelled area are left out.

    Raises:
        LabelError: If a layer cannot be used, no polygon touches a raster, or a class that was
            asked for is not there.
    """
    reader = LabelReader(job)
    texts = [text for item in facts for text in reader.labels(item.grid.crs_wkt).texts]
    class_list = _class_list(job, texts)
    names = unique_names([Path(item.source).stem for item in facts])
    scenes = []
    for item, name in zip(facts, names, strict=True):
        found = reader.labels(item.grid.crs_wkt)
        labels = PixelPolygons(found.polygons, class_list.ids_of(found.texts).tolist(), item.grid)
        ignore = reader.areas(job.ignore, job.ignore_layer, item.grid)
        aoi = reader.areas(job.aoi, job.aoi_layer, item.grid)
        scenes.append(Scene(item, name, labels, ignore, aoi))
    _check_overlap(job, scenes, reader)
    used = [
        s for s in scenes if (s.aoi is None or len(s.aoi)) and (job.background or len(s.labels))
    ]
    return used, class_list


def _class_list(job: ChipsJob, texts: Sequence[str]) -> ClassList:
    present = sorted_names(texts)
    absent = [name for name in job.classes if name not in present]
    if absent:
        raise LabelError(
            f"no polygon of {job.labels} has the class {absent[0]!r}",
            f"its classes are: {', '.join(present[:20])}",
        )
    layer = layer_info(job.labels, job.label_layer).name
    drawn = read_class_colors(job.labels, layer=layer, field=job.class_field)
    if not job.class_field and SINGLE in drawn:
        drawn = {job.class_name: drawn[SINGLE]}
    names = job.classes or present
    colors = parse_colors(job.colors)
    return make_class_list(names, background=job.background, colors=colors, drawn=drawn)


def _check_overlap(job: ChipsJob, scenes: Sequence[Scene], reader: LabelReader) -> None:
    """Raise LabelError if labels or the labelled area lie elsewhere than the rasters."""
    if not any(len(scene.labels) for scene in scenes):
        first = scenes[0]
        polygons = reader.labels(first.grid.crs_wkt).polygons
        raise LabelError(
            f"no polygon of {job.labels} touches the raster: the labels lie in "
            f"{_bounds_text(shapely.total_bounds(polygons))}, the raster in "
            f"{_bounds_text(first.grid.bounds)}",
            "check the CRS of both, or choose the raster on which the labels were drawn",
        )
    if job.aoi and not any(len(scene.aoi) for scene in scenes if scene.aoi is not None):
        raise LabelError(
            f"no polygon of {job.aoi} touches the raster", "draw the labelled area on the raster"
        )


def _bounds_text(bounds: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.9g}" for value in bounds) + ")"


def unique_names(stems: Sequence[str], most: int = 80) -> list[str]:
    """Return short names for files, all different even if case does not count."""
    names: list[str] = []
    seen: set[str] = set()
    for stem in stems:
        plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in stem)[:most] or "raster"
        name, number = plain, 1
        while name.lower() in seen:
            number += 1
            name = f"{plain}-{number}"
        seen.add(name.lower())
        names.append(name)
    return names


def digest_of(scenes: Sequence[Scene]) -> str:
    """Return a hash of all polygons and their classes on all scenes."""
    digest = hashlib.sha256()
    for scene in scenes:
        for polygons in (scene.labels, scene.ignore, scene.aoi):
            if polygons is not None:
                digest.update(polygons.class_ids.tobytes())
                digest.update(shapely.get_coordinates(polygons.polygons).tobytes())
    return digest.hexdigest()


class SceneCutter:
    """Cuts chips out of scenes; one raster is open at a time.

    Args:
        scenes: The scenes.
        background: Id of ground outside all polygons.
    """

    def __init__(self, scenes: Sequence[Scene], background: int) -> None:
        self._scenes, self._background = scenes, background
        self._open: tuple[int, RasterReader] | None = None

    def cut(self, chip: Chip) -> CutChip:
        """Return a chip with its pixels, mask and objects.

        Raises:
            RasterReadError: If the raster cannot be decoded there.
        """
        scene = self._scenes[chip.source]
        window = Window(chip.row_off, chip.col_off, chip.height_px, chip.width_px)
        pixels, valid = self._reader(chip.source).read_rows(
            window.row_off, window.row_end, col0=window.col_off, col1=window.col_end
        )
        mask, parts = scene.labels.cut(window, self._background)
        unknown = ~valid
        if scene.aoi is not None:
            unknown |= ~scene.aoi.covered(window)
        if scene.ignore is not None:
            unknown |= scene.ignore.covered(window)
        mask[unknown] = IGNORE_INDEX
        objects = objects_of(parts, mask != IGNORE_INDEX)
        return CutChip(chip, pixels, valid, mask, objects, scene.grid.window(window))

    def valid_share(self, source: int, window: Window) -> float:
        """Return the share of pixels with data in a window, from a few places of it."""
        if not self._scenes[source].facts.has_gaps:
            return 1.0
        reader, found = self._reader(source), []
        side = min(SAMPLE_PX, window.height, window.width)
        for down in range(SAMPLES):
            row = window.row_off + (window.height - side) * down // (SAMPLES - 1)
            for right in range(SAMPLES):
                col = window.col_off + (window.width - side) * right // (SAMPLES - 1)
                _, valid = reader.read_rows(row, row + side, col0=col, col1=col + side)
                found.append(float(valid.mean()))
        return sum(found) / len(found)

    def _reader(self, source: int) -> RasterReader:
        if self._open is None or self._open[0] != source:
            self.close()
            facts = self._scenes[source].facts
            shape_px = (facts.grid.height, facts.grid.width)
            reader = RasterReader(
                facts.source, bands=facts.bands, shape_px=shape_px, buffer_bytes=BUFFER_BYTES
            )
            self._open = (source, reader)
        return self._open[1]

    def close(self) -> None:
        """Close the raster that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None
