"""Preflight: does the raster fit the model, and how much work is it; no widgets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Sequence, Tuple

from ..engine_api import ALPHA_NAME, ModelCard, bands_by_name
from ..messages import tr
from .raster_facts import RasterFacts, length_text

OK = "ok"
WARNING = "warning"
PROBLEM = "problem"

_DTYPES = {
    "byte": "uint8",
    "int8": "int8",
    "uint16": "uint16",
    "int16": "int16",
    "uint32": "uint32",
    "int32": "int32",
    "float32": "float32",
    "float64": "float64",
}
LARGE_TILES = 20_000
MAX_ENLARGEMENT = 8.0


@dataclass(frozen=True)
class Note:
    """One finding; ``level`` is ``ok``, ``warning`` (may run) or ``problem`` (may not)."""

    level: str
    text: str


def with_engine_note(notes: Sequence[Note], engine_ok: bool) -> Tuple[List[Note], bool]:
    """Return the notes, that on a missing engine first, and whether all is ready."""
    found = list(notes)
    if not engine_ok:
        text = tr("The engine is not set up yet: see the Engine tab.")
        found.insert(0, Note(PROBLEM, text))
    return found, all(note.level != PROBLEM for note in found)


@dataclass(frozen=True)
class Workload:
    """How much a run has to do.

    Attributes:
        rows: Rows of the part of the raster that is used, as the network sees them.
        cols: Columns of that part.
        tile_px: Tile side in pixels.
        overlap_px: Overlap of neighbouring tiles in pixels.
    """

    rows: int
    cols: int
    tile_px: int
    overlap_px: int

    @property
    def megapixels(self) -> float:
        """Pixels the network sees, in millions, without overlap."""
        return self.rows * self.cols / 1e6

    @property
    def tiles(self) -> int:
        """Tiles the network sees."""
        return self._along(self.rows) * self._along(self.cols)

    def _along(self, length_px: int) -> int:
        step = max(1, self.tile_px - self.overlap_px)
        return max(1, math.ceil((length_px - self.overlap_px) / step))


def in_range(facts: RasterFacts, card: ModelCard) -> bool:
    """Return whether both sides of a pixel are in the model's range, or not known."""
    resolution = card.resolution_m
    return not facts.gsd_m or all(
        resolution.min <= side <= resolution.max for side in facts.pixel_m
    )


def working_size(facts: RasterFacts, card: ModelCard, size_px: Tuple[int, int]) -> Tuple[int, int]:
    """Return rows and columns after the resampling that the engine does while it reads."""
    if in_range(facts, card):
        return size_px
    nominal = card.resolution_m.nominal
    rows, cols = (max(1, round(n * side / nominal)) for n, side in zip(size_px, facts.pixel_m))
    return rows, cols


def preflight(
    facts: RasterFacts, card: ModelCard, bands: Sequence[int], work: Workload
) -> List[Note]:
    """Return what an analyst should know before the run, problems first."""
    notes = _band_notes(facts, card, bands) + _resolution_notes(facts, card)
    notes += _dtype_notes(facts, card, bands) + _size_notes(facts, work)
    order = {PROBLEM: 0, WARNING: 1, OK: 2}
    return sorted(notes, key=lambda note: order[note.level])


def _band_notes(facts: RasterFacts, card: ModelCard, bands: Sequence[int]) -> List[Note]:
    if len(bands) != len(card.bands) or any(b < 1 for b in bands):
        if len(facts.bands) < len(card.bands):
            return [Note(PROBLEM, _too_few_bands(facts, card))]
        return [Note(PROBLEM, tr("Choose a raster band for each band of the model."))]
    if len(set(bands)) < len(bands):
        return [Note(WARNING, tr("One raster band is used for two bands of the model."))]
    return []


def _too_few_bands(facts: RasterFacts, card: ModelCard) -> str:
    names = ", ".join(band.name for band in card.bands)
    return tr(
        "The model needs {need} bands ({names}), the raster has {have}. "
        "Choose another raster, or use one band several times under Bands."
    ).format(have=len(facts.bands), need=len(card.bands), names=names)


