"""Cutting and changing of training crops (torch): geometry and colour."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .crops import IGNORE_ID, CropPlan, CropRanges, TrainingScene, crop_rng, draw_crop

SUPERSAMPLE_FROM_ZOOM = 1.3
_LUMA = (0.299, 0.587, 0.114)


def cut_crop(
    pixels: NDArray[np.uint8], labels: NDArray[np.uint8], plan: CropPlan, size_px: int
) -> tuple[Tensor, Tensor]:
    """Cut a turned and scaled crop out of a scene.

    Pixels are interpolated bilinearly (and averaged over 2 x 2 samples where the crop is coarser
    than the scene), labels are taken from the nearest pixel; outside the scene pixels are 0 and
    labels 255.

    Args:
        pixels: ``[C, H, W]`` uint8.
        labels: ``[H, W]`` uint8.
        plan: Place and shape.
        size_px: Side of the crop.

    Returns:
        Image ``[C, S, S]`` float32 in 0..255 and labels ``[S, S]`` int64.
    """
    source, row0, col0 = _bounding_part(pixels, labels, plan, size_px)
    parts = torch.from_numpy(source).float().unsqueeze(0)
    channels = pixels.shape[0]
    samples = 2 if max(plan.zoom_row, plan.zoom_col) > SUPERSAMPLE_FROM_ZOOM else 1
    shape = source.shape[1:]
    grid = _sampling_grid(plan, size_px, samples, row0, col0, shape)
    image = functional.grid_sample(
        parts[:, :channels], grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    if samples > 1:
        image = functional.avg_pool2d(image, samples)
        grid = _sampling_grid(plan, size_px, 1, row0, col0, shape)
    marks = functional.grid_sample(
        parts[:, channels:], grid, mode="nearest", padding_mode="border", align_corners=False
    )
    return image[0], marks[0, 0].round().long()


def _bounding_part(
    pixels: NDArray[np.uint8], labels: NDArray[np.uint8], plan: CropPlan, size_px: int
) -> tuple[NDArray[np.uint8], int, int]:
    """Return pixels and labels ``[C + 1, h, w]`` around a crop, with the first row and column."""
    reach_row, reach_col = np.abs(plan.matrix()).sum(axis=1) * size_px / 2 + 2
    row0, row1 = math.floor(plan.row_px - reach_row), math.ceil(plan.row_px + reach_row) + 1
    col0, col1 = math.floor(plan.col_px - reach_col), math.ceil(plan.col_px + reach_col) + 1
    height, width = labels.shape
    part = np.zeros((pixels.shape[0] + 1, row1 - row0, col1 - col0), np.uint8)
    part[-1] = IGNORE_ID
    inner = (slice(max(row0, 0), min(row1, height)), slice(max(col0, 0), min(col1, width)))
    place = (
        slice(inner[0].start - row0, inner[0].stop - row0),
        slice(inner[1].start - col0, inner[1].stop - col0),
    )
    part[(slice(None, -1), *place)] = pixels[(slice(None), *inner)]
    part[(-1, *place)] = labels[inner]
    return part, row0, col0


def _sampling_grid(
    plan: CropPlan, size_px: int, samples: int, row0: int, col0: int, shape: tuple[int, ...]
) -> Tensor:
    """Return the grid ``[1, n, n, 2]`` of ``grid_sample`` in the coordinates of the part."""
    count = size_px * samples
    steps = (np.arange(count) + 0.5) / samples - size_px / 2
    matrix = plan.matrix()
    rows = plan.row_px - row0 + matrix[0, 0] * steps[:, None] + matrix[0, 1] * steps[None, :]
    cols = plan.col_px - col0 + matrix[1, 0] * steps[:, None] + matrix[1, 1] * steps[None, :]
    grid = np.stack(((2 * cols + 1) / shape[1] - 1, (2 * rows + 1) / shape[0] - 1), axis=-1)
    return torch.from_numpy(grid.astype(np.float32)).unsqueeze(0)


@dataclass(frozen=True)
class ColorRanges:
    """Strength of the colour changes; ratios are probabilities of the rarer ones."""

    plain_ratio: float = 0.2
    brightness: float = 0.3
    contrast: float = 0.35
    gamma: float = 0.4
    saturation: float = 0.7
    hue_rad: float = 0.35
    white_balance: float = 0.15
    gray_ratio: float = 0.08
    swap_ratio: float = 0.05
    blur_ratio: float = 0.2
    noise_ratio: float = 0.2
    jpeg_ratio: float = 0.2


def change_colors(image: Tensor, ranges: ColorRanges, rng: np.random.Generator) -> Tensor:
    """Return an RGB crop as another sensor, light or season could have shown it.

    Args:
        image: ``[3, S, S]`` float32 in 0..255.
        ranges: Strength of the changes.
        rng: Source of the draws.
    """
    if rng.random() < ranges.plain_ratio:
        return image
    x = image / 255
    matrix, offset = _color_matrix(float(x.mean()), ranges, rng)
    if rng.random() < ranges.swap_ratio:
        matrix = matrix[rng.permutation(3)]
    weight = torch.from_numpy(matrix.astype(np.float32))
    x = torch.einsum("ij,jhw->ihw", weight, x) + offset
    x = x.clamp_(0, 1).pow(math.exp(rng.uniform(-ranges.gamma, ranges.gamma)))
    if rng.random() < ranges.blur_ratio:
        x = _blur(x, rng.uniform(0.4, 1.6))
    if rng.random() < ranges.noise_ratio:
        noise = rng.standard_normal(tuple(x.shape), dtype=np.float32)
        x = x + torch.from_numpy(noise) * rng.uniform(0.005, 0.04)
    x = x.clamp(0, 1) * 255
    if rng.random() < ranges.jpeg_ratio:
        x = _through_jpeg(x, int(rng.integers(25, 90)))
    return x


def _through_jpeg(x: Tensor, quality: int) -> Tensor:
    """Return an RGB image in 0..255 after JPEG compression."""
    pixels = x.round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()


def _color_matrix(
    mean: float, ranges: ColorRanges, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """Return gains, saturation, hue, contrast and brightness as one 3 x 3 matrix and an offset."""
    luma = np.tile(_LUMA, (3, 1))
    keep = 0.0 if rng.random() < ranges.gray_ratio else 1 + rng.uniform(-1, 1) * ranges.saturation
    matrix = luma + keep * (np.eye(3) - luma)
    matrix = _hue_matrix(rng.uniform(-ranges.hue_rad, ranges.hue_rad)) @ matrix
    gains = 1 + rng.uniform(-1, 1, 3) * ranges.white_balance
    contrast = math.exp(rng.uniform(-ranges.contrast, ranges.contrast))
    brightness = math.exp(rng.uniform(-ranges.brightness, ranges.brightness))
    return brightness * contrast * np.diag(gains) @ matrix, brightness * (1 - contrast) * mean


def _hue_matrix(angle_rad: float) -> NDArray[np.float64]:
    """Return the rotation about the grey axis (Rodrigues' formula)."""
    cos, sin = math.cos(angle_rad), math.sin(angle_rad) / math.sqrt(3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    rotation: NDArray[np.float64] = cos * np.eye(3) + sin * cross + (1 - cos) / 3
    return rotation


def _blur(x: Tensor, sigma_px: float) -> Tensor:
    """Return the image blurred by a Gaussian of 7 x 7 taps."""
    taps = torch.exp(-0.5 * (torch.arange(-3, 4) / sigma_px) ** 2)
    taps = taps / taps.sum()
    channels = x.shape[0]
    row = taps.view(1, 1, 1, 7).expand(channels, 1, 1, 7)
    padded = functional.pad(x.unsqueeze(0), (3, 3, 3, 3), mode="reflect")
    padded = functional.conv2d(padded, row, groups=channels)
    return functional.conv2d(padded, row.transpose(2, 3), groups=channels)[0]


@dataclass(frozen=True)
class CropBatches:
    """Batches of changed crops of one scene; batch ``step`` is always the same.

    Attributes:
        scene: What may be seen.
        ranges: Geometry of the crops.
        colors: Colour changes, None for none.
        batch: Crops per batch.
        seed: Seed of all draws.
    """

    scene: TrainingScene
    ranges: CropRanges
    colors: ColorRanges | None
    batch: int
    seed: int

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return images ``[N, C, S, S]`` float32 in 0..255 and labels ``[N, S, S]`` int64."""
        pairs = [self._crop(step, index) for index in range(self.batch)]
        return torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs])

    def _crop(self, step: int, index: int) -> tuple[Tensor, Tensor]:
        rng = crop_rng(self.seed, step, index)
        plan = draw_crop(self.scene, self.ranges, rng)
        image, labels = cut_crop(self.scene.pixels, self.scene.labels, plan, self.ranges.size_px)
        if self.colors is not None:
            image = change_colors(image, self.colors, rng)
        return image, labels
