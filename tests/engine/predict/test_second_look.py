"""The second look on a raster: one grid of windows, whatever tiles, panels, interruptions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.errors import ModelError
from engine.jobs import SegmentJob
from engine.merge.scores import LabelRule
from engine.models import create_model
from engine.models.blocks.second_look import Look
from engine.models.c2fnet import C2FNet
from engine.pipelines.segment import run_segment
from engine.predict.backend import Backend
from engine.predict.plan import TilePlan, plan_tiles
from engine.predict.second_look import LookLoop, card_look, first_look, look_twice
from engine.predict.semantic import SemanticPredictor
from engine.predict.strips import TileCounts, TileLoop
from engine.zoo.card import CARD_NAME, BandSpec
from tests.factories_models import write_network_model

CPU = Backend("cpu", "fp32", 2)
BANDS = tuple(BandSpec(name, 1.0, 0.0, 0.0, 1.0) for name in ("first", "second"))
CLASSES, SMALL = 4, (2, 3)
OPTIONS = {
    "coarse": "pixel_linear",
    "fine": "pixel_linear",
    "small_classes": list(SMALL),
    "stage": "fine",
}


def pixel_network(**look: Any) -> C2FNet:
    """Coarse: the class is the value of band 1. Fine: small is where band 2 is above 0.5."""
    network = create_model(
        "c2fnet", num_classes=CLASSES, in_channels=2, **OPTIONS, look={"patch_px": 8, **look}
    ).eval()
    ids = torch.arange(CLASSES, dtype=torch.float32)
    with torch.no_grad():
        coarse, fine = network.coarse.classifier, network.fine.classifier
        coarse.weight.zero_()
        coarse.weight[:, 0, 0, 0] = 4 * ids
        coarse.bias.copy_(-2 * ids.square())
        fine.weight.zero_()
        fine.weight[1, 1, 0, 0] = 8.0
        fine.bias.copy_(torch.tensor([0.0, -4.0]))
    return network


def write_model(folder: Path, network: C2FNet) -> Path:
    args = {**OPTIONS, "look": {"patch_px": network.look.patch_px}}
    return write_network_model(folder, network, "c2fnet", args, classes=CLASSES, bands=2)


class Rows:
    """A raster in memory, cut to the columns of a panel."""

    def __init__(self, pixels: NDArray[Any], valid: NDArray[np.bool_], columns: slice) -> None:
        self.pixels, self.valid = pixels[:, :, columns], valid[:, columns]

    def read_rows(self, row0: int, row1: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        return self.pixels[:, row0:row1], self.valid[row0:row1]


def scene(height: int, width: int, seed: int) -> NDArray[np.float32]:
    """Few small objects in band 1, noise in band 2."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(CLASSES, (height, width), p=(0.7, 0.27, 0.02, 0.01))
    return np.stack([classes, rng.integers(0, 2, classes.shape)]).astype(np.float32)


def loop_for(network: C2FNet, plan: TilePlan) -> LookLoop:
    first = SemanticPredictor(first_look(network), CPU)
    loop = TileLoop(
        plan=plan,
        bands=BANDS,
        classes=CLASSES,
        rule=LabelRule((0,), 0.0),
        predict=first,
        logits=first.gives_logits,
        batch=2,
        cancelled=lambda: False,
        on_tiles=lambda counts: None,
    )
    twice = look_twice(loop, network, CPU)
    assert isinstance(twice, LookLoop)
    return twice


def plan_for(shape: Sequence[int], network: C2FNet, tile: int, overlap: int, wide: bool) -> Any:
    return plan_tiles(
        (shape[-2], shape[-1]),
        tile_px=tile,
        overlap_px=overlap,
        stride=1,
        column_bytes=1 if wide else 1 << 30,
        halo_px=network.look.patch_px - 1,
    )


def labels_of(
    network: C2FNet, plan: TilePlan, pixels: NDArray[Any], valid: NDArray[np.bool_], first: int = 0
) -> NDArray[np.uint8]:
    """Return the labels from strip ``first`` on, all panels side by side."""
    loop, panels = loop_for(network, plan), []
    for panel in plan.panels:
        source = Rows(pixels, valid, slice(panel.read_start, panel.read_stop))
        strips = list(loop.run_panel(source, panel, first, TileCounts()))
        assert [s.row_index for s in strips] == list(range(first, len(plan.row_starts)))
        panels.append(np.concatenate([s.labels for s in strips]))
    return np.concatenate(panels, axis=1)


