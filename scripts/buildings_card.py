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
from buildings_targets import LABEL_SHARE, TEACHER_SCALES
from buildings_training import (
    BUILDER_ARGS,
    EXCHANGE_RATIO,
    STUDENT,
    STUDENT_DROPOUT,
    STUDENT_FOLDER,
    STUDENT_SEED_STEP,
    STUDENT_ZOOM,
    TEACHER,
    TEACHER_FOLDER,
    Stage,
)

from engine import __version__
from engine.train.checkpoint import LAST_NAME, read_state
from engine.zoo.card import ModelCard, Resolution

MODEL_ID = "buildings_mobilenetv2"
RANGE_M = (0.09, 0.3)
"""Resolutions at which the validation IoU is near the one at the nominal resolution."""


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
            "data": "Banepa, three validation blocks (chose checkpoints and threshold)",
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
    low, high = STUDENT_ZOOM["zoom_min"], STUDENT_ZOOM["zoom_max"]
    return {
        "data": (
            "Banepa (Nepal) drone orthophoto, 4096 x 3072 px, 0.13 m, 1466 OSM buildings; "
            "student: also 2048 x 2048 px of neighbouring ground without labels"
        ),
        "split": (
            "ground blocks of 512 px: southern quarter = test; blocks "
            f"{', '.join(map(str, VALIDATION_BLOCKS))} = validation; training pixels within "
            f"{BUFFER_PX} px of them dropped; ground without labels is 512 px or more away"
        ),
        "initialised with": "MobileNetV2 of ImageNet, batch normalisation recalibrated",
        "teacher": (
            f"seed {arguments.seed}, {_numbers(TEACHER)}, zoom 0.5 to 2; "
            "cross entropy with label smoothing 0.05 + Dice on the labels"
        ),
        "teacher steps": _steps(arguments, TEACHER_FOLDER),
        "student": (
            f"from the teacher, seed {arguments.seed + STUDENT_SEED_STEP}, {_numbers(STUDENT)}, "
            f"zoom {low:g} to {high:g}, feature dropout {STUDENT_DROPOUT:g}, parts exchanged in "
            f"{EXCHANGE_RATIO:.0%} of the crops; cross entropy + Dice on soft targets: "
            f"{LABEL_SHARE:g} label + {1 - LABEL_SHARE:g} teacher (eight views at pixels x "
            f"{', '.join(map(str, TEACHER_SCALES))}), without labels the teacher alone"
        ),
        "student steps": _steps(arguments, STUDENT_FOLDER),
        "published": "mean of the teacher's and the student's weights",
        "augmentation": "zoom, any angle, flips, colours, grey, blur, noise, JPEG",
        "hardware": f"{arguments.threads} threads of one {platform.machine()} CPU, shared",
        "how measured": (
            f"every pixel of the block, read alone; tiles of {TILE_PX} px, overlap {OVERLAP_PX} "
            "px, weighted mean; score >= the card's threshold, which the validation blocks chose; "
            "weights as stored (fp16); bf16 arithmetic"
        ),
        "what the test block was used for": (
            "measuring this model once. On the teacher, which was shipped before (IoU 0.78 at "
            "threshold 0.5), thresholds, resolutions, averaged flips and the kinds of errors were "
            "looked at on it; no number of this recipe was chosen by it"
        ),
        "command": "make buildings-model",
    }


def _numbers(stage: Stage) -> str:
    return (
        f"{stage.batch} crops of {stage.crop_px} px, AdamW {stage.rate:g}, encoder x 0.3, weight "
        f"decay {stage.weight_decay:g}, warm-up and cosine, weight average 0.998, bf16"
    )


def _steps(arguments: argparse.Namespace, folder: str) -> str:
    """Return steps, best step and minutes of a stage."""
    state = read_state(arguments.work / folder / LAST_NAME)
    return (
        f"{state.step} in {state.seconds / 60:.0f} minutes; the best validation, after "
        f"{state.best_step}, counts"
    )
