"""Random changes: image and masks stay together, any number of bands, unknown ground stays so."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors

from engine.data.augment import (
    IGNORE_ID,
    AugmentOptions,
    ClassMask,
    RandomBandValues,
    boxes_of,
    instance_target,
    make_augment,
)

STILL = AugmentOptions(hflip=0, vflip=0, rotate90=0, color_ratio=0)


def plain(x: torch.Tensor) -> torch.Tensor:
    return x.as_subclass(torch.Tensor)


@given(
    seed=st.integers(0, 1000),
    bands=st.sampled_from([1, 3, 4, 13]),
    height=st.integers(9, 61),
    width=st.integers(9, 61),
    crop=st.integers(4, 40),
)
def test_image_mask_and_objects_stay_together(
    seed: int, bands: int, height: int, width: int, crop: int
) -> None:
    """All three are made of the same numbers, so they must agree after every change."""
    torch.manual_seed(seed)
    values = torch.randint(0, 3, (height, width))
    sample = {
        "image": tv_tensors.Image(values.expand(bands, -1, -1).float()),
        "mask": ClassMask(values.to(torch.uint8)),
        "objects": tv_tensors.Mask(torch.stack([values == k for k in range(3)])),
    }
    options = AugmentOptions(color_ratio=0)
    out = make_augment(options, crop)(sample)
    image, mask, objects = (plain(out[k]) for k in ("image", "mask", "objects"))
    assert image.shape == (bands, crop, crop)
    known = mask != IGNORE_ID
    assert torch.equal(image[0][known], mask[known].float())
    assert torch.equal(objects.any(dim=0), known)
    assert torch.equal(objects.float().argmax(dim=0)[known], mask[known].long())


def test_a_crop_of_the_same_size_without_changes_is_the_chip() -> None:
    image = torch.randn(5, 24, 24)
    mask = torch.randint(0, 2, (24, 24), dtype=torch.uint8)
    out = make_augment(STILL, 24)({"image": tv_tensors.Image(image), "mask": ClassMask(mask)})
    assert torch.equal(plain(out["image"]), image)
    assert torch.equal(plain(out["mask"]), mask)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_scale_keeps_shares_of_classes(scale: float) -> None:
    """Half of the ground is class 1 at any scale; the masks take no new values."""
    mask = torch.zeros(64, 64, dtype=torch.uint8)
    mask[:, 32:] = 1
    options = AugmentOptions(
        hflip=0, vflip=0, rotate90=0, color_ratio=0, scale_min=scale, scale_max=scale
    )
    sample = {"image": tv_tensors.Image(mask.float()[None]), "mask": ClassMask(mask)}
    out = make_augment(options, round(64 * scale))(sample)
    values, counts = plain(out["mask"]).unique(return_counts=True)
    assert values.tolist() == [0, 1]
    assert counts.tolist() == [counts.sum().item() // 2] * 2


def test_ground_outside_a_small_chip_is_unknown_and_zero() -> None:
    torch.manual_seed(0)
    sample = {
        "image": tv_tensors.Image(torch.ones(2, 10, 14)),
        "mask": ClassMask(torch.ones(10, 14, dtype=torch.uint8)),
    }
    out = make_augment(STILL, 20)(sample)
    known = plain(out["mask"]) != IGNORE_ID
    assert int(known.sum()) == 140
    assert plain(out["image"])[:, known].eq(1).all()
    assert plain(out["image"])[:, ~known].eq(0).all()


def test_values_change_by_at_most_their_strength() -> None:
    torch.manual_seed(1)
    image = torch.zeros(4, 8, 8)
    change = RandomBandValues(AugmentOptions(brightness=0.5, color_ratio=1))
    shifts = [float(change(tv_tensors.Image(image)).mean()) for _ in range(50)]
    assert max(map(abs, shifts)) <= 0.5
    assert max(shifts) > 0.2 > -0.2 > min(shifts)


def test_saturation_zero_makes_bands_equal() -> None:
    torch.manual_seed(2)
    image = tv_tensors.Image(torch.randn(3, 6, 6))
    params = {"contrast": 1.0, "brightness": 0.0, "saturation": 0.0, "gain": 1.0, "noise": 0.0}
    out = plain(RandomBandValues(AugmentOptions()).transform(image, params))
    assert torch.allclose(out[0], out[1], atol=1e-6)
    assert torch.allclose(out.mean(0), plain(image).mean(0), atol=1e-6)


def test_boxes_reach_the_far_edges_of_the_pixels() -> None:
    masks = torch.zeros(2, 7, 9, dtype=torch.bool)
    masks[0, 2, 3] = True
    masks[1, 1:4, 2:8] = True
    assert boxes_of(masks).tolist() == [[3, 2, 4, 3], [2, 1, 8, 4]]


def test_objects_that_a_crop_leaves_too_little_of_are_dropped() -> None:
    masks = torch.zeros(3, 20, 20, dtype=torch.bool)
    masks[0, :10, :10] = True
    masks[1, 0, :3] = True
    masks[2, :2, :4] = True
    target = instance_target(masks, torch.tensor([1, 2, 3]))
    assert target["labels"].tolist() == [1, 3]
    assert target["masks"].dtype == torch.uint8
    none = instance_target(masks[:0], torch.zeros(0, dtype=torch.int64))
    assert none["boxes"].shape == (0, 4)
