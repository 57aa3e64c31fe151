"""The job pretrain: images are told apart, a stop changes nothing, weights load in a training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from safetensors.torch import load_file

from engine.models import create_model
from engine.protocol import Cancelled, Event, Failure, Progress, Result
from engine.runner import run_named
from engine.train.start import start_from_backbone

from .chips_for_tests import write_chips
from .jobs_for_tests import fields

QUEUE = 8
TINY = (
    "options.encoder=mobilenet_v2",
    "options.encoder_depth=3",
    "options.decoder_channels=[16, 8, 8]",
    "optimizer.name=adamw",
    "log_steps=1",
    "checkpoint_steps=100",
)


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four bands of 16 bits, patches of different colours, 61 x 75 pixels of 2 x 1 m."""
    path = tmp_path_factory.mktemp("raster") / "scene.tif"
    rng = np.random.default_rng(3)
    colors = np.repeat(np.repeat(rng.normal(0, 900, (4, 3, 4)), 24, axis=1), 24, axis=2)
    pixels = 3000 + colors[:, :61, :75] + rng.normal(0, 60, (4, 61, 75))
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=4,
        height=61,
        width=75,
        dtype="uint16",
        crs="EPSG:32645",
        transform=Affine(2, 0, 3e5, 0, -1, 3e6),
    ) as target:
        target.write(pixels.astype(np.uint16))
    return path


def job(raster: Path, output: Path, **changes: Any) -> dict[str, Any]:
    record = {
        "images": str(raster),
        "network": "unet",
        "output": str(output),
        "options": TINY,
        "tile_px": 24,
        "epochs": 20,
        "batch": 4,
        "lr": 0.003,
        "queue": QUEUE,
        "device": "cpu",
    }
    return {**record, **changes}


@pytest.fixture(scope="module")
def learnt(raster: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    output = tmp_path_factory.mktemp("weights") / "backbone.safetensors"
    events: list[Event] = []
    final = run_named("pretrain", job(raster, output), events.append, lambda: False)
    assert isinstance(final, Result), final
    return output, events


def test_images_are_told_apart(learnt: tuple[Path, list[Event]]) -> None:
    """A network that sees no difference loses log(1 + queue); this one falls below it."""
    losses = [e.values["loss"] for e in learnt[1] if hasattr(e, "values")]
    assert len(losses) == 60
    blind = math.log(1 + QUEUE)
    assert np.mean(losses[-30:]) < blind - 0.15


def test_stopped_and_resumed_gives_the_same_weights(
    raster: Path, learnt: tuple[Path, list[Event]], tmp_path: Path
) -> None:
    output, seen = tmp_path / "backbone.safetensors", list[Event]()

    def stop() -> bool:
        return any(isinstance(e, Progress) and e.done == 4 for e in seen)

    record = job(raster, output)
    assert isinstance(run_named("pretrain", record, seen.append, stop), Cancelled)
    assert not output.exists()
    again = run_named("pretrain", {**record, "resume": True}, lambda e: None, lambda: False)
    assert isinstance(again, Result), again
    first, second = load_file(learnt[0]), load_file(output)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_weights_become_the_backbone_of_a_training(
    learnt: tuple[Path, list[Event]], tmp_path: Path
) -> None:
    network = create_model(
        "unet",
        num_classes=2,
        in_channels=4,
        encoder="mobilenet_v2",
        encoder_depth=3,
        decoder_channels=[16, 8, 8],
    )
    start = start_from_backbone(network, learnt[0])
    tensors = load_file(learnt[0])
    state = network.net.encoder.state_dict()  # type: ignore[union-attr]
    assert start.tuned
    assert state.keys() == {name.removeprefix("backbone.") for name in tensors}
    assert all(torch.equal(state[n.removeprefix("backbone.")], t) for n, t in tensors.items())
    write_chips(tmp_path / "chips", {"train": 2, "val": 1}, bands=4, dtype="uint16")
    record = {
        "chips": str(tmp_path / "chips"),
        "output": str(tmp_path / "model"),
        "network": "unet",
        "init": str(learnt[0]),
        "preset": "quick",
        "options": TINY,
        "epochs": 1,
        "batch": 2,
        "workers": 0,
        "device": "cpu",
    }
    final = run_named("train", record, lambda e: None, lambda: False)
    assert isinstance(final, Result), final
    assert final.details["card"]["training"]["initialised_with"].startswith("backbone weights")


def test_weights_of_another_backbone_are_refused(learnt: tuple[Path, list[Event]]) -> None:
    network = create_model("unet", num_classes=2, in_channels=4, encoder="resnet18")
    with pytest.raises(Exception, match="tensors of the network's backbone"):
        start_from_backbone(network, learnt[0])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_nested_folders_of_images_as_those_of_million_aid(tmp_path: Path) -> None:
    """class/subclass/image, GeoTIFF and JPEG, other files between them; then a tuned network."""
    rng, count = np.random.default_rng(5), 0
    for kind in ("agriculture_land/grassland", "industrial_area/factory_area/oil_field"):
        folder = tmp_path / "archive" / "train" / kind
        folder.mkdir(parents=True)
        (folder / "labels.txt").write_text("3")
        for ending, driver in ((".jpg", "JPEG"), (".TIF", "GTiff"), (".jpg", "JPEG")):
            pixels = rng.integers(0, 255, (3, 26, 31)).astype(np.uint8)
            profile = {"driver": driver, "count": 3, "height": 26, "width": 31, "dtype": "uint8"}
            with rasterio.open(folder / f"P{count:07d}{ending}", "w", **profile) as target:
                target.write(pixels)
            count += 1
    output = tmp_path / "backbone.safetensors"
    record = job(tmp_path / "archive", output, tile_px=31, epochs=2, batch=2, queue=4)
    final = run_named("pretrain", record, lambda e: None, lambda: False)
    assert isinstance(final, Result), final
    assert final.counts["steps"] == 2 * count // 2  # one tile of each image in each epoch
    write_chips(tmp_path / "chips", {"train": 2, "val": 1})
    tuned = fields(tmp_path, init=str(output), epochs=1)
    final = run_named("train", tuned, lambda e: None, lambda: False)
    assert isinstance(final, Result), final
    assert final.details["card"]["training"]["initialised_with"].startswith("backbone weights")


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"images": "/nowhere/at/all"}, "raster_read", "does not exist"),
        ({"bands": (7,)}, "raster", "band 7"),
        ({"network": "pixel_linear", "options": ()}, "model", "no backbone"),
    ],
)
def test_what_a_user_can_mend_is_said(
    changes: dict[str, Any], code: str, says: str, raster: Path, tmp_path: Path
) -> None:
    record = job(raster, tmp_path / "w.safetensors", **changes)
    final = run_named("pretrain", record, lambda e: None, lambda: False)
    assert isinstance(final, Failure), final
    assert (final.code, says in final.message) == (code, True), final
