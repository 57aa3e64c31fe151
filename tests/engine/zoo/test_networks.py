"""The light table of networks is the list of builders."""

from __future__ import annotations

import pytest

from engine.zoo.networks import LIGHT, NETWORKS, list_networks, network_info


@pytest.mark.parametrize("task", ["semantic", "instance"])
def test_table_has_every_network_that_can_be_trained(task):
    models = pytest.importorskip("engine.models")
    names = (n for n in models.list_models(task) if not n.endswith("_of_the_tests"))
    trainable = set(names) - {"pixel_linear"}
    assert {network.name for network in list_networks(task)} == trainable


def test_names_and_titles_are_unique():
    assert len({network.name for network in NETWORKS}) == len(NETWORKS)
    assert len({network.title for network in NETWORKS}) == len(NETWORKS)


def test_the_first_network_is_one_for_every_machine():
    assert list_networks()[0].weight == LIGHT
    assert network_info("unet_r50").title == "U-Net (ResNet-50)"
    assert network_info("nothing") is None
