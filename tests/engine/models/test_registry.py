"""Names of networks: lazy, complete, unmistakable."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest
import torch

from engine.errors import ModelError
from engine.models import create_model, list_models, register
from engine.models.registry import NETWORK_MODULES, find_builder


@pytest.mark.parametrize("module", NETWORK_MODULES)
def test_each_listed_name_is_registered_by_its_module(module: str) -> None:
    importlib.import_module(f"engine.models.{module}")
    for name in NETWORK_MODULES[module].names:
        assert find_builder(name).__module__ == f"engine.models.{module}"


def test_a_name_belongs_to_one_module() -> None:
    names = [name for module in NETWORK_MODULES.values() for name in module.names]
    assert len(names) == len(set(names))


def test_listing_imports_no_network() -> None:
    # In a fresh interpreter; it reports what the listing pulled in.
    code = (
        "import sys; from engine.models import list_models; assert 'unet' in list_models();"
        "assert 'segmentation_models_pytorch' not in sys.modules;"
        "assert 'engine.models.pixel_linear' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tasks_split_the_names() -> None:
    semantic, instance = set(list_models("semantic")), set(list_models("instance"))
    assert not semantic & instance and semantic | instance == set(list_models())
    assert {"unet", "pixel_linear"} <= semantic


def test_unknown_name_suggests_a_near_one() -> None:
    with pytest.raises(ModelError, match="no network 'pixel_liner'") as caught:
        create_model("pixel_liner", num_classes=2)
    assert "pixel_linear" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pixel_linear", {"depth": 3}),
        ("unet", {"encoder": "no_such_encoder"}),
        ("unet", {"decoder_channels": 7}),
        ("unet_r50", {"encoder": "resnet18"}),
        ("unet", {"no_such_option": 1}),
    ],
)
def test_wrong_options_are_a_model_error(name: str, options: dict[str, object]) -> None:
    with pytest.raises(ModelError, match=name):
        create_model(name, num_classes=2, **options)


@pytest.mark.parametrize(("classes", "bands"), [(0, 3), (2, 0)])
def test_no_classes_or_no_bands_is_a_model_error(classes: int, bands: int) -> None:
    with pytest.raises(ModelError, match="cannot have"):
        create_model("pixel_linear", num_classes=classes, in_channels=bands)


def test_a_taken_name_is_refused() -> None:
    find_builder("pixel_linear")

    def other(*, num_classes: int, in_channels: int = 3) -> None: ...

    with pytest.raises(ValueError, match=r"taken by engine\.models\.pixel_linear"):
        register("pixel_linear", task="semantic")(other)
    with pytest.raises(ValueError, match="task"):
        register("something_else", task="panoptic")


def test_a_fixed_backbone_is_the_builder_with_that_backbone() -> None:
    fixed = find_builder("mask_rcnn_hrfpn_w18")
    assert "backbone" not in inspect.signature(fixed).parameters
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in network.parameters())
            for network in (
                create_model("mask_rcnn_hrfpn_w18", num_classes=1),
                create_model("mask_rcnn", num_classes=1, backbone="hrnet_w18"),
            )
        ]
    assert counts[0] == counts[1]
    with pytest.raises(ModelError, match="backbone"):
        create_model("mask_rcnn_hrfpn_w18", num_classes=1, backbone="resnet18")


@pytest.mark.slow
@pytest.mark.networks
@pytest.mark.parametrize(
    "pair",
    [
        ("c2fnet", "c2fnet_w18"),
        ("hq_isnet", "hq_isnet_w18"),
        ("facenet", "facenet_r50"),
        ("solov2", "solov2_r50"),
        ("solo", "solo_r50"),
        ("mask_rcnn", "mask_rcnn_r50"),
        ("mask_scoring_rcnn", "mask_scoring_rcnn_r50"),
        ("cascade_mask_rcnn", "cascade_mask_rcnn_r50"),
        ("point_rend", "point_rend_r50"),
        ("htc", "htc_r50"),
    ],
    ids=lambda pair: pair[0],
)
def test_a_family_without_options_is_its_first_variant(pair: tuple[str, str]) -> None:
    # The table of costs (benchmarks/_network_costs.py) takes one figure for both names.
    with torch.device("meta"):
        networks = [create_model(name, num_classes=6) for name in pair]
    shapes = [{key: t.shape for key, t in n.state_dict().items()} for n in networks]
    assert shapes[0] == shapes[1]