def whole(network: C2FNet, pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """The network's own answer for the raster in one piece."""
    with torch.no_grad():
        logits = network(torch.from_numpy(pixels)[None])
    return logits.argmax(dim=1)[0].numpy().astype(np.uint8)


@given(
    shape=st.tuples(st.integers(3, 40), st.integers(3, 70)),
    tile=st.integers(5, 30),
    overlap=st.integers(0, 4),
    wide=st.booleans(),
    stride=st.sampled_from([0, 3]),
    zoom=st.sampled_from([1, 2]),
    seed=st.integers(0, 99),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_tiling_gives_what_the_network_says_of_the_whole_raster(
    shape: tuple[int, int],
    tile: int,
    overlap: int,
    wide: bool,
    stride: int,
    zoom: int,
    seed: int,
) -> None:
    network = pixel_network(infer_stride_px=stride, zoom=zoom if stride == 0 else 1)
    pixels = scene(*shape, seed)
    plan = plan_for(shape, network, tile, overlap, wide)
    found = labels_of(network, plan, pixels, np.ones(shape, np.bool_))
    if zoom == 1:  # enlarged windows mix pixels at their borders
        assert np.array_equal(found, whole(network, pixels))
    one = plan_for(shape, network, 100, 0, True)
    assert np.array_equal(found, labels_of(network, one, pixels, np.ones(shape, np.bool_)))


def test_the_scene_is_changed_and_tile_by_tile_depends_on_the_tiles() -> None:
    network, shape = pixel_network(), (37, 61)
    pixels, valid = scene(*shape, 1), np.ones(shape, np.bool_)
    reference = whole(network, pixels)
    assert (reference != pixels[0]).mean() > 0.05
    differing = []
    for tile in (12, 20):
        plan = plan_for(shape, network, tile, 4, True)
        twice = loop_for(network, plan)
        plain = TileLoop(
            **{
                name: getattr(twice, name)
                for name in (
                    *("plan", "bands", "classes", "rule"),
                    *("logits", "batch", "cancelled", "on_tiles"),
                )
            },
            predict=SemanticPredictor(network, CPU),
        )
        source = Rows(pixels, valid, slice(None))
        strips = plain.run_panel(source, plan.panels[0], 0, TileCounts())
        differing.append(np.concatenate([s.labels for s in strips]))
        assert np.array_equal(labels_of(network, plan, pixels, valid), reference)
    assert not np.array_equal(*differing)


@pytest.mark.parametrize("stride", [0, 3])
def test_an_interrupted_run_continues_with_the_same_strips(stride: int) -> None:
    network, shape = pixel_network(infer_stride_px=stride), (61, 37)
    pixels, valid = scene(*shape, 2), np.ones(shape, np.bool_)
    plan = plan_for(shape, network, 9, 4, False)
    assert len(plan.panels) > 1 or len(plan.row_starts) > 5
    undisturbed = labels_of(network, plan, pixels, valid)
    for first in range(len(plan.row_starts)):
        rest = labels_of(network, plan, pixels, valid, first)
        assert np.array_equal(rest, undisturbed[plan.row_starts[first] :])


def test_what_lies_on_missing_pixels_is_not_looked_at() -> None:
    network, shape = pixel_network(), (24, 24)
    pixels = np.zeros((2, *shape), np.float32)
    pixels[1] = 1  # the fine network would find small objects everywhere
    pixels[0, 3, 3] = pixels[0, 20, 20] = 2
    valid = np.ones(shape, np.bool_)
    valid[3, 3] = False
    labels = labels_of(network, plan_for(shape, network, 10, 2, True), pixels, valid)
    assert labels[3, 3] == 255
    assert not np.isin(labels[:16], SMALL).any() and not np.isin(labels[:, :16], SMALL).any()
    assert np.isin(labels[16:, 16:], SMALL).all()


def test_without_small_objects_the_fine_network_rests() -> None:
    network, shape = pixel_network(), (30, 30)
    network.fine.forward = None  # type: ignore[method-assign]
    pixels = np.minimum(scene(*shape, 3), 1)
    labels = labels_of(network, plan_for(shape, network, 10, 2, True), pixels, np.ones(shape, bool))
    assert np.array_equal(labels, pixels[0])


def test_held_rows_are_those_of_a_tile_and_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.predict.second_look import HeldRows

    most = 0
    append = HeldRows.append

    def watch(self: HeldRows, **parts: NDArray[Any]) -> None:
        nonlocal most
        append(self, **parts)
        most = max(most, self.row_stop - self.row_off)

    monkeypatch.setattr(HeldRows, "append", watch)
    network, shape = pixel_network(), (400, 20)
    plan = plan_for(shape, network, 16, 4, True)
    labels_of(network, plan, scene(*shape, 4), np.ones(shape, np.bool_))
    assert 0 < most <= 16 + 2 * network.look.patch_px


def test_only_cards_of_c2fnet_beyond_its_first_stage_look_twice(tmp_path: Path) -> None:
    from dataclasses import replace

    from engine.zoo.card import read_card

    card = read_card(write_model(tmp_path / "twice", pixel_network()))
    assert card_look(card) == Look(patch_px=8)
    assert card_look(replace(card, builder_args={**card.builder_args, "stage": "coarse"})) is None
    assert card_look(replace(card, builder="pixel_linear", builder_args={})) is None


def test_some_windows_only_is_refused_where_there_is_no_image(tmp_path: Path) -> None:
    network = pixel_network(infer_top_n=5)
    images = torch.from_numpy(scene(37, 29, 0))[None]
    with torch.no_grad():
        assert network(images).shape == (1, CLASSES, 37, 29)  # an image has its five windows
        with pytest.raises(ModelError, match="infer_top_n 5"):
            network.dense_look(images, network.first_look(images))
    with pytest.raises(ModelError, match="infer_top_n 5"):
        loop_for(network, plan_for((37, 29), network, 16, 4, True))
    model = write_model(tmp_path / "some", network)
    record = json.loads((model / CARD_NAME).read_text(encoding="utf-8"))
    record["builder_args"]["look"]["infer_top_n"] = 5
    (model / CARD_NAME).write_text(json.dumps(record), encoding="utf-8")
    write_scene(tmp_path / "scene.tif", scene(37, 29, 0))
    with pytest.raises(ModelError, match="infer_top_n 5") as caught:
        _run(tmp_path, model, "some")
    assert "look.infer_top_n to 0" in caught.value.hint
    assert not (tmp_path / "some.gpkg").exists()


def write_scene(path: Path, pixels: NDArray[np.float32]) -> None:
    count, height, width = pixels.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=count,
        dtype="float32",
        crs="EPSG:32633",
        transform=rasterio.Affine(2, 0, 5e5, 0, -1, 5e6),
    ) as file:
        file.write(pixels)


def _run(tmp_path: Path, model: Path, name: str, **options: Any) -> NDArray[np.uint8]:
    class_raster = tmp_path / f"{name}.tif"
    job = SegmentJob(
        raster=str(tmp_path / "scene.tif"),
        model=str(model),
        output=str(tmp_path / f"{name}.gpkg"),
        class_raster=str(class_raster),
        precision="fp32",
        device="cpu",
        **options,
    )
    run_segment(job, lambda event: None, lambda: False)
    with rasterio.open(class_raster) as file:
        return file.read(1)


def test_rasters_through_the_whole_pipeline(tmp_path: Path) -> None:
    network = pixel_network()
    model = write_model(tmp_path / "twice", network)
    pixels = scene(61, 137, 5)
    write_scene(tmp_path / "scene.tif", pixels)
    reference = whole(network, pixels)
    assert (reference != pixels[0]).any()
    for tile, overlap in ((16, 4), (33, 0), (200, 8)):
        found = _run(tmp_path, model, f"t{tile}", tile_px=tile, overlap_px=overlap)
        assert np.array_equal(found, reference)
