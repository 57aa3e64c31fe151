"""Parts of a training by themselves: weights of classes, normalisation, average, start, data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from engine.data.chip_folder import ChipFolder
from engine.data.sampling import Draw
from engine.errors import LabelError, ModelError
from engine.models import create_model
from engine.train.backbone import backbone_prefixes
from engine.train.checkpoint import (
    TrainingState,
    load_network,
    load_optimizer,
    read_state,
    save_checkpoint,
    step_seed,
)
from engine.train.fit import Hardware, prepare_network
from engine.train.module import keep_ratios, thinned
from engine.train.optimizer import WeightAverage, is_backbone, make_optimizer, set_rate
from engine.train.recipe import OptimizerRecipe
from engine.train.setup import read_material
from engine.train.synced_norm import SyncedBatchNorm2d, sync_batch_norm

from .chips_for_tests import write_chips


def test_thinning_weighs_classes_in_expectation() -> None:
    """With 900 and 100 pixels, the frequent class keeps one in nine: both weigh the same."""
    ratios = keep_ratios(np.array([900, 100, 0]), "inverse")
    assert ratios == pytest.approx((1 / 9, 1, 1))
    assert keep_ratios(np.array([900, 100]), "square_root") == pytest.approx((1 / 3, 1))
    assert keep_ratios(np.array([900, 100]), "none") == ()
    target = torch.cat((torch.zeros(90_000), torch.ones(10_000), torch.full((500,), 255))).long()
    torch.manual_seed(0)
    counts = torch.bincount(thinned(target, ratios), minlength=256)
    assert int(counts[1]) == 10_000
    assert abs(int(counts[0]) - 10_000) < 500
    assert int(counts[255]) == 100_500 - int(counts[0]) - 10_000
    assert thinned(target, ()) is target


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_every_normalisation_of_a_network_is_synced() -> None:
    """Those of smp's decoders, of its encoders, and of timm's encoders with activations in them."""
    for encoder in ("mobilenet_v2", "tu-mobilenetv3_small_050"):
        network = create_model("unet", num_classes=2, encoder=encoder)
        names = list(network.state_dict())
        images = torch.rand(2, 3, 64, 64)
        expected = network.eval()(images)
        sync_batch_norm(network)
        plain = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        assert plain and all(isinstance(m, SyncedBatchNorm2d) for m in plain), encoder
        assert list(network.state_dict()) == names
        assert torch.allclose(network(images), expected, atol=1e-5)


def test_graphics_cards_keep_activations_behind_normalisations() -> None:
    """PyTorch's own conversion would drop the activations of timm's fused layers."""
    network = create_model("unet", num_classes=2, encoder="tu-mobilenetv3_small_050")
    before = [type(m.act) for m in network.modules() if isinstance(m, BatchNormAct2d)]
    ready = prepare_network(network, Hardware("cuda", world=2))
    synced = [m for m in ready.modules() if isinstance(m, nn.SyncBatchNorm)]
    assert [type(m.act) for m in synced if hasattr(m, "act")] == before != []
    assert not [m for m in ready.modules() if isinstance(m, nn.BatchNorm2d)]


def test_synced_normalisation_of_one_process_is_the_usual_one(one_process: None) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU())
    synced = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU())
    synced.load_state_dict(plain.state_dict())
    sync_batch_norm(synced)
    assert isinstance(synced[1], SyncedBatchNorm2d)
    assert synced.state_dict().keys() == plain.state_dict().keys()
    images = torch.randn(4, 3, 9, 11) * 3 + 2
    for network in (plain, synced):
        network(images).square().sum().backward()
    for first, second in zip(plain.parameters(), synced.parameters(), strict=True):
        assert torch.allclose(first.grad, second.grad, rtol=1e-3, atol=1e-3)
    for name, value in plain.state_dict().items():
        assert torch.allclose(value.float(), synced.state_dict()[name].float(), atol=1e-5), name
    assert torch.allclose(plain.eval()(images), synced.eval()(images), atol=1e-5)


def test_rates_of_backbone_and_decay_of_vectors() -> None:
    network = create_model(
        "unet", num_classes=2, encoder="mobilenet_v2", encoder_depth=3, decoder_channels=[16, 8, 8]
    )
    recipe = OptimizerRecipe(lr=0.1, weight_decay=0.5, backbone_ratio=0.2)
    optimizer = make_optimizer(network, recipe, tuned=True)
    set_rate(optimizer, 0.05)
    rates = {
        id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]
    }
    for name, parameter in network.named_parameters():
        expected = (0.05 * (0.2 if is_backbone(name) else 1), 0.5 if parameter.ndim > 1 else 0.0)
        assert rates[id(parameter)] == pytest.approx(expected), name
    scratch = make_optimizer(network, recipe, tuned=False)
    assert {g["lr_ratio"] for g in scratch.param_groups} == {1.0}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("net.encoder.layer1.0.weight", True),
        ("backbone.backbone.body.conv1.weight", True),
        ("backbone.neck.mix.weight", False),  # a detector's neck starts from random weights
        ("backbone.fpn.inner_blocks.0.0.weight", False),
        ("head.kernel.weight", False),
    ],
)
def test_a_neck_is_no_backbone_though_it_lies_in_one(name: str, expected: bool) -> None:
    assert is_backbone(name) is expected


def test_the_average_by_hand() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    average = WeightAverage(layer, 0.5)
    nn.init.ones_(layer.weight)
    average.update(layer, 0)
    assert float(average.tensors["weight"]) == pytest.approx(0.9)
    average.update(layer, 1000)
    assert float(average.tensors["weight"]) == pytest.approx(0.95)


def test_seeds_of_steps_differ_by_seed_step_and_process() -> None:
    seeds = {step_seed(s, t, r) for s in range(3) for t in range(3) for r in range(3)}
    assert len(seeds) == 27
    assert step_seed(1, 2, 0) == step_seed(1, 2, 0)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_checkpoint_restores_the_optimiser(name: str, tmp_path: Path) -> None:
    """To the bit, kernels in channels-last layout included, which fused steps depend on."""
    images = torch.linspace(-1, 1, 2 * 3 * 5 * 4).view(2, 3, 5, 4)

    def steps(network: nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            network(images).square().sum().backward()
            optimizer.step()

    def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return network, make_optimizer(network, OptimizerRecipe(name, lr=0.01), tuned=False)

    whole, optimizer = fresh()
    steps(whole, optimizer, 5)
    first, optimizer = fresh()
    steps(first, optimizer, 2)
    state = TrainingState(network="linear", step=2)
    save_checkpoint(tmp_path / "c.safetensors", state, first, optimizer, None)
    again, optimizer = fresh()
    found = read_state(tmp_path / "c.safetensors")
    assert found == state
    load_network(tmp_path / "c.safetensors", found, again)
    load_optimizer(tmp_path / "c.safetensors", found, optimizer)
    steps(again, optimizer, 3)
    assert torch.equal(whole.weight, again.weight)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="does not fit"):
        load_network(tmp_path / "c.safetensors", found, nn.Linear(4, 2))
    (tmp_path / "c.safetensors").write_bytes(b"cut")
    with pytest.raises(ModelError, match="cannot be read"):
        read_state(tmp_path / "c.safetensors")


def test_backbones_are_found_inside_networks() -> None:
    found = {
        "unet": backbone_prefixes(create_model("unet", num_classes=2, encoder="resnet18")),
        "c2fnet_w18": backbone_prefixes(create_model("c2fnet_w18", num_classes=3)),
        "pixel_linear": backbone_prefixes(create_model("pixel_linear", num_classes=2)),
    }
    assert found == {
        "unet": ["net.encoder."],
        "c2fnet_w18": ["coarse.backbone.", "fine.backbone."],
        "pixel_linear": [],
    }


@pytest.fixture
def folder(tmp_path: Path) -> ChipFolder:
    path = write_chips(
        tmp_path / "chips",
        {"train": 4, "val": 1},
        bands=4,
        dtype="uint16",
        empty=1,
        nodata_columns=5,
    )
    return ChipFolder.open(path)


def test_samples_are_normalised_and_repeat(folder: ChipFolder) -> None:
    material = read_material(folder, "semantic")
    data = material.dataset("train", seed=5)
    sample = data.whole(0)
    assert sample["image"].shape == (4, 32, 32)
    assert sample["image"][:, :, :5].eq(0).all()
    assert sample["target"][:, :5].eq(255).all()
    raw = torch.from_numpy(folder.read_image(data.chips[0]).astype(np.float32))
    expected = (raw - 18000) / 15000
    assert torch.allclose(sample["image"][:, :, 5:], expected[:, :, 5:], atol=1e-4)
    assert material.empty.tolist() == [False, False, False, True]
    draws = [data[Draw(1, 2, 3)]["image"] for _ in range(2)]
    assert torch.equal(*draws)


def test_instances_have_labels_from_one_and_boxes(folder: ChipFolder) -> None:
    material = read_material(folder, "instance")
    assert [c.name for c in material.classes] == ["object"]
    sample = material.dataset("train")[Draw(0, 0, 0)]
    target = sample["target"]
    assert target["labels"].tolist() == [1, 1]
    for box, mask in zip(target["boxes"], target["masks"], strict=True):
        rows, cols = torch.nonzero(mask, as_tuple=True)
        assert box.tolist() == [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
    empty = material.dataset("train")[Draw(3, 0, 0)]["target"]
    assert empty["boxes"].shape == (0, 4)


def test_a_class_that_a_part_lacks_is_said(tmp_path: Path) -> None:
    path = write_chips(
        tmp_path / "chips", {"train": 1, "val": 1}, classes=("background", "a", "b", "c")
    )
    notes = read_material(ChipFolder.open(path), "semantic").notes
    assert notes == [
        "the train chips lack c, which cannot be learnt",
        "the val chips lack c, which is not validated",
    ]


def test_chips_without_objects_do_not_train_an_instance_network(tmp_path: Path) -> None:
    path = write_chips(tmp_path / "chips", {"train": 1, "val": 1}, empty=1)
    with pytest.raises(LabelError, match="no training chip has an object"):
        read_material(ChipFolder.open(path), "instance")
