"""Folders of chips: what training and evaluation read (docs/chips.md).

A folder is described by ``chips.json``, which is written last. Nothing stays open between two
reads, so a folder can be used by any number of forked or spawned processes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LabelError, RasterReadError
from ..geo.chip_file import decode_valid, read_chip
from ..zoo.card import ClassInfo
from .rle import paint_record

CHIPS_FILE = "chips.json"
ANNOTATIONS_FILE = "annotations.json"
FORMAT, VERSION = "rs-segment-chips", 1
SPLITS = ("train", "val", "test")
IGNORE_INDEX = 255
_AGAIN = "make the chips again"


@dataclass(frozen=True)
class Band:
    """One band with its statistics over the valid pixels of the training chips, in raw units."""

    name: str
    mean: float
    std: float
    min: float
    max: float
    p2: float
    p98: float


@dataclass(frozen=True)
class Chip:
    """One chip of a folder.

    Attributes:
        name: Name of its files without ending.
        split: ``train``, ``val`` or ``test``.
        source: Number of the raster or image it was cut from.
        row_off: First row in the source, in pixels of the chip.
        col_off: First column in the source.
        height_px: Rows.
        width_px: Columns.
        valid_ratio: Share of pixels that hold data.
        labelled_ratio: Share of pixels whose class is known.
        class_pixels: Pixels per class id; classes without a pixel are left out.
        instances: Number of objects, without those that only count as a crowd.
        annotations: First byte and length of its lines in ``annotations.json``.
    """

    name: str
    split: str
    source: int
    row_off: int
    col_off: int
    height_px: int
    width_px: int
    valid_ratio: float
    labelled_ratio: float
    class_pixels: dict[int, int] = field(default_factory=dict)
    instances: int = 0
    annotations: tuple[int, int] = (0, 0)

    @property
    def image_file(self) -> str:
        """Path of the image inside the folder."""
        return f"images/{self.name}.tif"

    @property
    def mask_file(self) -> str:
        """Path of the mask inside the folder."""
        return f"masks/{self.name}.tif"


@dataclass(frozen=True)
class ChipFolder:
    """A folder of chips.

    Attributes:
        path: The folder.
        task: ``semantic`` (masks only) or ``both`` (masks and objects).
        classes: Classes in the order of their ids.
        bands: Bands with their statistics.
        dtype: Data type of the images.
        tile_px: Largest side of a chip.
        gsd_m: Pixel size in metres, 0 if unknown.
        record: All of ``chips.json``.
    """

    path: Path
    task: str
    classes: tuple[ClassInfo, ...]
    bands: tuple[Band, ...]
    dtype: str
    tile_px: int
    gsd_m: float
    record: dict[str, Any] = field(repr=False, compare=False)
    _chips: tuple[Chip, ...] = field(repr=False, compare=False)

    @classmethod
    def open(cls, path: str | Path) -> ChipFolder:
        """Read the description of a folder.

        Raises:
            LabelError: If it is no folder of chips, or of a newer version, or damaged.
        """
        folder = Path(path)
        record = _read_description(folder)
        try:
            return cls(
                path=folder,
                task=str(record["task"]),
                classes=tuple(
                    ClassInfo(c["id"], c["name"], c["color"], c["background"])
                    for c in record["classes"]
                ),
                bands=tuple(Band(**band) for band in record["bands"]),
                dtype=str(record["dtype"]),
                tile_px=int(record["tile_px"]),
                gsd_m=float(record["gsd_m"]),
                record=record,
                _chips=tuple(_chip(entry) for entry in record["chips"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__} {error}"
            raise LabelError(f"{folder / CHIPS_FILE} is damaged: {reason}", _AGAIN) from None

    def chips(self, split: str = "all") -> list[Chip]:
        """Return the chips of one part (``train``, ``val``, ``test``), or all of them.

        Raises:
            LabelError: If there is no such part.
        """
        if split != "all" and split not in SPLITS:
            raise LabelError(f"there is no split {split!r}", f"known: all, {', '.join(SPLITS)}")
        return [chip for chip in self._chips if split in ("all", chip.split)]

    def read_image(self, chip: Chip) -> NDArray[Any]:
        """Return the pixels ``[C, H, W]`` of a chip in the data type of the source.

        Pixels without data hold any value, NaN too; see :meth:`read_valid`.

        Raises:
            RasterReadError: If the file is missing or damaged.
        """
        pixels = self._pixels(chip.image_file)
        wanted = (len(self.bands), chip.height_px, chip.width_px)
        return self._checked(pixels, wanted, chip.image_file)

    def read_valid(self, chip: Chip) -> NDArray[np.bool_]:
        """Return which pixels of a chip hold data, ``bool[H, W]``.

        Raises:
            RasterReadError: If the file is missing or damaged.
        """
        if chip.valid_ratio >= 1.0:
            return np.ones((chip.height_px, chip.width_px), dtype=bool)
        return decode_valid(self._bytes(chip.image_file), chip.image_file)

    def read_mask(self, chip: Chip) -> NDArray[np.uint8]:
        """Return the class ids ``uint8[H, W]`` of a chip; 255 is unknown ground.

        Raises:
            RasterReadError: If the file is missing or damaged.
        """
        mask = self._pixels(chip.mask_file)
        wanted = (1, chip.height_px, chip.width_px)
        ids: NDArray[np.uint8] = self._checked(mask, wanted, chip.mask_file)[0]
        return ids

    def read_instances(
        self, chip: Chip
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.bool_]]:
        """Return the objects of a chip.

        Returns:
            Masks ``bool[n, H, W]``, class ids ``int64[n]``, and whether each is a crowd: a
            remainder of an object at the chip's edge that must neither be learnt nor counted.

        Raises:
            LabelError: If the annotations are missing or damaged.
        """
        found = self.read_annotations(chip)
        masks = np.zeros((len(found), chip.height_px, chip.width_px), dtype=bool)
        try:
            for mask, annotation in zip(masks, found, strict=True):
                paint_record(annotation["segmentation"], mask)
            ids = np.array([a["category_id"] for a in found], np.int64)
            crowd = np.array([a["iscrowd"] for a in found], dtype=bool)
        except (KeyError, TypeError, ValueError) as error:
            raise self._broken_annotations(error) from None
        return masks, ids, crowd

    def read_annotations(self, chip: Chip) -> list[dict[str, Any]]:
        """Return the COCO annotations of a chip.

        Raises:
            LabelError: If they are missing or damaged.
        """
        start, length = chip.annotations
        if not length:
            return []
        try:
            with (self.path / ANNOTATIONS_FILE).open("rb") as file:
                file.seek(start)
                return list(json.loads(b"[" + file.read(length) + b"]"))
        except (OSError, ValueError) as error:
            raise self._broken_annotations(error) from None

    def coco(self, split: str = "all") -> dict[str, Any]:
        """Return ``annotations.json`` with the images and objects of one part only.

        Raises:
            LabelError: If the part is unknown, or the annotations are missing or damaged.
        """
        path = self.path / ANNOTATIONS_FILE
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            wanted = {chip.image_file for chip in self.chips(split)}
            images = [image for image in record["images"] if image["file_name"] in wanted]
            ids = {image["id"] for image in images}
            found = [a for a in record["annotations"] if a["image_id"] in ids]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._broken_annotations(error) from None
        return {**record, "images": images, "annotations": found}

    def _bytes(self, name: str) -> bytes:
        with self._reading(name):
            return (self.path / name).read_bytes()

    def _pixels(self, name: str) -> NDArray[Any]:
        with self._reading(name):
            return read_chip(self.path / name)

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise RasterReadError(
                f"chip {self.path / name} cannot be read: {reason}", _AGAIN
            ) from None

    def _checked(self, pixels: NDArray[Any], shape: tuple[int, ...], name: str) -> NDArray[Any]:
        if pixels.shape != shape:
            raise RasterReadError(
                f"chip {self.path / name} has the shape {list(pixels.shape)}, "
                f"{CHIPS_FILE} says {list(shape)}",
                _AGAIN,
            )
        return pixels

    def _broken_annotations(self, error: Exception) -> LabelError:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return LabelError(f"{self.path / ANNOTATIONS_FILE} cannot be read: {reason}", _AGAIN)


def _chip(entry: Mapping[str, Any]) -> Chip:
    fields = dict(entry)
    pixels = {int(key): int(count) for key, count in fields.pop("class_pixels").items()}
    start, length = fields.pop("annotations")
    return Chip(**fields, class_pixels=pixels, annotations=(int(start), int(length)))


def _read_description(folder: Path) -> dict[str, Any]:
    """Return ``chips.json``.

    Raises:
        LabelError: If there is none, or it is not of this format and version.
    """
    path = folder / CHIPS_FILE
    hint = "choose a folder that 'rs-segment chips' made"
    if not path.is_file():
        raise LabelError(f"{folder} is no folder of chips: it has no {CHIPS_FILE}", hint)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabelError(f"{path} cannot be read: {error}", _AGAIN) from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise LabelError(f"{path} does not describe chips of RS Segment", hint)
    if record.get("version") != VERSION:
        raise LabelError(
            f"{path} has version {record.get('version')!r}, this engine reads {VERSION}",
            "make the chips again with this engine, or update it",
        )
    return record
