"""Which raster band feeds which band of a model (light: the dock shows the same choice)."""

from __future__ import annotations

import re
from typing import Dict, Optional, Sequence, Set, Tuple

from ..errors import RasterError
from .card import BandSpec

ALPHA_NAME = "alpha"
PALETTE_NAME = "palette"
ALIASES: Dict[str, Tuple[str, ...]] = {
    "coastal": ("b1",),
    "blue": ("b", "b2", "blau", "bleu"),
    "green": ("g", "b3", "vert"),
    "red": ("r", "b4", "rot", "rouge"),
    "rededge": ("re", "red edge", "b5"),
    "nir": ("n", "near infrared", "nearinfrared", "near ir", "infrared", "b8"),
    "swir1": ("swir 1", "b11"),
    "swir2": ("swir 2", "b12"),
    "gray": ("grey", "pan", "panchromatic", "intensity"),
}
"""Common names of bands; numbered ones are Sentinel-2's, of which Landsat 8 shares b1..b4."""


def choose_bands(
    band_names: Sequence[str],
    count: int,
    card_bands: Sequence[BandSpec],
    requested: Sequence[int],
) -> Tuple[Tuple[int, ...], str]:
    """Choose one raster band per model band.

    Requested bands win. Otherwise bands are found by name, if every model band has exactly
    one raster band of its name; else the first bands without alpha are taken in order.

    Args:
        band_names: Lower-case names of the raster's bands, ``""`` for an unknown one and
            ``alpha`` for an alpha band.
        count: Number of bands in the raster, alpha included.
        card_bands: Bands of the model in the order of its input.
        requested: Band numbers from 1 that the user wants, empty for none.

    Returns:
        Band numbers from 1, one per model band (a band may come twice if it was requested
        so), and a note that says how they were chosen; empty if the user chose them.

    Raises:
        RasterError: If the raster has too few bands, or the request does not fit.
    """
    if requested:
        return _requested(count, card_bands, requested), ""
    data = [band for band, name in enumerate(band_names, 1) if name != ALPHA_NAME]
    if len(data) < len(card_bands):
        raise _too_few(band_names, data, card_bands)
    found = bands_by_name(band_names, card_bands)
    if found is not None:
        return found, f"bands found by name: {_pairs(found, card_bands, band_names)}"
    chosen = tuple(data[: len(card_bands)])
    unsure = len(data) > len(card_bands) or any(band_names[band - 1] for band in chosen)
    how = "bands taken in order, please check" if unsure else "bands taken in order"
    return chosen, f"{how}: {_pairs(chosen, card_bands, band_names)}"


def _requested(
    count: int, card_bands: Sequence[BandSpec], requested: Sequence[int]
) -> Tuple[int, ...]:
    if len(requested) != len(card_bands):
        raise RasterError(
            f"{len(requested)} bands are chosen ({_numbers(requested)}), the model needs "
            f"{len(card_bands)} ({_names(card_bands)})",
            f"choose {len(card_bands)} bands; one band may be chosen several times",
        )
    for band in requested:
        if not 1 <= band <= count:
            raise RasterError(
                f"band {band} is chosen, but the raster has {count}",
                f"choose bands from 1 to {count}",
            )
    return tuple(int(band) for band in requested)


def _too_few(
    band_names: Sequence[str], data: Sequence[int], card_bands: Sequence[BandSpec]
) -> RasterError:
    noun = "band" if len(data) == 1 else "bands"
    message = f"the raster has {len(data)} {noun}, the model needs {len(card_bands)}"
    message += f" ({_names(card_bands)})"
    if PALETTE_NAME in band_names:
        return RasterError(
            f"{message}; its band holds colour indices",
            "expand the palette first (QGIS: Raster > Conversion > PCT to RGB)",
        )
    if len(band_names) >= len(card_bands):
        every = _numbers(range(1, len(card_bands) + 1))
        return RasterError(
            f"{message}; a band marked as alpha is not counted",
            f"to use it as data choose the bands yourself: {every}",
        )
    if len(data) == 1:
        same = _numbers([1] * len(card_bands))
        return RasterError(
            message, f"choose another raster or model; to use grey as colour choose bands {same}"
        )
    return RasterError(message, "choose a raster with these bands, or a model for this imagery")


def bands_by_name(
    band_names: Sequence[str], card_bands: Sequence[BandSpec]
) -> Optional[Tuple[int, ...]]:
    """Return the bands by name, None unless each model band has exactly one."""
    words = [_words(name) for name in band_names]
    chosen = []
    for spec in card_bands:
        wanted = _wanted(spec)
        matches = [band for band, names in enumerate(words, 1) if names & wanted]
        if len(matches) != 1:
            return None
        chosen.append(matches[0])
    return tuple(chosen) if len(set(chosen)) == len(chosen) else None


def _wanted(spec: BandSpec) -> Set[str]:
    names = {_plain(name) for name in (spec.name, *spec.names)}
    for name, aliases in ALIASES.items():
        known = {_plain(alias) for alias in (name, *aliases)}
        if _plain(spec.name) in known:
            names |= known
    return names


def _words(name: str) -> Set[str]:
    """Return the words of a band name that it may be found by, and the whole name.

    ``"Band 4 - Red"`` has ``red``; ``"B04 (665 nm)"`` has ``b4``; ``"red edge"`` is one word
    and not ``red``.
    """
    text = re.sub(r"(red|near|swir)[\s_-]+(edge|infrared|ir|[12])\b", r"\1\2", name.lower())
    parts = {_plain(part) for part in re.split(r"[^0-9a-z]+", text)}
    return (parts | {_plain(text)}) - {"", "band"}


def _plain(name: str) -> str:
    """Return a name without separators and without leading zeros of its number."""
    return re.sub(r"^([a-z]+)0+(?=[0-9])", r"\1", re.sub(r"[^0-9a-z]", "", name.lower()))


def _pairs(bands: Sequence[int], card_bands: Sequence[BandSpec], band_names: Sequence[str]) -> str:
    parts = []
    for band, spec in zip(bands, card_bands):
        name = band_names[band - 1]
        parts.append(f"{spec.name} = {band}" + (f" ({name})" if name else ""))
    return ", ".join(parts)


def _names(card_bands: Sequence[BandSpec]) -> str:
    return ", ".join(band.name for band in card_bands)


def _numbers(bands: Sequence[int]) -> str:
    return ",".join(str(band) for band in bands)
