"""What every semantic network must do; one subclass per network."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.models import create_model

CLASSES = 5


def parameters_m(network: nn.Module) -> float:
    """Number of parameters in millions."""
    return sum(p.numel() for p in network.parameters()) / 1e6


def count_m(name: str, **options: Any) -> float:
    """Number of parameters of a builder in millions; nothing is allocated."""
    with torch.device("meta"):
        return parameters_m(create_model(name, **options))


def striped_target(n: int, height: int, width: int, classes: int = CLASSES) -> Tensor:
    """All classes in stripes, the last two columns unlabelled."""
    rows = torch.arange(height).view(1, -1, 1) % classes
    target = rows.expand(n, height, width).clone()
    target[..., -2:] = 255
    return target


class NetworkContract:
    """Base of the tests of one network."""

    name: str
    options: ClassVar[dict[str, Any]] = {}
    bands = 4
    traceable = True
    train_px = (37, 61)

    @pytest.fixture(scope="class")
    @classmethod
    def network(cls) -> nn.Module:
        torch.manual_seed(0)
        network = create_model(cls.name, num_classes=CLASSES, in_channels=cls.bands, **cls.options)
        _wake(network)
        return network

    def test_any_size_any_bands_gives_logits_of_that_size(self, network: nn.Module) -> None:
        network.eval()
        with torch.no_grad():
            for height, width in ((37, 61), (64, 64)):
                logits = network(torch.randn(1, self.bands, height, width))
                assert logits.shape == (1, CLASSES, height, width)
                assert logits.isfinite().all()

    def test_batch_of_one_trains_and_gradients_reach_every_parameter(
        self, network: nn.Module
    ) -> None:
        torch.manual_seed(1)
        network.train()
        network.zero_grad()
        outputs = network(torch.randn(1, self.bands, *self.train_px))
        losses = network.loss(outputs, striped_target(1, *self.train_px))
        assert losses["loss"].ndim == 0
        losses["loss"].backward()
        missing = [name for name, p in network.named_parameters() if not _reached(name, p)]
        assert missing == []

    def test_unlabelled_pixels_do_not_count(self, network: nn.Module) -> None:
        torch.manual_seed(2)
        network.train()
        outputs = network(torch.randn(1, self.bands, 64, 64))
        nothing = torch.full((1, 64, 64), 255)
        losses = network.loss(outputs, nothing)
        assert float(losses["loss"].detach()) == 0.0

    def test_loss_takes_half_precision_outputs(self, network: nn.Module) -> None:
        network.train()
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(torch.randn(2, self.bands, 64, 64))
        loss = network.loss(outputs, striped_target(2, 64, 64))["loss"]
        assert loss.dtype == torch.float32 and loss.isfinite()

    def test_saved_and_loaded_network_gives_the_same(
        self, network: nn.Module, tmp_path: Any
    ) -> None:
        path = tmp_path / "weights.safetensors"
        save_file({k: v.contiguous().clone() for k, v in network.state_dict().items()}, path)
        other = create_model(self.name, num_classes=CLASSES, in_channels=self.bands, **self.options)
        other.load_state_dict(load_file(path))
        images = torch.randn(1, self.bands, 40, 33)
        network.eval()
        other.eval()
        with torch.no_grad():
            assert torch.equal(network(images), other(images))

    @pytest.mark.slow
    def test_traced_network_gives_the_same(self, network: nn.Module) -> None:
        if not self.traceable:
            pytest.skip("what it computes depends on what it sees")
        network.eval()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size of the example becomes part of the trace
            traced = torch.jit.trace(network, torch.randn(1, self.bands, 32, 64), check_trace=False)
            images = torch.randn(2, self.bands, 32, 64)
            assert torch.allclose(traced(images), network(images), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def _wake(network: nn.Module) -> None:
    """Give residual branches that start at zero some weight, so that gradients pass."""
    for name, parameter in network.named_parameters():
        if name.endswith("weight") and not parameter.any():
            parameter.fill_(0.5)


def _reached(name: str, parameter: nn.Parameter) -> bool:
    """Whether a gradient arrived; a bias before a normalisation has one that is zero."""
    if parameter.grad is None or not parameter.grad.isfinite().all():
        return False
    return name.endswith("bias") or bool(parameter.grad.abs().max() > 0)
