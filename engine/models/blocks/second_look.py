"""Windows with small objects, and what a second look at them changes.

Chen, Wang, Di, Xiong, Zou, "Look twice and closer: a coarse-to-fine segmentation network for
small objects in remote sensing images", IEEE SPL 2025, sections II-A and II-C.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...errors import ModelError

Mode = Literal["symmetric", "literal", "paddlers"]
Normalisation = Literal["sum", "softmax"]
CERTAIN = 0.5
MIN_PROBABILITY = 1e-12
MAX_ZOOM = 4


@dataclass(frozen=True)
class Look:
    """How windows are chosen, seen and merged.

    Attributes:
        patch_px: Side of a window.
        stride_px: Step between windows in training.
        top_n: Most windows per image in training.
        infer_stride_px: Step between windows in inference; 0 means ``patch_px``.
        infer_top_n: Most windows per image in inference; 0 means all, and rasters need it.
        zoom: Enlargement of the windows before the fine network.
        mode: How both results are merged, see :func:`aggregate`.
        normalisation: How merged values become probabilities.

    Raises:
        ValueError: If a value is out of its range.
    """

    patch_px: int = 128
    stride_px: int = 32
    top_n: int = 32
    infer_stride_px: int = 0
    infer_top_n: int = 0
    zoom: int = 1
    mode: Mode = "symmetric"
    normalisation: Normalisation = "sum"

    def __post_init__(self) -> None:
        if min(self.patch_px, self.stride_px, self.top_n) < 1:
            raise ValueError(f"patch_px, stride_px and top_n must be at least 1, not {self}")
        if not 1 <= self.zoom <= MAX_ZOOM:
            raise ValueError(f"zoom {self.zoom} is not in 1..{MAX_ZOOM}")
        if self.mode not in ("symmetric", "literal", "paddlers"):
            raise ValueError(f"mode {self.mode!r} is not symmetric, literal or paddlers")
        if self.normalisation not in ("sum", "softmax"):
            raise ValueError(f"normalisation {self.normalisation!r} is not sum or softmax")

    def check_whole(self) -> None:
        """Refuse a limited number of windows where there is no image to count them in.

        A raster is seen in tiles, and which windows of it are the fullest is known only when the
        last row has been seen; an exported network looks at all windows.

        Raises:
            ModelError: If ``infer_top_n`` is not 0.
        """
        if self.infer_top_n:
            raise ModelError(
                f"C2FNet with infer_top_n {self.infer_top_n} looks at that many windows of one "
                "image; a raster, a training or an export needs all of them",
                "set look.infer_top_n to 0 (in builder_args of the card, or in options of the "
                "recipe)",
            )


def class_mask(num_classes: int, chosen: Collection[int], device: torch.device) -> Tensor:
    """Return bool ``[K]``, true at the chosen classes."""
    mask = torch.zeros(num_classes, dtype=torch.bool, device=device)
    mask[torch.tensor(sorted(chosen), dtype=torch.int64, device=device)] = True
    return mask


def window_starts(length_px: int, patch_px: int, stride_px: int) -> list[int]:
    """Return the offsets of windows along one side; the last one is moved to the border."""
    starts = list(range(0, length_px - patch_px + 1, stride_px))
    if starts[-1] + patch_px < length_px:
        starts.append(length_px - patch_px)
    return starts


def count_in_windows(heat: Tensor, patch_px: int, stride_px: int) -> Tensor:
    """Count the true pixels of every window.

    Args:
        heat: Bool ``[N, H, W]``, H and W at least ``patch_px``.
        patch_px: Side of a window.
        stride_px: Step from window to window.

    Returns:
        Int64 ``[N, rows, cols]``, one number per pair of :func:`window_starts`.
    """
    sums = heat.to(torch.int64).cumsum(dim=1).cumsum(dim=2)
    sums = torch.nn.functional.pad(sums, (1, 0, 1, 0))
    rows, cols = _starts(heat, patch_px, stride_px)
    low, high = sums[:, rows], sums[:, rows + patch_px]
    return high[..., cols + patch_px] - high[..., cols] - low[..., cols + patch_px] + low[..., cols]


def locate(heat: Tensor, *, patch_px: int, stride_px: int, top_n: int | None) -> Tensor:
    """Return the windows of each image that hold small objects, the fullest first.

    Args:
        heat: Bool ``[N, H, W]``, H and W at least ``patch_px``.
        patch_px: Side of a window.
        stride_px: Step from window to window.
        top_n: Most windows per image, ``None`` for all; ties in raster order.

    Returns:
        Int64 ``[M, 3]``: image, row and column of the upper left corner; only windows with at
        least one true pixel.
    """
    counts = count_in_windows(heat, patch_px, stride_px)
    rows, cols = _starts(heat, patch_px, stride_px)
    ranked, order = counts.flatten(1).sort(dim=1, descending=True, stable=True)
    kept = ranked > 0
    if top_n is not None:
        kept[:, top_n:] = False
    image, rank = kept.nonzero(as_tuple=True)
    position = order[image, rank]
    return torch.stack((image, rows[position // len(cols)], cols[position % len(cols)]), dim=1)


def cut_patches(x: Tensor, windows: Tensor, patch_px: int) -> Tensor:
    """Return the windows of a tensor ``[N, ..., H, W]`` as ``[M, ..., k, k]``."""
    patches = [
        x[image, ..., row : row + patch_px, col : col + patch_px]
        for image, row, col in windows.tolist()
    ]
    return torch.stack(patches) if patches else x.new_empty((0, *x.shape[1:-2], patch_px, patch_px))


def paste(x: Tensor, patches: Tensor, windows: Tensor) -> None:
    """Overwrite the windows of ``[N, ..., H, W]`` in place by patches ``[M, ..., k, k]``."""
    side = patches.shape[-1]
    for patch, (image, row, col) in zip(patches, windows.tolist(), strict=True):
        x[image, ..., row : row + side, col : col + side] = patch


def paste_mean(patches: Tensor, windows: Tensor, shape: torch.Size) -> Tensor:
    """Put patches back, averaged where they overlap.

    Args:
        patches: Float ``[M, k, k]``.
        windows: See :func:`locate`.
        shape: ``(N, H, W)``.

    Returns:
        Float ``[N, H, W]``, 0 outside of all windows.
    """
    total = patches.new_zeros(shape)
    hits = patches.new_zeros(shape)
    side = patches.shape[-1]
    for patch, (image, row, col) in zip(patches, windows.tolist(), strict=True):
        total[image, row : row + side, col : col + side] += patch
        hits[image, row : row + side, col : col + side] += 1
    return total / hits.clamp(min=1)


def raise_probabilities(
    coarse: Tensor, small: Tensor, classes: Tensor, mode: Mode = "symmetric"
) -> Tensor:
    """Return the class values of eq. 1, not normalised.

    Where the coarse network sees a small object and the fine one background, ``symmetric``
    raises the best other class (``literal``, as the equation is printed: the small class
    itself); where only the fine network sees a small object, the best small class is raised.

    Args:
        coarse: Probabilities of the coarse network, float ``[N, K, H, W]``.
        small: Probability of a small object by the fine network, float ``[N, H, W]``; 0.5
            counts as one.
        classes: Bool ``[K]``, true at the small classes.
        mode: ``symmetric`` or ``literal``.

    Returns:
        Float ``[N, K, H, W]``; equal to ``coarse`` where both networks agree.
    """
    members = classes.view(1, -1, 1, 1)
    best = coarse.argmax(dim=1)
    best_small = coarse.masked_fill(~members, -1).argmax(dim=1)
    best_other = coarse.masked_fill(members, -1).argmax(dim=1)
    seen, confirmed = classes[best], small >= CERTAIN
    lifted = best if mode == "literal" else best_other
    rejected = torch.where(seen & ~confirmed, 1 - small, 0.0)
    found = torch.where(~seen & confirmed, small, 0.0)
    raised = coarse.scatter_add(1, lifted.unsqueeze(1), rejected.unsqueeze(1))
    return raised.scatter_add(1, best_small.unsqueeze(1), found.unsqueeze(1))


def aggregate(
    logits: Tensor,
    small: Tensor,
    classes: Tensor,
    *,
    mode: Mode = "symmetric",
    normalisation: Normalisation = "softmax",
) -> Tensor:
    """Return logits whose softmax is the aggregated probability, for pixels seen twice.

    Args:
        logits: Of the coarse network, float ``[N, K, H, W]``.
        small: Probability of a small object, float ``[N, H, W]``.
        classes: Bool ``[K]``, true at the small classes.
        mode: See :func:`raise_probabilities`; ``paddlers``: the probability is added to the
            logits of all small classes, as the published code does.
        normalisation: Of the raised values: ``softmax`` (the paper's) or their ``sum``, which
            leaves pixels as they are where both networks agree. The label is the same.

    Returns:
        Float ``[N, K, H, W]``.
    """
    if mode == "paddlers":
        return logits + small.unsqueeze(1) * classes.view(1, -1, 1, 1)
    coarse = logits.softmax(dim=1)
    raised = raise_probabilities(coarse, small, classes, mode)
    if normalisation == "softmax":
        return raised
    changed = (raised != coarse).any(dim=1, keepdim=True)
    return torch.where(changed, raised.clamp(min=MIN_PROBABILITY).log(), logits)


def _starts(heat: Tensor, patch_px: int, stride_px: int) -> tuple[Tensor, Tensor]:
    rows, cols = (window_starts(int(n), patch_px, stride_px) for n in heat.shape[-2:])
    return torch.tensor(rows, device=heat.device), torch.tensor(cols, device=heat.device)
