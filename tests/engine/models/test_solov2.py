"""SOLOv2: counts, targets and Matrix NMS by hand, losses, learning."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from engine.errors import ModelError
from engine.models import create_model
from engine.models.blocks.matrix_nms import matrix_nms
from engine.models.blocks.solo_losses import SoloOptions, dice_loss, find_candidates
from engine.models.blocks.solo_targets import (
    BACKGROUND,
    assign_cells,
    describe_objects,
    quarter_masks,
)

from .instance_contract import SMALL_SOLO, InstanceContract, counted, disc_target, trainable_m

pytestmark = pytest.mark.networks


class TestSoloV2(InstanceContract):
    name = "solov2"
    options = SMALL_SOLO


def test_parameters() -> None:
    network = counted("solov2_r101", num_classes=15, freeze=True)
    assert trainable_m(network) == pytest.approx(65.06, rel=1e-3)
    assert trainable_m(counted("solov2_r50", num_classes=15, freeze=True)) == pytest.approx(
        46.07, rel=1e-3
    )


def _square(top: int, left: int, side: int, label: int = 1, size: int = 800) -> dict:
    mask = torch.zeros((1, size, size), dtype=torch.uint8)
    mask[0, top : top + side, left : left + side] = 1
    box = torch.tensor([[left, top, left + side, top + side]], dtype=torch.float32)
    return {"boxes": box, "labels": torch.tensor([label]), "masks": mask}


def _assigned(*targets: dict, collision: str = "smaller", size: int = 800) -> list:
    joined = {key: torch.cat([t[key] for t in targets]) for key in targets[0]}
    objects = describe_objects(joined["boxes"], joined["labels"], joined["masks"])
    options = SoloOptions()
    return [
        assign_cells(objects, (size, size), grid, tuple(limits), collision=collision)
        for grid, limits in zip(options.grids, options.scale_ranges_px, strict=True)
    ]


def test_targets_of_a_square_by_hand() -> None:
    levels = _assigned(_square(375, 375, 60, label=4))
    found = [set(level.cells.tolist()) for level in levels]
    assert found[0] == {r * 40 + c for r in (19, 20) for c in (19, 20)}
    assert found[1] == {r * 36 + c for r in (17, 18) for c in (17, 18)}
    assert found[2:] == [set(), set(), set()]
    assert set(levels[0].classes.unique().tolist()) == {BACKGROUND, 3}
    assert int((levels[0].classes == 3).sum()) == 4


def test_targets_at_the_border_stay_in_the_grid() -> None:
    levels = _assigned(_square(0, 740, 60))
    assert levels[0].cells.tolist() == [1 * 40 + 38]
    assert levels[1].cells.tolist() == [1 * 36 + 34]


def test_a_contested_cell_belongs_to_the_smaller_object() -> None:
    small, large = _square(375, 375, 60, label=1), _square(360, 360, 90, label=2)
    levels = _assigned(small, large)
    claimed = _assigned(small)[0].cells
    assert (levels[0].classes[claimed] == 0).all()
    owners = dict(zip(levels[0].cells.tolist(), levels[0].instances.tolist(), strict=True))
    assert all(owners[cell] == 0 for cell in claimed.tolist())
    reference = _assigned(small, large, collision="reference")[0]
    assert (reference.classes[claimed] == 1).all()
    assert reference.cells.numel() == claimed.numel() + _assigned(large)[0].cells.numel()


def test_an_empty_mask_has_no_cell() -> None:
    target = _square(375, 375, 60)
    target["masks"][:] = 0
    assert sum(level.cells.numel() for level in _assigned(target)) == 0


def test_quarter_masks_keep_aligned_squares() -> None:
    mask = torch.zeros((1, 37, 61), dtype=torch.uint8)
    mask[0, 8:24, 12:40] = 1
    small = quarter_masks(mask, (64, 64))
    expected = torch.zeros((1, 16, 16))
    expected[0, 2:6, 3:10] = 1
    assert torch.equal(small, expected)
    assert torch.equal(quarter_masks(mask, (64, 64), soft=True), expected)


def test_quarter_masks_are_bilinear_samples() -> None:
    torch.manual_seed(0)
    masks = (torch.rand(3, 37, 61) > 0.5).to(torch.uint8)
    padded = functional.pad(masks.float(), (0, 3, 0, 27))[:, None]
    sampled = functional.interpolate(padded, size=(16, 16), mode="bilinear", align_corners=False)
    assert torch.equal(quarter_masks(masks, (64, 64)), (sampled[:, 0] >= 0.5).float())
    shares = functional.avg_pool2d(padded, 4)[:, 0]
    assert torch.equal(quarter_masks(masks, (64, 64), soft=True), shares)
    assert quarter_masks(masks[:0], (64, 64)).shape == (0, 16, 16)


def test_masks_are_drawn_for_the_best_candidates_only() -> None:
    torch.manual_seed(0)
    categories = [torch.randn(3, grid, grid) for grid in (40, 36, 24, 16, 12)]
    every = find_candidates(categories, SoloOptions(max_candidates=5000))
    best = find_candidates(categories, SoloOptions(max_candidates=10))
    assert every.scores.numel() > best.scores.numel() == 40
    assert best.scores.tolist() == every.scores.sort(descending=True).values[:40].tolist()


def test_soft_masks_are_shares_and_draw_small_discs_better() -> None:
    masks = disc_target(96, 96, [(20, 20, 5, 1), (62, 30, 7, 1), (56, 72, 9, 1)])["masks"]
    overlaps = []
    for soft in (False, True):
        small = quarter_masks(masks, (96, 96), soft=soft)
        drawn = functional.interpolate(small[:, None], scale_factor=4, mode="bilinear")[:, 0] > 0.5
        truth = masks > 0
        overlaps.append((drawn & truth).sum((1, 2)) / (drawn | truth).sum((1, 2)))
    assert small.sum((1, 2)).tolist() == (masks.sum((1, 2)) / 16).tolist()
    assert (overlaps[1] > overlaps[0] + 0.05).all() and float(overlaps[1].min()) > 0.87


MASKS = torch.tensor([[1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1]]) > 0
SCORES = torch.tensor([0.9, 0.8, 0.7])


@pytest.mark.parametrize(
    ("decay", "labels", "expected"),
    [
        ("gaussian", (1, 1, 1), (0.9, 0.640590, 0.530226)),
        ("linear", (1, 1, 1), (0.9, 0.533333, 0.525000)),
        ("gaussian", (1, 2, 3), (0.9, 0.8, 0.7)),
        ("linear", (1, 2, 1), (0.9, 0.8, 0.7)),
    ],
)
def test_matrix_nms_by_hand(decay, labels, expected) -> None:
    scores = matrix_nms(MASKS, torch.tensor(labels), SCORES, decay=decay)
    assert scores.tolist() == pytest.approx(expected, abs=1e-6)


def test_matrix_nms_of_twins_and_of_nothing() -> None:
    twins = matrix_nms(MASKS[[1, 1]], torch.ones(2), SCORES[:2], decay="linear")
    assert twins.tolist() == pytest.approx((0.9, 0.0))
    assert matrix_nms(MASKS[:0], torch.ones(0), SCORES[:0]).shape == (0,)
    with pytest.raises(ValueError, match="decay"):
        matrix_nms(MASKS, torch.ones(3), SCORES, decay="cubic")


def test_dice() -> None:
    masks = (torch.rand(2, 37, 61) > 0.5).float()
    assert dice_loss(masks, masks).abs().max() < 1e-3 / 100
    assert float(dice_loss(masks[:1], 1 - masks[:1])) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "options",
    [{"nms": "cubic"}, {"collision": "larger"}, {"dcn_in": ["neck"]}, {"grids": [4]}, {"bad": 1}],
)
def test_wrong_options_are_a_model_error(options) -> None:
    with torch.device("meta"), pytest.raises(ModelError, match="solov2_r50"):
        create_model("solov2_r50", num_classes=2, **options)
