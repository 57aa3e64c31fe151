"""Targets of instance networks: what is refused and how it is said."""

from __future__ import annotations

import pytest
import torch

from engine.models.contracts import check_instance_targets, total_loss

from .instance_contract import disc_target, no_target

IMAGE = torch.zeros(1, 37, 61)


def test_fitting_targets_come_back() -> None:
    targets = [disc_target(37, 61, [(10, 12, 5, 2)]), no_target(37, 61)]
    assert check_instance_targets([IMAGE, IMAGE], targets, 2) is targets


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": torch.zeros(1, 61, 37)}, r"masks are \[1, 61, 37\], not \[1, 37, 61\]"),
        ({"boxes": torch.zeros(2, 4)}, r"boxes are \[2, 4\]"),
        ({"boxes": torch.tensor([[5.0, 5, 5, 9]])}, r"box 0 is \[5.0, 5.0, 5.0, 9.0\]"),
        ({"boxes": torch.tensor([[5, 5, 7, 9]])}, "labels are torch.int64 and boxes torch.int64"),
        ({"labels": torch.tensor([0])}, "labels run from 0 to 0"),
        ({"labels": torch.tensor([4])}, "labels run from 4 to 4, not from 1 to 3"),
        ({"labels": torch.tensor([1], dtype=torch.int32)}, "labels are torch.int32"),
    ],
)
def test_a_target_that_does_not_fit_is_named(change, message) -> None:
    good = disc_target(37, 61, [(10, 12, 5, 2)])
    with pytest.raises(ValueError, match=f"target of image 1: {message}"):
        check_instance_targets([IMAGE, IMAGE], [good, {**good, **change}], 3)


def test_missing_parts_and_missing_targets() -> None:
    with pytest.raises(ValueError, match="image 0: boxes, masks missing"):
        check_instance_targets([IMAGE], [{"labels": torch.tensor([1])}])
    with pytest.raises(ValueError, match="2 images, 1"):
        check_instance_targets([IMAGE, IMAGE], [no_target(37, 61)])


def test_total_is_the_plain_sum() -> None:
    assert float(total_loss({"a": torch.tensor(1.5), "b": torch.tensor(2.0)})) == 3.5
