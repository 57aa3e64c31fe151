"""The two trainings of the buildings model: a teacher on labels, a student on soft targets."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from buildings_scene import (
    BANDS,
    CLASSES,
    Pairs,
    Scene,
    count_pixels,
    measure,
    resampled,
    validation_pairs,
)
from buildings_targets import read_unlabelled, student_scene
from safetensors.numpy import load_file
from torch import Tensor, nn

from engine.data.crops import CropRanges, TrainingScene, training_scene
from engine.data.transforms import ColorRanges, CropBatches
from engine.models import create_model
from engine.models.load import load_weights, read_weights
from engine.protocol import Event, Progress
from engine.train.checkpoint import BEST_NAME
from engine.train.initialise import load_encoder, read_npz_tensors, recalibrate_batch_norm
from engine.train.recipe import OptimizerRecipe, Recipe
from engine.train.schedule import ScheduleRecipe
from engine.train.soft_targets import exchange_parts, soft_loss
from engine.train.step_training import Judge, StepTraining
from engine.train.tensor_file import write_tensors
from engine.train.validate import class_scores, normalize_batch

logger = logging.getLogger("make_buildings_model")

BUILDER_ARGS = {"encoder": "mobilenet_v2", "decoder_channels": [128, 96, 64, 32, 16]}
TEACHER_FOLDER, STUDENT_FOLDER, TARGETS_NAME = "teacher", "student", "targets.safetensors"
STUDENT_SEED_STEP = 10
QUALITY_SCALES = (0.75, 1.0, 1.5)
METRICS = {TEACHER_FOLDER: "iou_building", STUDENT_FOLDER: "quality"}
"""Validation value that chooses the checkpoint of each stage."""


@dataclass(frozen=True)
class Stage:
    """Numbers of one training.

    Attributes:
        steps: Optimiser steps.
        rate: Peak learning rate.
        batch: Crops per step.
        crop_px: Side of a crop.
        weight_decay: Of AdamW.
    """

    steps: int
    rate: float
    batch: int
    crop_px: int
    weight_decay: float


TEACHER = Stage(2800, 1e-3, 8, 256, 0.02)
STUDENT = Stage(2800, 6e-4, 4, 384, 0.03)
TEACHER_LOSS = {"dice_weight": 1.0, "label_smoothing": 0.05}
STUDENT_DROPOUT = 0.1
STUDENT_ZOOM = {"zoom_min": 0.45, "zoom_max": 2.2, "zoom_spread": 0.4, "known_ratio": 0.75}
STUDENT_COLORS = ColorRanges(contrast=0.45, gamma=0.5, gray_ratio=0.12)
EXCHANGE_RATIO = 0.25
VALIDATION_STEPS = 200


def load_network(weights: Mapping[str, Tensor], **options: float) -> nn.Module:
    """Return the network with these weights."""
    network = create_model("unet", num_classes=len(CLASSES), **BUILDER_ARGS, **options)
    load_weights(network, dict(weights), "buildings")
    return network.to(memory_format=torch.channels_last).eval()


def mean_weights(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of networks that were trained from one another, tensor by tensor.

    After Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
    """
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
        for name, tensor in states[0].items()
    }


def train_teacher(scene: Scene, arguments: argparse.Namespace) -> Path:
    """Train, or continue to train, on the labels; return the file of the best average."""
    folder, pairs = arguments.work / TEACHER_FOLDER, validation_pairs(scene)
    usable = training_scene(scene.pixels, scene.labels, scene.roles)
    crops = CropBatches(
        usable, CropRanges(TEACHER.crop_px), ColorRanges(), TEACHER.batch, arguments.seed
    )

    def batches(step: int) -> tuple[Tensor, Tensor]:
        images, target = crops(step)
        return normalize_batch(images, BANDS), target

    network = _pretrained(usable, arguments)
    StepTraining(
        network,
        batches,
        _recipe(TEACHER, arguments.teacher_steps),
        folder,
        Judge(METRICS[TEACHER_FOLDER], lambda average: measure(average, pairs)),
        seed=arguments.seed,
        tuned=True,
    ).run(_report)
    return folder / BEST_NAME


