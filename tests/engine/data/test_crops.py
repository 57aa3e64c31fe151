"""Crops: image and labels stay together, blanked pixels stay unseen, draws repeat."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.crops import (
    CropPlan,
    CropRanges,
    TrainingScene,
    crop_rng,
    draw_crop,
    training_scene,
)
from engine.data.split import TEST, TRAIN
from engine.data.transforms import ColorRanges, CropBatches, change_colors, cut_crop

HEIGHT, WIDTH = 90, 121


def _picture() -> tuple[np.ndarray, np.ndarray]:
    """A disc, a bar and a triangle: value 40 * class in every band."""
    rows, cols = np.indices((HEIGHT, WIDTH))
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[(rows - 30) ** 2 + (cols - 40) ** 2 < 18**2] = 1
    labels[60:75, 10:100] = 2
    labels[(cols > 70) & (rows < 50) & (rows > cols - 70)] = 3
    return np.stack([labels * 40, labels * 40, 255 - labels * 40]).astype(np.uint8), labels


PLANS = st.builds(
    CropPlan,
    row_px=st.floats(-10, HEIGHT + 10),
    col_px=st.floats(-10, WIDTH + 10),
    angle_rad=st.floats(0, 2 * math.pi),
    zoom_row=st.floats(0.5, 2),
    zoom_col=st.floats(0.5, 2),
    flip=st.booleans(),
)


@settings(max_examples=40)
@given(PLANS)
def test_image_and_labels_stay_together(plan: CropPlan) -> None:
    pixels, labels = _picture()
    image, target = cut_crop(pixels, labels, plan, 32)
    shown = image[0] / 40
    # Away from edges (where the image is a mixture) the class can be read off the image.
    flat = torch.nn.functional.max_pool2d(target[None].float(), 5, 1, 2)[0] == target
    flat &= -torch.nn.functional.max_pool2d(-target[None].float(), 5, 1, 2)[0] == target
    sure = (flat & (target != 255))[3:-3, 3:-3]
    assert torch.allclose(shown[3:-3, 3:-3][sure], target[3:-3, 3:-3][sure].float(), atol=1e-3)


@given(PLANS)
def test_pixels_come_from_where_the_plan_says(plan: CropPlan) -> None:
    rows, cols = np.indices((HEIGHT, WIDTH))
    pixels = np.stack([rows, cols]).astype(np.uint8)
    image, target = cut_crop(pixels, np.zeros((HEIGHT, WIDTH), np.uint8), plan, 17)
    steps = np.stack(np.meshgrid(np.arange(17) - 8.0, np.arange(17) - 8.0, indexing="ij"))
    offsets = np.einsum("ij,jhw->ihw", plan.matrix(), steps)
    place = offsets + np.array([plan.row_px, plan.col_px])[:, None, None]
    border = max(plan.zoom_row, plan.zoom_col) + 1
    limit = np.array([HEIGHT, WIDTH])[:, None, None] - 1 - border
    inner = ((place > border) & (place < limit)).all(axis=0)
    assert np.allclose(image.numpy()[:, inner], place[:, inner], atol=0.02)
    assert (target.numpy()[inner] == 0).all()


def test_plain_crop_is_a_slice() -> None:
    pixels, labels = _picture()
    plan = CropPlan(40.5, 50.5, 0.0, 1.0, 1.0, flip=False)
    image, target = cut_crop(pixels, labels, plan, 20)
    assert np.allclose(image.numpy(), pixels[:, 31:51, 41:61], atol=1e-3)
    assert np.array_equal(target.numpy(), labels[31:51, 41:61])


def test_quarter_turn_and_flip_by_hand() -> None:
    pixels, labels = _picture()
    plan = CropPlan(40.5, 50.5, math.pi / 2, 1.0, 1.0, flip=True)
    target = cut_crop(pixels, labels, plan, 20)[1].numpy()
    # One crop row down is one scene column right, one crop column right one scene row down.
    assert np.array_equal(target, labels[31:51, 41:61].T)


def test_outside_the_scene_is_unknown() -> None:
    pixels, labels = _picture()
    target = cut_crop(pixels, labels, CropPlan(0.5, 0.5, 0.0, 1.0, 1.0, flip=False), 20)[1]
    assert (target[:9] == 255).all() and (target[:, :9] == 255).all()
    assert (target[9:, 9:] == 0).all()


def _scene(side_px: int = 64) -> TrainingScene:
    """Training on the left half; the right half (test) is white and of class 9."""
    pixels = np.full((3, side_px, side_px), 100, np.uint8)
    labels = np.ones((side_px, side_px), np.uint8)
    roles = np.full((side_px, side_px), TRAIN, np.uint8)
    roles[:, side_px // 2 :] = TEST
    pixels[:, roles == TEST] = 255
    labels[roles == TEST] = 9
    return training_scene(pixels, labels, roles)


def test_no_crop_sees_a_pixel_of_another_role() -> None:
    batches = CropBatches(_scene(), CropRanges(24, known_ratio=0.0), None, batch=40, seed=5)
    images, target = batches(0)
    assert images.max() < 100.1
    assert set(target.unique().tolist()) == {1, 255}


def test_crops_mostly_hold_known_pixels() -> None:
    target = CropBatches(_scene(128), CropRanges(24), None, batch=60, seed=5)(1)[1]
    assert float((target != 255).float().mean()) > 0.9


def test_batches_are_a_function_of_seed_and_step() -> None:
    batches = CropBatches(_scene(), CropRanges(24), ColorRanges(), batch=2, seed=5)
    assert torch.equal(batches(7)[0], batches(7)[0])
    assert not torch.equal(batches(7)[0], batches(8)[0])


def test_draws_stay_in_their_ranges() -> None:
    ranges, scene = CropRanges(16, aspect_max=1.1), _scene()
    for step in range(200):
        plan = draw_crop(scene, ranges, crop_rng(1, step, 0))
        zoom = math.sqrt(plan.zoom_row * plan.zoom_col)
        assert 0.5 - 1e-9 <= zoom <= 2 + 1e-9
        assert 1 / 1.1 - 1e-9 <= plan.zoom_row / plan.zoom_col <= 1.1 + 1e-9
        assert plan.col_px < 32


def test_a_scene_without_training_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="no training pixel"):
        training_scene(
            np.zeros((3, 4, 4), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
        )


def test_colors_stay_in_range_and_change_nothing_when_told_so() -> None:
    image = torch.rand(3, 24, 24) * 255
    for seed in range(60):
        changed = change_colors(image.clone(), ColorRanges(), np.random.default_rng(seed))
        assert changed.shape == image.shape and changed.min() >= 0 and changed.max() <= 255
    still = ColorRanges(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    assert torch.allclose(
        change_colors(image.clone(), still, np.random.default_rng(0)), image, atol=1e-3
    )


def test_saturation_of_zero_is_grey() -> None:
    grey = ColorRanges(
        0, 0, 0, 0, 0, 0, 0, gray_ratio=1.0, swap_ratio=0, blur_ratio=0, noise_ratio=0, jpeg_ratio=0
    )
    image = torch.rand(3, 8, 8) * 255
    changed = change_colors(image.clone(), grey, np.random.default_rng(0))
    assert torch.allclose(changed[0], changed[2], atol=1e-3)
    assert torch.allclose(
        changed[0], 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2], atol=0.01
    )
