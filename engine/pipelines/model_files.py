"""Which files a model consists of, and how they come out of a folder or an untrusted zip.

A zip may come from anywhere: only files with expected names and sizes are unpacked, one by one,
to names that this module chooses. Nothing in a model is ever run or unpickled.
"""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
from pathlib import Path
from typing import IO

from ..errors import DiskError, ModelError
from ..zoo.card import CARD_NAME, ModelCard, card_from_dict, read_card

WEIGHTS_ENDING = ".safetensors"
EXTRA_NAMES = frozenset(
    {"README.md", "LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE", "CREDITS.md"}
    | {"metrics.csv", "metrics.json", "training.json", "curves.csv", "report.html"}
)
MAX_CARD_BYTES = 1 << 20
MAX_EXTRA_BYTES = 16 << 20
MAX_WEIGHTS_BYTES = 8 << 30
MAX_RATIO = 100
_PIECE_BYTES = 1 << 20
_CHECKPOINT_ENDINGS = (".pt", ".pth", ".ckpt", ".pkl", ".bin", ".onnx", ".h5", WEIGHTS_ENDING)
FORMAT_HINT = (
    "a model is a folder, or a zip of one, with card.json and weights.safetensors; see docs/card.md"
)


def model_file_names(card: ModelCard) -> list[str]:
    """Return the names that a model with this card may have, the card first.

    Raises:
        ModelError: If the weights are no safetensors file.
    """
    names = [CARD_NAME]
    if card.weights is not None:
        if not card.weights.file.endswith(WEIGHTS_ENDING):
            raise ModelError(
                f"weights {card.weights.file!r} of {card.id!r} are no safetensors file",
                "weights of other formats can hold code and are not loaded; convert them",
            )
        names.append(card.weights.file)
    return names + sorted(EXTRA_NAMES)


def refuse_foreign(source: Path) -> ModelError:
    """Return the error for a file that is no model, with the way to make one of it."""
    if source.suffix.lower() in _CHECKPOINT_ENDINGS:
        return ModelError(
            f"{source} is a bare {source.suffix} file, which lacks the card of a model",
            f"{FORMAT_HINT}; a checkpoint can hold code and is not opened",
        )
    if not source.exists():
        return ModelError(f"there is nothing at {source}", "check the path")
    return ModelError(f"{source} is neither a model folder nor a zip", FORMAT_HINT)


def copy_model(source: Path, target: Path) -> list[str]:
    """Copy the files of a model folder into an empty folder; returns the names left behind.

    Raises:
        ModelError: If the card is unusable, a file is missing or a link.
    """
    card = read_card(source)
    names = model_file_names(card)
    for name in names:
        path = source / name
        if path.is_symlink():
            raise ModelError(f"{path} is a link", "replace it by the file itself")
        if path.is_file():
            shutil.copyfile(path, target / name)
    return sorted(p.name for p in source.iterdir() if p.name not in names)


def unpack_model(source: Path, target: Path) -> None:
    """Unpack the zip of a model into an empty folder.

    Raises:
        ModelError: If the zip is damaged, or has a member that does not belong to a model.
        DiskError: If there is not enough space.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            members = _members(archive)
            card = _zipped_card(archive, members)
            _check_sizes(members, card)
            needed = sum(info.file_size for info in members.values())
            if shutil.disk_usage(target).free < needed:
                raise DiskError(
                    f"{target.parent} has no room for {needed / 2**20:.0f} MiB",
                    "free some space, or set RS_SEGMENT_ZOO to a folder on another disk",
                )
            for name, info in members.items():
                with archive.open(info) as file:
                    _write(file, target / name, info.file_size)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ModelError(f"{source} is damaged: {error}", "get the file again") from None


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the files by name, after refusing what no model zip contains."""
    members: dict[str, zipfile.ZipInfo] = {}
    tops: set[str] = set()
    for info in archive.infolist():
        name = info.filename
        parts = name.split("/")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if "\\" in name or ":" in name or name.startswith("/") or ".." in parts or "." in parts:
            raise _unexpected(name, "leaves the folder")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _unexpected(name, "is a link or a special file")
        if info.flag_bits & 0x1:
            raise _unexpected(name, "is encrypted")
        if info.is_dir():
            if len(parts) > 2:
                raise _unexpected(name, "is a folder inside the folder")
            continue
        if len(parts) > 2 or parts[-1].lower() in {known.lower() for known in members}:
            raise _unexpected(name, "is in a nested folder" if len(parts) > 2 else "is there twice")
        tops.add(parts[0] if len(parts) == 2 else "")
        members[parts[-1]] = info
    if len(tops) > 1:
        raise ModelError(
            f"the zip has more than one folder: {', '.join(sorted(tops))}", FORMAT_HINT
        )
    return members


def _unexpected(name: str, why: str) -> ModelError:
    return ModelError(
        f"the zip's member {name!r} {why}",
        "this is not a model that RS Segment exported; do not trust it",
    )


def _zipped_card(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> ModelCard:
    info = members.get(CARD_NAME)
    if info is None:
        raise ModelError(f"the zip has no {CARD_NAME}", FORMAT_HINT)
    if info.file_size > MAX_CARD_BYTES:
        raise _unexpected(info.filename, f"is larger than {MAX_CARD_BYTES >> 20} MiB")
    try:
        record = json.loads(archive.read(info).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{CARD_NAME} cannot be read: {error}", "get the file again") from None
    return card_from_dict(record)


def _check_sizes(members: dict[str, zipfile.ZipInfo], card: ModelCard) -> None:
    """Refuse unexpected names and members that are larger than they can honestly be."""
    allowed = model_file_names(card)
    weights = card.weights
    for name, info in members.items():
        if name not in allowed:
            raise _unexpected(info.filename, "does not belong to a model")
        limit = MAX_EXTRA_BYTES
        if weights is not None and name == weights.file:
            limit = MAX_WEIGHTS_BYTES
            if info.file_size != weights.bytes:
                raise _unexpected(
                    name, f"has {info.file_size} bytes, its card says {weights.bytes}"
                )
        if info.file_size > limit:
            raise _unexpected(name, f"is larger than {limit >> 20} MiB")
        if info.file_size > max(MAX_RATIO * info.compress_size, _PIECE_BYTES):
            raise _unexpected(name, f"unpacks to more than {MAX_RATIO} times its size")


def _write(file: IO[bytes], path: Path, size_bytes: int) -> None:
    """Write a member; never more than the size that was checked."""
    written = 0
    with path.open("xb") as out:
        while piece := file.read(_PIECE_BYTES):
            written += len(piece)
            if written > size_bytes:
                raise _unexpected(path.name, "is larger than the zip says")
            out.write(piece)


def pack_model(folder: Path, card: ModelCard, target: Path) -> None:
    """Write the zip of a model; equal models give equal bytes.

    Weights are stored, since they do not compress; the other files are deflated.
    """
    with zipfile.ZipFile(target, "w") as archive:
        for name in model_file_names(card):
            path = folder / name
            if not path.is_file():
                continue
            info = zipfile.ZipInfo(f"{card.id}/{name}", date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            stored = name.endswith(WEIGHTS_ENDING)
            info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            info.file_size = path.stat().st_size
            with path.open("rb") as file, archive.open(info, "w") as out:
                shutil.copyfileobj(file, out, _PIECE_BYTES)