def _resolution_notes(facts: RasterFacts, card: ModelCard) -> List[Note]:
    resolution = card.resolution_m
    low, high = length_text(resolution.min), length_text(resolution.max)
    if not facts.crs.isValid():
        return [
            Note(
                WARNING,
                tr(
                    "The raster has no coordinate system: pixel size and areas are not in "
                    "metres. Set the layer's CRS first for true sizes."
                ),
            )
        ]
    if not facts.gsd_m:
        return []
    gsd = length_text(facts.gsd_m)
    if max(facts.pixel_m) > MAX_ENLARGEMENT * resolution.nominal:
        text = tr(
            "{gsd} per pixel is too coarse for this model ({low} to {high}). Choose sharper "
            "imagery, or a model for this resolution."
        )
        return [Note(PROBLEM, text.format(gsd=gsd, low=low, high=high))]
    if in_range(facts, card):
        return [Note(OK, tr("{gsd} per pixel fits the model.").format(gsd=gsd))]
    template = (
        tr(
            "{gsd} per pixel is coarser than the model knows ({low} to {high}). The raster is "
            "resampled to {nominal}, but small objects may be missing."
        )
        if facts.gsd_m > resolution.max
        else tr(
            "{gsd} per pixel is finer than the model knows ({low} to {high}). The raster is "
            "resampled to {nominal} while it is read."
        )
    )
    nominal = length_text(resolution.nominal)
    return [Note(WARNING, template.format(gsd=gsd, low=low, high=high, nominal=nominal))]


def _dtype_notes(facts: RasterFacts, card: ModelCard, bands: Sequence[int]) -> List[Note]:
    if not card.dtypes or not facts.is_file:
        return []
    used = {facts.dtypes[b - 1] for b in bands if 1 <= b <= len(facts.dtypes)}
    foreign = sorted(d for d in used if _DTYPES.get(d.lower(), d.lower()) not in card.dtypes)
    if not foreign:
        return []
    text = tr(
        "The pixels are {have}, the model was trained on {want}: values may be scaled "
        "differently, check the result."
    )
    return [Note(WARNING, text.format(have=", ".join(foreign), want=", ".join(card.dtypes)))]


def _size_notes(facts: RasterFacts, work: Workload) -> List[Note]:
    if not facts.width_px:
        return [
            Note(
                WARNING,
                tr("This layer comes from a service: the chosen area is downloaded first."),
            )
        ]
    if work.rows <= 0 or work.cols <= 0:
        return []
    notes = [Note(OK, size_text(work))]
    if work.tiles > LARGE_TILES:
        notes.append(Note(WARNING, tr("This is a large run: try a small box first.")))
    return notes


def size_text(work: Workload) -> str:
    """Return the workload as ``12.3 megapixels, 64 tiles``."""
    digits = 2 if work.megapixels < 1 else 1 if work.megapixels < 100 else 0
    one, many = tr("{mpx} megapixels in 1 tile."), tr("{mpx} megapixels in {tiles} tiles.")
    template = one if work.tiles == 1 else many
    return template.format(mpx=f"{work.megapixels:,.{digits}f}", tiles=f"{work.tiles:,}")


def worst_level(notes: Sequence[Note]) -> str:
    """Return the worst level of the notes."""
    levels = {note.level for note in notes}
    return PROBLEM if PROBLEM in levels else WARNING if WARNING in levels else OK


def default_bands(facts: RasterFacts, card: ModelCard) -> Tuple[Tuple[int, ...], bool]:
    """Return a raster band for each model band and whether all were found by name.

    If not every model band has exactly one raster band of its name, the order counts, alpha
    left out; 0 stands for "none left".
    """
    found = bands_by_name(facts.band_names, card.bands)
    if found is not None:
        return found, True
    data = [n for n, name in enumerate(facts.band_names, start=1) if name != ALPHA_NAME]
    count = len(card.bands)
    return tuple([*data, *[0] * count][:count]), False
