"""Images of a data set as a source of chips."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.chip_folder import IGNORE_INDEX, Chip
from ..data.chip_writer import CutChip
from ..data.image_split import split_images
from ..data.instances import PolygonPart, cut_parts, objects_of, paint_parts
from ..data.readers import Dataset, DatasetImage, list_readers, reader
from ..data.scenes import unique_names
from ..errors import JobCancelled, JobError, RasterError
from ..geo.image_file import ImageFacts, image_facts, read_image
from ..geo.windows import Window, iter_windows
from ..jobs import ChipsJob
from ..protocol import IsCancelled, Log, Progress, Report
from ..zoo.card import ClassInfo

RGB_BANDS = 3
WHOLE_IMAGE_BYTES = 1 << 30
_EVERY = 200


class DatasetSource:
    """Chips of a data set; one image is held at a time.

    Args:
        job: The job.
        report: Called with progress and warnings.
        cancelled: Asked now and then.

    Raises:
        EngineError: If the data set cannot be used.
    """

    def __init__(self, job: ChipsJob, report: Report, cancelled: IsCancelled) -> None:
        self._job, self._report = job, report
        self._dataset = reader(job.dataset).open(job.root)
        self._images = list(self._dataset.images)
        self._facts = self._read_facts(cancelled)
        self._bands = self._choose_bands()
        self.task = self._dataset.task
        self.classes: Sequence[ClassInfo] = self._dataset.classes
        self.band_names: Sequence[str] = self._names()
        self.dtype = str(np.result_type(*{facts.dtype for facts in self._facts}))
        known = [facts.grid.gsd_m for facts in self._facts if facts.grid and facts.grid.crs_wkt]
        self.gsd_m = float(np.median(known)) if known else self._dataset.gsd_m
        self.licenses = dict(self._dataset.licenses)
        self._split = split_images(self._images, job.split, job.seed)
        longest = max(max(facts.height, facts.width) for facts in self._facts)
        tile_px = job.tile_px or self._dataset.tile_px
        self.tile_px = min(tile_px or longest, longest)
        overlap_px = job.overlap_px or (0 if job.tile_px else self._dataset.overlap_px)
        self.plan: Sequence[Chip] = list(self._planned(tile_px, overlap_px))
        self._current: _OpenImage | None = None

    def _read_facts(self, cancelled: IsCancelled) -> list[ImageFacts]:
        facts = []
        for done, image in enumerate(self._images, 1):
            if done % _EVERY == 0 and cancelled():
                raise JobCancelled
            facts.append(image_facts(image.path))
            if done % _EVERY == 0 or done == len(self._images):
                self._report(Progress("images", done, len(self._images), "images"))
        return facts

    def _choose_bands(self) -> int:
        """Return the number of bands of the chips.

        Raises:
            RasterError: If the images have different ones that do not go together.
        """
        counts = {len(facts.names): i for i, facts in reversed(list(enumerate(self._facts)))}
        if len(counts) == 1:
            return next(iter(counts))
        if set(counts) == {1, RGB_BANDS}:
            text = f"{self._job.root} has grey and colour images; grey ones become three bands"
            self._report(Log(text, "warning"))
            return RGB_BANDS
        paths = ", ".join(f"{self._images[i].path.name}: {n}" for n, i in sorted(counts.items()))
        raise RasterError(
            f"the images have different numbers of bands ({paths})", "use images of one kind"
        )

    def _names(self) -> list[str]:
        names = next(f.names for f in self._facts if len(f.names) == self._bands)
        if not self._job.bands:
            return list(names)
        if max(self._job.bands) > self._bands:
            raise JobError(
                f"there is no band {max(self._job.bands)}, the images have {self._bands}",
                f"choose bands from 1 to {self._bands}",
            )
        return [names[band - 1] for band in self._job.bands]

    def _planned(self, tile_px: int, overlap_px: int) -> list[Chip]:
        names = unique_names([image.name for image in self._images])
        chips = []
        for number, (name, facts) in enumerate(zip(names, self._facts, strict=True)):
            side = tile_px or max(facts.height, facts.width)
            overlap = min(overlap_px, side - 1)
            split = self._split.splits[number]
            for window in iter_windows(facts.height, facts.width, tile_px=side, overlap_px=overlap):
                whole = (window.height, window.width) == (facts.height, facts.width)
                own = name if whole else f"{name}_r{window.row_off}_c{window.col_off}"
                chips.append(Chip(own, split, number, *window, 0.0, 0.0))
        return chips

    def cut(self, chip: Chip) -> CutChip:
        """Return a chip with its pixels, mask and objects."""
        if self._current is None or self._current.number != chip.source:
            self._current = None
            self._current = _open_image(self._images, self._facts, chip.source, self._dataset)
        window = Window(chip.row_off, chip.col_off, chip.height_px, chip.width_px)
        pixels, valid, mask, parts = self._current.cut(window)
        mask[~valid] = IGNORE_INDEX
        grid = self._facts[chip.source].grid
        objects = objects_of(parts, mask != IGNORE_INDEX) if self.task == "both" else []
        place = grid.window(window) if grid else None
        return CutChip(chip, self._banded(pixels), valid, mask, objects, place)

    def _banded(self, pixels: NDArray[Any]) -> NDArray[Any]:
        if len(pixels) != self._bands:
            pixels = np.repeat(pixels, self._bands, axis=0)
        if self._job.bands:
            pixels = pixels[[band - 1 for band in self._job.bands]]
        return np.ascontiguousarray(pixels, self.dtype)

    def fingerprints(self) -> list[str]:
        """Return a hash of names, sizes and times of all files."""
        digest = hashlib.sha256()
        for image in self._images:
            for path in (image.path, image.labels):
                digest.update(_file_text(path).encode())
        return [digest.hexdigest()]

    def sources(self) -> list[dict[str, Any]]:
        """Return a description of each image."""
        root = Path(self._job.root).expanduser()
        found = []
        for image, facts in zip(self._images, self._facts, strict=True):
            inside = image.path.is_relative_to(root)
            name = image.path.relative_to(root).as_posix() if inside else image.path.name
            crs = facts.grid.crs_wkt if facts.grid else ""
            found.append({"raster": name, "labels": "", "crs": crs, "gsd_m": self.gsd_m})
        return found

    def split_record(self) -> dict[str, Any]:
        """Return how the images were shared out."""
        job = self._job
        return {
            "by": self._split.by,
            "block_m": 0.0,
            "buffer_m": 0.0,
            "seed": job.seed,
            "shares": list(job.split) if self._split.by != "official" else self._shares(),
        }

    def _shares(self) -> list[float]:
        """Return the shares of images in the official parts in percent."""
        parts = self._split.splits
        return [round(100 * parts.count(s) / len(parts), 2) for s in ("train", "val", "test")]

    def leak_check(self, chips: Sequence[Chip]) -> dict[str, Any]:
        """Return the pixels that parts share: those of images that lie in two parts."""
        parts: dict[int, set[str]] = {}
        for chip in chips:
            parts.setdefault(chip.source, set()).add(chip.split)
        twice = {source for source, found in parts.items() if len(found) > 1}
        shared = sum(chip.height_px * chip.width_px for chip in chips if chip.source in twice)
        return {"shared_pixels": shared, "smallest_distance_m": None}

    def close(self) -> None:
        """Let go of the image that is held."""
        self._current = None


@dataclass
class _OpenImage:
    """One image with its labels; large images are read window by window."""

    number: int
    path: Path
    pixels: tuple[NDArray[Any], NDArray[np.bool_]] | None
    mask: NDArray[np.uint8] | None
    parts: Sequence[PolygonPart]
    background: int

    def cut(
        self, window: Window
    ) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.uint8], list[PolygonPart]]:
        """Return pixels, validity, class ids and objects of a window."""
        place = (slice(window.row_off, window.row_end), slice(window.col_off, window.col_end))
        if self.pixels is None:
            pixels, valid = read_image(self.path, window)
        else:
            pixels, valid = self.pixels[0][(slice(None), *place)], self.pixels[1][place]
        parts = cut_parts(self.parts, window)
        if self.mask is not None:
            mask = self.mask[place].copy()
        else:
            mask = paint_parts(parts, (window.height, window.width), self.background)
        return pixels, valid, mask, parts


def _open_image(
    images: Sequence[DatasetImage], facts: Sequence[ImageFacts], number: int, dataset: Dataset
) -> _OpenImage:
    image, known = images[number], facts[number]
    labels = image.load(known.height, known.width)
    size = known.height * known.width * len(known.names) * np.dtype(known.dtype).itemsize
    pixels = read_image(image.path) if size <= WHOLE_IMAGE_BYTES else None
    return _OpenImage(number, image.path, pixels, labels.mask, labels.objects, dataset.background)


def _file_text(path: Path | None) -> str:
    if path is None:
        return ""
    status = path.stat()
    return f"{path.name} {status.st_size} {status.st_mtime_ns}\n"


def reader_table() -> dict[str, str]:
    """Return what each reader of data sets reads, by its name."""
    return {item.name: item.about for item in list_readers()}
