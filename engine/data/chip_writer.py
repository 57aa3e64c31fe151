"""Writing of a folder of chips: whole or not at all, and resumable at any moment.

Everything is written into ``<folder>.partial``. A chip counts as done when its line stands in the
journal; after a kill the others are cut again. At the end the annotations and ``chips.json`` are
made from the journal and the folder gets its name.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import JobError
from ..geo.chip_file import encode_chip
from ..geo.disk import disk_errors
from ..geo.grid import Grid
from ..zoo.card import ClassInfo
from .chip_folder import ANNOTATIONS_FILE, CHIPS_FILE, IGNORE_INDEX, SPLITS, Chip
from .instances import ObjectMask
from .rle import box_and_area, encode_mask

JOB_FILE = "job.json"
JOURNAL_FILE = "journal.jsonl"
_REPLACED = "replaced"
_RATIO_DIGITS = 6


@dataclass(frozen=True)
class CutChip:
    """A chip that was cut out, ready to be written.

    Attributes:
        chip: Name, part, source and place; counts and ratios are filled in when it is written.
        pixels: ``[C, H, W]``.
        valid: Which pixels hold data, ``bool[H, W]``.
        mask: Class ids, ``uint8[H, W]``, 255 where unknown.
        objects: The objects, empty for semantic data.
        grid: Place on the map, None if there is none.
    """

    chip: Chip
    pixels: NDArray[Any]
    valid: NDArray[np.bool_]
    mask: NDArray[np.uint8]
    objects: Sequence[ObjectMask] = ()
    grid: Grid | None = None


class ChipWriter:
    """The unfinished folder of chips.

    Args:
        output: Folder to make in the end.
        identity: What the chips are made from (plain JSON values); a resumed folder must have
            the same.
        resume: Whether to keep the chips of an earlier run with the same identity.
        band_names: Names of the bands.

    Attributes:
        class_instances: Objects per part and class id, crowds left out, once
            ``annotations.json`` is written.

    Raises:
        JobError: If an earlier run that is to be resumed was another one.
        DiskError: If the folder cannot be written.
    """

    def __init__(
        self,
        output: Path,
        identity: Mapping[str, Any],
        *,
        resume: bool,
        band_names: Sequence[str] = (),
    ) -> None:
        self.output = output
        self.partial = partial_folder(output)
        self._band_names = tuple(band_names)
        self._lines: dict[str, tuple[int, int]] = {}
        self._chips: dict[str, Chip | None] = {}
        self.class_instances: dict[str, Counter[int]] = {split: Counter() for split in SPLITS}
        record = json.loads(json.dumps(identity))
        with disk_errors(self.partial):
            if resume and self._read_job() is not None:
                self._check_same(record)
                self._read_journal()
            else:
                self._start(record)

    def _read_job(self) -> Any:
        try:
            return json.loads((self.partial / JOB_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _check_same(self, record: Mapping[str, Any]) -> None:
        earlier = self._read_job()
        if earlier != record:
            changed = [key for key in record if earlier.get(key) != record[key]] or ["version"]
            raise JobError(
                f"the interrupted chips in {self.partial} were made with another {changed[0]}",
                "repeat the first call exactly, or run without resume to start anew",
            )

    def _start(self, record: Mapping[str, Any]) -> None:
        if self.partial.exists():
            self._remove_earlier()
        for name in ("images", "masks"):
            (self.partial / name).mkdir(parents=True)
        (self.partial / JOB_FILE).write_text(json.dumps(record, indent=2), encoding="utf-8")

    def _remove_earlier(self) -> None:
        """Remove what an earlier run left, and nothing else.

        Raises:
            JobError: If the folder holds other things.
        """
        own = {"images", "masks", JOB_FILE, JOURNAL_FILE, ANNOTATIONS_FILE, CHIPS_FILE}
        foreign = sorted({item.name for item in self.partial.iterdir()} - own)
        if foreign:
            raise JobError(
                f"{self.partial} holds {foreign[0]}, which no run made",
                "move it away, or choose another output",
            )
        shutil.rmtree(self.partial)

    def _read_journal(self) -> None:
        """Take over whole lines of the journal; a torn one is cut off."""
        path, start = self.partial / JOURNAL_FILE, 0
        if not path.exists():
            return
        with path.open("rb") as journal:
            for line in journal:
                try:
                    entry = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    entry = None
                if entry is None:
                    break
                self._note(entry, start, len(line))
                start += len(line)
        with path.open("r+b") as journal:
            journal.truncate(start)

    def _note(self, entry: Mapping[str, Any], start: int, length: int) -> None:
        name = str(entry["name"])
        fields = entry["chip"]
        if fields is not None:
            pixels = {int(key): count for key, count in fields["class_pixels"].items()}
            fields = Chip(**{**fields, "class_pixels": pixels, "annotations": (0, 0)})
        self._chips[name], self._lines[name] = fields, (start, length)

    def done(self, name: str) -> bool:
        """Return whether a chip of this name was written or found empty."""
        return name in self._chips

    def chip(self, name: str) -> Chip | None:
        """Return a chip that is done, or None if it holds nothing and was left out."""
        return self._chips[name]

    def add(self, cut: CutChip) -> None:
        """Write a chip; one without any valid or any labelled pixel is only noted.

        Raises:
            DiskError: If the disk does not take it.
        """
        chip = _described(cut)
        objects: list[dict[str, Any]] = []
        if not chip.valid_ratio or not chip.labelled_ratio:
            self._append(chip.name, None, objects)
            return
        valid = None if chip.valid_ratio >= 1.0 else cut.valid
        image = encode_chip(cut.pixels, cut.grid, valid=valid, names=self._band_names)
        mask = encode_chip(cut.mask[None], cut.grid, deflate=True)
        objects = [_annotation(item, cut.mask.shape) for item in cut.objects]
        with disk_errors(self.partial):
            (self.partial / chip.image_file).write_bytes(image)
            (self.partial / chip.mask_file).write_bytes(mask)
        self._append(chip.name, chip, objects)

    def _append(self, name: str, chip: Chip | None, objects: list[dict[str, Any]]) -> None:
        entry = {"name": name, "chip": None if chip is None else asdict(chip), "objects": objects}
        line = (json.dumps(entry) + "\n").encode("utf-8")
        path = self.partial / JOURNAL_FILE
        with disk_errors(path), path.open("ab") as journal:
            start = journal.tell()
            journal.write(line)
        self._chips[name], self._lines[name] = chip, (start, len(line))

    def drop(self, name: str) -> None:
        """Take a chip out of the folder; its files are removed.

        Raises:
            DiskError: If they cannot be removed.
        """
        chip = self._chips[name]
        if chip is None:
            return
        with disk_errors(self.partial):
            (self.partial / chip.image_file).unlink(missing_ok=True)
            (self.partial / chip.mask_file).unlink(missing_ok=True)
        self._chips[name] = None

    def write_annotations(self, names: Iterable[str], classes: Sequence[ClassInfo]) -> list[Chip]:
        """Write ``annotations.json`` and return the chips with the place of their lines.

        Args:
            names: Chips in their final order; those that hold nothing are passed over.
            classes: Classes; those that are not background become categories.

        Raises:
            DiskError: If the disk does not take it.
        """
        found = [chip for name in names if (chip := self._chips[name]) is not None]
        path, journal_path = self.partial / ANNOTATIONS_FILE, self.partial / JOURNAL_FILE
        chips = []
        with disk_errors(path), path.open("wb") as out, journal_path.open("rb") as journal:
            out.write(_head(found, classes))
            count = 0
            for number, chip in enumerate(found, 1):
                start, length = self._lines[chip.name]
                journal.seek(start)
                objects = json.loads(journal.read(length))["objects"]
                place = _write_objects(out, objects, number, count)
                count += len(objects)
                whole = (item["category_id"] for item in objects if not item["iscrowd"])
                self.class_instances[chip.split].update(whole)
                chips.append(replace(chip, annotations=place))
            out.write(b"\n]}\n")
        return chips

    def finish(self, record: Mapping[str, Any], *, overwrite: bool) -> None:
        """Write ``chips.json``, remove the journal and give the folder its name.

        Args:
            record: Contents of ``chips.json``.
            overwrite: Whether a folder of that name is replaced.

        Raises:
            DiskError: If the disk does not take it.
        """
        text = json.dumps(record, indent=1, ensure_ascii=False)
        with disk_errors(self.output):
            (self.partial / CHIPS_FILE).write_text(text + "\n", encoding="utf-8")
            for name in (JOURNAL_FILE, JOB_FILE):
                (self.partial / name).unlink(missing_ok=True)
            old = self.partial.with_name(f"{self.partial.name}.{_REPLACED}")
            if overwrite and (self.output / CHIPS_FILE).is_file():
                shutil.rmtree(old, ignore_errors=True)
                self.output.rename(old)
            elif self.output.is_dir():
                self.output.rmdir()  # empty, or this fails
            self.partial.rename(self.output)
            shutil.rmtree(old, ignore_errors=True)


def partial_folder(output: Path) -> Path:
    """Return the folder in which chips are made before they are whole."""
    return output.with_name(f"{output.name}.partial")


def _described(cut: CutChip) -> Chip:
    """Return the chip with its counts and ratios."""
    counts = np.bincount(cut.mask.ravel(), minlength=IGNORE_INDEX + 1)
    size = cut.mask.size
    return replace(
        cut.chip,
        valid_ratio=_ratio(int(cut.valid.sum()), size),
        labelled_ratio=_ratio(size - int(counts[IGNORE_INDEX]), size),
        class_pixels={int(i): int(counts[i]) for i in np.flatnonzero(counts[:IGNORE_INDEX])},
        instances=sum(not item.crowd for item in cut.objects),
    )


def _ratio(part: int, whole: int) -> float:
    """Return a rounded share that is 0 or 1 only if it is so exactly."""
    if part in (0, whole):
        return float(part == whole)
    least = 10.0**-_RATIO_DIGITS
    return min(max(round(part / whole, _RATIO_DIGITS), least), 1 - least)


def _annotation(item: ObjectMask, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return an object in COCO's form, without its numbers."""
    box, area = box_and_area(item.mask, item.row, item.col)
    size = (shape[0], shape[1])
    return {
        "category_id": item.class_id,
        "bbox": box,
        "area": area,
        "iscrowd": int(item.crowd),
        "segmentation": encode_mask(item.mask, shape_px=size, row=item.row, col=item.col),
    }


