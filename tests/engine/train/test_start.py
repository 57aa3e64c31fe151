"""What a tuned model takes over: rows of equal class names, and all features untouched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.models import create_model
from engine.train.publish import publish_model
from engine.train.start import start_from_model
from engine.zoo.card import BandSpec, ClassInfo, ModelCard, Resolution
from engine.zoo.registry import USER, ModelEntry

BANDS = tuple(BandSpec(name, 1.0, 0.0, 0.0, 1.0) for name in ("red", "green", "blue"))
UNET = {"encoder": "mobilenet_v2", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}
NAMES = [f"class {number}" for number in range(8)]


def saved(
    folder: Path, builder: str, names: Sequence[str], task: str, **options: object
) -> nn.Module:
    """Publish a network with random weights; returns it."""
    torch.manual_seed(1)
    network = create_model(builder, num_classes=len(names), **options)
    first = 0 if task == "semantic" else 1
    card = ModelCard(
        id="given",
        title="given",
        task=task,
        builder=builder,
        builder_args=options,
        classes=tuple(ClassInfo(i, name, "#112233") for i, name in enumerate(names, first)),
        bands=BANDS,
        resolution_m=Resolution(0.1, 0.2, 0.4),
        tile_px=64,
        overlap_px=16,
        stride=32,
        score_threshold=0.0,
        weights=None,
        dtypes=("uint8",),
        training={},
        metrics=(),
        licenses={},
        description="",
        engine_version="0.1.0",
        created="2026-01-01",
    )
    folder.mkdir()
    publish_model(folder, network.state_dict(), card, convert=False)
    return network


def entry(folder: Path) -> ModelEntry:
    from engine.zoo.card import read_card

    return ModelEntry(folder, USER, read_card(folder))


def test_only_heads_follow_the_names_of_classes(tmp_path: Path) -> None:
    """The decoder has eight channels, as many as there are classes: they are no classes."""
    given = saved(tmp_path / "m", "unet", NAMES, "semantic", **UNET).state_dict()
    network = create_model("unet", num_classes=8, **UNET)
    new = [NAMES[1], NAMES[0], *NAMES[2:7], "another"]
    start = start_from_model(network, entry(tmp_path / "m"), new, BANDS)
    found = network.state_dict()
    heads = {n for n in given if n.startswith("net.segmentation_head")}
    assert heads
    for name, tensor in given.items():
        if name not in heads:
            assert torch.equal(found[name], tensor), name
            continue
        assert torch.equal(found[name][:7], tensor[[1, 0, 2, 3, 4, 5, 6]])
        assert not torch.equal(found[name][7], tensor[7]) or not float(tensor[7].abs().sum())
    assert start.notes == ["new classes start from random weights: another"]


def test_the_same_classes_take_everything_over(tmp_path: Path) -> None:
    given = saved(tmp_path / "m", "unet", NAMES, "semantic", **UNET).state_dict()
    network = create_model("unet", num_classes=8, **UNET)
    assert start_from_model(network, entry(tmp_path / "m"), NAMES, BANDS).notes == []
    assert all(torch.equal(network.state_dict()[name], given[name]) for name in given)


@pytest.mark.networks
def test_heads_of_instance_networks_keep_their_background(tmp_path: Path) -> None:
    given = saved(tmp_path / "m", "mask_rcnn_r50", ["a", "b"], "instance").state_dict()
    network = create_model("mask_rcnn_r50", num_classes=3)
    start_from_model(network, entry(tmp_path / "m"), ["b", "c", "a"], BANDS)
    found = network.state_dict()
    scores = next(n for n in given if n.endswith("box_predictor.cls_score.weight"))
    assert torch.equal(found[scores][[0, 1, 3]], given[scores][[0, 2, 1]])
