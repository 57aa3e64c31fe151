"""Pretrained encoders keep their function, and training mode no longer destroys it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.errors import ModelError
from engine.train.initialise import load_encoder, read_npz_tensors, recalibrate_batch_norm


def _folded_network() -> nn.Sequential:
    """Convolutions whose normalisation layers are the identity with a bias, as when folded."""
    torch.manual_seed(0)
    network = nn.Sequential()
    for index, (inner, outer) in enumerate(((3, 8), (8, 12), (12, 6))):
        norm = nn.BatchNorm2d(outer)
        nn.init.uniform_(norm.bias, -2, 2)
        nn.init.uniform_(norm.weight, 0.5, 2)
        network.append(nn.Conv2d(inner, outer, 3, padding=1, stride=1 + index % 2, bias=False))
        network.append(norm)
        network.append(nn.ReLU6())
    return network.eval()


def _images(n: int) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(n, 3, 37, 61) * 2 + 1


def test_recalibration_keeps_the_function_in_both_modes() -> None:
    network, images = _folded_network(), _images(6)
    with torch.no_grad():
        before = network(images)
        destroyed = network.train()(images)
        for module in network:
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
        assert recalibrate_batch_norm(network, [images[:2], images[2:]]) == 3
        assert torch.allclose(network.eval()(images), before, atol=1e-4)
        assert torch.allclose(network.train()(images), before, atol=1e-3)
    assert not torch.allclose(destroyed, before, atol=0.5)  # what the recalibration prevents


def test_statistics_are_those_of_the_images() -> None:
    network, images = _folded_network(), _images(4)
    recalibrate_batch_norm(network, [images])
    first = network[0](images)
    assert torch.allclose(network[1].running_mean, first.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(network[1].running_var, first.var((0, 2, 3), correction=0), rtol=1e-4)


def test_recalibration_needs_images() -> None:
    with pytest.raises(ValueError, match="no batch"):
        recalibrate_batch_norm(_folded_network(), [])


def test_archive_of_arrays_into_an_encoder(tmp_path: Path) -> None:
    source = nn.ModuleDict({"features": _folded_network()})
    arrays = {name: value.numpy() for name, value in source.state_dict().items()}
    path = tmp_path / "weights.npz"
    np.savez(path, **arrays, **{"classifier.weight": np.zeros((2, 2), np.float32)})
    target = nn.ModuleDict(
        {
            "features": nn.Sequential(
                *(
                    type(m)(3, 8, 3, padding=1, bias=False) if i == 0 else m
                    for i, m in enumerate(_folded_network())
                )
            )
        }
    )
    copied = load_encoder(target, read_npz_tensors(path))
    assert copied == len(arrays)
    assert torch.equal(target["features"][0].weight, source["features"][0].weight)


def test_another_encoder_is_refused() -> None:
    encoder = nn.ModuleDict({"features": nn.Sequential(nn.Conv2d(3, 8, 3))})
    with pytest.raises(ModelError, match=r"features.0.weight needs \(8, 3, 3, 3\), found \(8, 4"):
        load_encoder(
            encoder,
            {"features.0.weight": torch.zeros(8, 4, 3, 3), "features.0.bias": torch.zeros(8)},
        )
    with pytest.raises(ModelError, match="found nothing"):
        load_encoder(encoder, {})


def test_pickled_or_missing_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "objects.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    for wrong in (path, tmp_path / "none.npz"):
        with pytest.raises(ModelError, match="cannot be read"):
            read_npz_tensors(wrong)