def _head(chips: Sequence[Chip], classes: Sequence[ClassInfo]) -> bytes:
    """Return the beginning of ``annotations.json``: everything before the first object."""
    categories = [
        {"id": c.id, "name": c.name, "supercategory": ""} for c in classes if not c.background
    ]
    images = ",\n".join(
        json.dumps(
            {
                "id": number,
                "file_name": chip.image_file,
                "width": chip.width_px,
                "height": chip.height_px,
                "split": chip.split,
            }
        )
        for number, chip in enumerate(chips, 1)
    )
    start = '{"info": {"description": "chips of RS Segment"}, "licenses": [],\n'
    middle = json.dumps(categories, ensure_ascii=False)
    text = f'{start}"categories": {middle},\n"images": [\n{images}\n],\n"annotations": [\n'
    return text.encode("utf-8")


def _write_objects(
    out: IO[bytes], objects: Sequence[dict[str, Any]], image_id: int, count: int
) -> tuple[int, int]:
    """Write the objects of a chip, one a line, and return the place of their lines."""
    if not objects:
        return 0, 0
    if count:
        out.write(b",\n")
    start = out.tell()
    numbered = ({"id": count + i, "image_id": image_id, **o} for i, o in enumerate(objects, 1))
    text = ",\n".join(json.dumps(item) for item in numbered).encode("utf-8")
    out.write(text)
    return start, len(text)


def totals(chips: Iterable[Chip]) -> dict[str, Any]:
    """Return chips and pixels per class of each part, as ``chips.json`` has them."""
    splits = dict.fromkeys(SPLITS, 0)
    pixels: dict[str, Counter[int]] = {split: Counter() for split in SPLITS}
    for chip in chips:
        splits[chip.split] += 1
        pixels[chip.split].update(chip.class_pixels)
    return {
        "splits": splits,
        "class_pixels": {
            split: {str(i): counts[i] for i in sorted(counts)} for split, counts in pixels.items()
        },
    }
