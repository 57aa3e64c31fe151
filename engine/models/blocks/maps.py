"""Feature maps of several scales brought to one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def concatenate_maps(maps: Sequence[Tensor], *, align_corners: bool = False) -> Tensor:
    """Enlarge all maps bilinearly to the first one's size and concatenate their channels.

    Args:
        maps: Float ``[N, C_i, h_i, w_i]``, finest first.
        align_corners: How maps are enlarged.

    Returns:
        Float ``[N, sum of C_i, h_0, w_0]``.
    """
    size = maps[0].shape[-2:]
    same = [
        x
        if x.shape[-2:] == size
        else functional.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)
        for x in maps
    ]
    return torch.cat(same, dim=1)
