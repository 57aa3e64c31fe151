"""Every semantic network as TorchScript and ONNX gives the engine's scores."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import ModelError
from engine.jobs import ExportModelJob
from engine.models import create_model, list_models
from engine.models.export import CARD_KEY, TileScores, example_tiles
from engine.pipelines.export import TOLERANCE, export_network
from engine.pipelines.models import run_export_model
from engine.zoo.card import BandSpec, card_from_dict
from engine.zoo.registry import find_model
from tests.factories_models import write_identity_model, write_network_model

SMALL: dict[str, dict[str, Any]] = {
    "pixel_linear": {},
    "farseg": {"width": 32},
    "semantic_fpn": {"width": 32},
    "fcn_hrnet": {},
    "hi_resnet_small": {},
    "c2fnet": {
        "coarse": "pixel_linear",
        "fine": {"name": "pixel_linear"},
        "small_classes": [1],
        "look": {"patch_px": 48, "zoom": 2},
    },
    "ocrnet": {},
    "factseg_r50": {},
    "unetformer_r18": {},
    "unet": {"encoder": "resnet18"},
    "unetplusplus": {"encoder": "resnet18"},
    "fpn": {"encoder": "mobilenet_v2"},
    "linknet": {"encoder": "resnet18"},
    "manet": {"encoder": "resnet18"},
    "pan": {"encoder": "resnet18"},
    "pspnet": {"encoder": "resnet18"},
    "deeplabv3": {"encoder": "resnet18"},
    "deeplabv3plus": {"encoder": "mobilenet_v2"},
    "upernet": {"encoder": "resnet18"},
    "segformer": {"encoder": "mit_b0"},
    "dpt": {"encoder": "tu-vit_tiny_patch16_224"},
    "fcn": {"encoder": "resnet18"},
    "fcn_r50": {},
}
# The same classes with other widths.
SAME_AS = {
    "farseg_r50": "farseg",
    "semantic_fpn_r50": "semantic_fpn",
    "fcn_hrnet_w18": "fcn_hrnet",
    "fcn_hrnet_w48": "fcn_hrnet",
    "c2fnet_w18": "c2fnet",
    "c2fnet_w48": "c2fnet",
    "hi_resnet": "hi_resnet_small",
    "hi_resnet_base": "hi_resnet_small",
    "hrnet_w48": "hi_resnet_small",
    "ocrnet_w48": "ocrnet",
    "unet_r50": "unet",
    "unetplusplus_r50": "unetplusplus",
    "pspnet_r50": "pspnet",
    "deeplabv3_r50": "deeplabv3",
    "deeplabv3plus_r50": "deeplabv3plus",
    "upernet_r50": "upernet",
    "segformer_b1": "segformer",
}
QUICK = ("pixel_linear", "c2fnet")
NAMES = [
    pytest.param(name, marks=() if name in QUICK else (pytest.mark.slow, pytest.mark.networks))
    for name in SMALL
]


def write(folder: Path, name: str) -> Path:
    torch.manual_seed(0)
    network = create_model(name, num_classes=3, in_channels=2, **SMALL[name]).eval()
    return write_network_model(folder / "model", network, name, SMALL[name], classes=3, bands=2)


def test_every_semantic_network_is_here() -> None:
    assert set(list_models("semantic")) == set(SMALL) | set(SAME_AS)
    with torch.device("meta"):
        for name in ("farseg_r50", "hi_resnet", "fcn_hrnet_w48", "semantic_fpn_r50"):
            one = create_model(name, num_classes=3)
            assert type(one) is type(create_model(SAME_AS[name], num_classes=3))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["torchscript", "onnx"])
def test_scores_are_the_same(name: str, kind: str, tmp_path: Path) -> None:
    if kind == "onnx":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    entry = find_model(str(write(tmp_path, name)))
    path = tmp_path / "network"
    difference = export_network(entry, kind, path, lambda event: None)
    assert difference is not None and difference <= TOLERANCE
    assert path.stat().st_size > entry.card.weights.bytes / 2  # type: ignore[union-attr]


@pytest.mark.parametrize("look", [{}, {"zoom": 2}, {"infer_stride_px": 9}, {"mode": "paddlers"}])
def test_the_dense_second_look_is_the_second_look(look: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = create_model(
        "c2fnet",
        num_classes=4,
        in_channels=3,
        coarse="pixel_linear",
        fine="pixel_linear",
        small_classes=[2, 3],
        look={"patch_px": 16, **look},
    ).eval()
    images = torch.randn(3, 3, 37, 61)
    images[:, :, :20, :20] = 0  # windows without small objects
    with torch.no_grad():
        coarse = network.first_look(images)
        coarse[:, 0] += 2.0
        sparse, dense = network.second_look(images, coarse), network.dense_look(images, coarse)
    assert torch.allclose(sparse, dense, atol=1e-5)
    assert not torch.equal(sparse, coarse)


def test_raw_pixels_go_in_and_scores_come_out(tmp_path: Path) -> None:
    network = torch.nn.Conv2d(2, 3, 1)
    bands = (BandSpec("a", 0.5, 1.0, 10.0, 4.0), BandSpec("b", 2.0, 0.0, -3.0, 0.5))
    pixels = torch.rand(1, 2, 5, 7) * 100
    seen = torch.stack([(pixels[:, 0] * 0.5 + 1 - 10) / 4, (pixels[:, 1] * 2 + 3) / 0.5], dim=1)
    with torch.no_grad():
        scores = TileScores(network, bands)(pixels)
        assert torch.allclose(scores, network(seen).softmax(dim=1), atol=1e-5)
        one = TileScores(torch.nn.Conv2d(2, 1, 1), bands)(pixels)
    assert one.shape == (1, 2, 5, 7) and torch.allclose(one.sum(dim=1), torch.ones(()))


def test_the_card_travels_in_the_file(tmp_path: Path) -> None:
    model = write_identity_model(tmp_path / "identity", 3, 2)
    card = find_model(str(model)).card
    extra = {CARD_KEY: ""}
    output = tmp_path / "identity.pt"
    result = run_export_model(
        ExportModelJob(str(model), str(output), "torchscript"), lambda event: None, lambda: False
    )
    assert result.details["largest_difference"] <= TOLERANCE
    assert result.counts["bytes"] == output.stat().st_size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.load(str(output), _extra_files=extra)
    assert card_from_dict(json.loads(extra[CARD_KEY])) == card
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_the_card_travels_in_the_onnx_file(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    model = write_identity_model(tmp_path / "identity", 3, 2)
    output = tmp_path / "identity.onnx"
    run_export_model(
        ExportModelJob(str(model), str(output), "onnx"), lambda event: None, lambda: False
    )
    found = onnx.load(str(output))
    properties = {p.key: p.value for p in found.metadata_props}
    assert card_from_dict(json.loads(properties[CARD_KEY])) == find_model(str(model)).card
    sizes = found.graph.input[0].type.tensor_type.shape.dim
    assert sizes[0].dim_param and [d.dim_value for d in sizes[1:]] == [2, 64, 64]


def test_without_the_packages_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.models.export.find_spec", lambda name: None)
    model = write_identity_model(tmp_path / "identity", 2)
    job = ExportModelJob(str(model), str(tmp_path / "identity.onnx"), "onnx")
    with pytest.raises(ModelError, match="needs the package onnx") as caught:
        run_export_model(job, lambda event: None, lambda: False)
    assert "[onnx]" in caught.value.hint
    assert not (tmp_path / "identity.onnx").exists()


def test_instance_models_are_refused(tmp_path: Path) -> None:
    model = write_identity_model(tmp_path / "identity", 2)
    record = json.loads((model / "card.json").read_text(encoding="utf-8"))
    record["task"] = "instance"
    record["builder"] = "solov2_r50"
    (model / "card.json").write_text(json.dumps(record), encoding="utf-8")
    job = ExportModelJob(str(model), str(tmp_path / "x.onnx"), "onnx")
    with pytest.raises(ModelError, match="instance segmentation"):
        run_export_model(job, lambda event: None, lambda: False)


def test_noise_has_the_bands_statistics(tmp_path: Path) -> None:
    card = find_model(str(write_identity_model(tmp_path / "identity", 2, 3))).card
    assert card is not None
    tiles = example_tiles(card, 64)
    assert tiles.shape == (2, 3, 64, 64)
    assert float(tiles.std()) == pytest.approx(1, abs=0.05)