def train_student(scene: Scene, arguments: argparse.Namespace) -> Path:
    """Train, or continue to train, on the teacher's opinion; return the best average's file."""
    folder, pairs = arguments.work / STUDENT_FOLDER, validation_pairs(scene)
    teacher = read_weights(arguments.work / TEACHER_FOLDER / BEST_NAME)
    seed = arguments.seed + STUDENT_SEED_STEP
    torch.manual_seed(seed)
    crops = CropBatches(
        _soft_scene(scene, teacher, arguments),
        CropRanges(STUDENT.crop_px, **STUDENT_ZOOM),
        STUDENT_COLORS,
        STUDENT.batch,
        seed,
    )

    def batches(step: int) -> tuple[Tensor, Tensor]:
        images, target = crops(step)
        rng = np.random.default_rng((seed, step))
        images, target = exchange_parts(images, target, EXCHANGE_RATIO, rng)
        return normalize_batch(images, BANDS), target

    network = load_network(teacher, feature_dropout=STUDENT_DROPOUT)
    network.loss = soft_loss
    sets = {scale: resampled(pairs, scale) for scale in QUALITY_SCALES}
    StepTraining(
        network,
        batches,
        _recipe(STUDENT, arguments.student_steps),
        folder,
        Judge(METRICS[STUDENT_FOLDER], lambda average: _quality(average, sets)),
        seed=seed,
        tuned=True,
    ).run(_report)
    return folder / BEST_NAME


def _pretrained(usable: TrainingScene, arguments: argparse.Namespace) -> nn.Module:
    """Return the network with the ImageNet encoder, calibrated on training crops."""
    network = create_model("unet", num_classes=len(CLASSES), **BUILDER_ARGS, **TEACHER_LOSS)
    load_encoder(network.net.encoder, read_npz_tensors(arguments.encoder))
    plain = CropBatches(usable, CropRanges(TEACHER.crop_px), None, 8, arguments.seed + 1)
    images = [normalize_batch(plain(step)[0], BANDS) for step in range(6)]
    recalibrate_batch_norm(network.net.encoder, images)
    return network.to(memory_format=torch.channels_last)


def _soft_scene(
    scene: Scene, teacher: Mapping[str, Tensor], arguments: argparse.Namespace
) -> TrainingScene:
    """Return the student's ground, read from the work folder where it is there already."""
    path = arguments.work / TARGETS_NAME
    if not path.is_file():
        made = student_scene(scene, read_unlabelled(arguments.data), load_network(teacher))
        arrays = {"pixels": made.pixels, "labels": made.labels, "centers": made.centers}
        write_tensors(path, {name: torch.from_numpy(a) for name, a in arrays.items()}, {})
    return TrainingScene(**load_file(path))


def _quality(network: nn.Module, sets: Mapping[float, Pairs]) -> dict[str, float]:
    """Return the building IoU at each scale and best threshold, and their mean."""
    found: dict[str, float] = {}
    for scale, pairs in sets.items():
        counts = count_pixels(network, pairs)
        values = [
            class_scores(c, [k.name for k in CLASSES])["iou_building"] for c in counts.values()
        ]
        found[f"iou_building_x{scale:g}"] = max(values)
    return {**found, "quality": sum(found.values()) / len(found)}


def _recipe(stage: Stage, steps: int) -> Recipe:
    return Recipe(
        network="unet",
        steps=steps,
        epochs=max(1, steps // VALIDATION_STEPS),
        batch=stage.batch,
        crop_px=stage.crop_px,
        clip_norm=5.0,
        ema_decay=0.998,
        checkpoint_steps=50,
        optimizer=OptimizerRecipe(
            lr=stage.rate, weight_decay=stage.weight_decay, backbone_ratio=0.3
        ),
        schedule=ScheduleRecipe(warmup_steps=100),
    )


def _report(event: Event) -> None:
    if isinstance(event, Progress) and event.done % 20 == 0:
        logger.info("step %d of %d", event.done, event.total)
