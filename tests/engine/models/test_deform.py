"""Deformable convolution: a plain one at its start, torchvision's operator anywhere else."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from torchvision.ops import deform_conv2d

from engine.models.blocks.deform import TAPS, ModulatedDeformConv, sampled_columns

pytestmark = pytest.mark.networks


def test_it_starts_as_half_a_convolution() -> None:
    torch.manual_seed(0)
    layer = ModulatedDeformConv(5, 7)
    x = torch.randn(2, 5, 9, 13)
    plain = functional.conv2d(x, layer.conv.weight, padding=1)
    assert torch.allclose(layer(x), 0.5 * plain, atol=1e-5)
    torch.nn.init.constant_(layer.predict.bias[18:], 50.0)  # modulation 1
    assert torch.allclose(layer(x), plain, atol=1e-5)


def test_an_offset_of_a_pixel_moves_the_image() -> None:
    x = torch.arange(12.0).view(1, 1, 3, 4)
    offsets = torch.zeros(1, 2 * TAPS, 3, 4)
    offsets[:, 1::2] = 1.0  # one column to the right
    columns = sampled_columns(x, offsets, torch.ones(1, TAPS, 3, 4))
    centre = columns.view(1, TAPS, 3, 4)[0, 4]
    moved = torch.tensor([[1.0, 2, 3, 0], [5, 6, 7, 0], [9, 10, 11, 0]])
    torch.testing.assert_close(centre, moved, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width", "reach_px"), [(7, 11, 2.0), (1, 5, 0.7), (6, 6, 30.0)])
def test_values_and_gradients_are_those_of_torchvision(height, width, reach_px) -> None:
    generator = torch.Generator().manual_seed(height)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    x, weight = draw(2, 5, height, width), draw(3, 5, 3, 3)
    offsets = reach_px * draw(2, 2 * TAPS, height, width)
    modulation = draw(2, TAPS, height, width).sigmoid()
    towards = draw(2, 3, height, width)
    results = []
    for own in (True, False):
        leaves = [part.clone().requires_grad_() for part in (x, offsets, modulation, weight)]
        if own:
            columns = sampled_columns(*leaves[:3]).flatten(2)
            found = (leaves[3].flatten(1) @ columns).view(2, 3, height, width)
        else:
            found = deform_conv2d(leaves[0], leaves[1], leaves[3], padding=1, mask=leaves[2])
        (found * towards).sum().backward()
        results.append([found.detach(), *(leaf.grad for leaf in leaves)])
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)
