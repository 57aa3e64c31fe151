"""The card of the buildings model: what was done, and what was measured."""

from __future__ import annotations

import argparse
import platform
from datetime import datetime, timezone

from buildings_scene import (
    BANDS,
    BUFFER_PX,
    CLASSES,
    OVERLAP_PX,
    TILE_PX,
    VALIDATION_BLOCKS,
    Scene,
)

from engine import __version__
from engine.train.checkpoints import TrainState, read_state
from engine.zoo.card import ModelCard, Resolution

MODEL_ID = "buildings_mobilenetv2"
BUILDER_ARGS = {"encoder": "mobilenet_v2", "decoder_channels": [128, 96, 64, 32, 16]}
VALIDATION_NOISE = 0.01
RANGE_M = (0.09, 0.3)
"""Resolutions at which the validation IoU is near the one at the nominal resolution."""


def chosen_step(state: TrainState) -> int:
    """Return the last step, or that of the best validation if it is better beyond its noise.

    The outlines of the validation blocks are rough, so small differences say nothing, and the
    end of the schedule is where weights have settled.
    """
    history = {int(record["step"]): record["iou_building"] for record in state.history}
    best = max(history, key=lambda step: history[step])
    return best if history[best] > history[state.step] + VALIDATION_NOISE else state.step


def make_card(
    scene: Scene,
    arguments: argparse.Namespace,
    threshold: float,
    validation: dict[str, float],
    by_scale: dict[float, dict[str, float]],
) -> ModelCard:
    """Return the card with what was measured."""
    test = by_scale[1.0]
    name = "Banepa, test block (southern quarter, 1024 x 3072 px)"
    metrics = [
        {"data": name, "name": f"building {key}", "value": round(test[f"{key}_building"], 4)}
        for key in ("iou", "precision", "recall")
    ]
    metrics += [
        {
            "data": f"{name}, resampled to {scale * scene.gsd_m:.3f} m",
            "name": "building iou",
            "value": round(found["iou_building"], 4),
        }
        for scale, found in by_scale.items()
        if scale != 1.0
    ]
    metrics.append(
        {
            "data": "Banepa, three validation blocks (chose the checkpoint)",
            "name": "building iou",
            "value": round(validation["iou_building"], 4),
        }
    )
    return ModelCard(
        id=MODEL_ID,
        title="Buildings, drone and aerial RGB (U-Net, MobileNetV2)",
        task="semantic",
        builder="unet",
        builder_args=BUILDER_ARGS,
        classes=CLASSES,
        bands=BANDS,
        resolution_m=Resolution(RANGE_M[0], round(scene.gsd_m, 3), RANGE_M[1]),
        tile_px=TILE_PX,
        overlap_px=OVERLAP_PX,
        stride=32,
        score_threshold=threshold,
        weights=None,
        dtypes=("uint8",),
        training=_training_record(arguments),
        metrics=tuple(metrics),
        licenses={
            "code": "GPL-2.0-or-later",
            "weights": "CC-BY-4.0; made with OpenStreetMap data (ODbL-1.0) and Apache-2.0 weights",
            "data": "imagery CC-BY-4.0 (OpenAerialMap, HOT); labels ODbL-1.0 (OpenStreetMap)",
            "encoder": "Apache-2.0 (MobileNetV2 trained on ImageNet)",
        },
        description=(
            "Outlines building roofs in RGB images of 9 to 30 cm. Trained on one dense town "
            "in Nepal: roofs, streets and light of other places may be recognised less well."
        ),
        engine_version=__version__,
        created=datetime.now(timezone.utc).date().isoformat(),
    )


def _training_record(arguments: argparse.Namespace) -> dict[str, object]:
    recipe = (
        f"seed {arguments.seed}, {arguments.batch} crops of {arguments.crop} px, zoom 0.5 to 2, "
        f"AdamW {arguments.rate:g}, encoder x 0.3, weight decay 0.02, warm-up and cosine, weight "
        "average 0.998, label smoothing 0.05, bf16"
    )
    state = read_state(arguments.work)
    return {
        "data": "Banepa (Nepal) drone orthophoto, 4096 x 3072 px, 0.13 m, 1466 OSM buildings",
        "split": (
            "ground blocks of 512 px: southern quarter = test; blocks "
            f"{', '.join(map(str, VALIDATION_BLOCKS))} = validation; training pixels within "
            f"{BUFFER_PX} px of them dropped"
        ),
        "initialised with": "MobileNetV2 of ImageNet, batch normalisation recalibrated",
        "recipe": recipe,
        "steps": state.step,
        "chosen step": chosen_step(state),
        "minutes": round(state.seconds / 60),
        "loss": "cross entropy with label smoothing + Dice",
        "augmentation": "zoom, any angle, flips, colours, blur, noise, JPEG",
        "hardware": f"{arguments.threads} threads of one {platform.machine()} CPU, shared",
        "how measured": (
            f"every pixel of the block, read alone; tiles of {TILE_PX} px, overlap {OVERLAP_PX} "
            "px, weighted mean; score >= the card's threshold, which the validation blocks chose; "
            "weights as stored (fp16); bf16 arithmetic"
        ),
        "command": "make buildings-model",
    }
