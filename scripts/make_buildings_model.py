"""Make the shipped model ``buildings_mobilenetv2`` from the Banepa sample.

The scene is split by ground blocks of 512 pixels (about 68 m): the southern quarter of the rows
is the test block, three blocks of the rest choose the checkpoint, and training pixels within 48
pixels of any of them are dropped. A killed training continues from its last checkpoint.

Usage::

    python scripts/make_buildings_model.py --data FOLDER --encoder FILE.npz --work FOLDER

``--data`` holds ``banepa_orthophoto_rgb.tif`` and ``banepa_buildings.gpkg``; ``--encoder`` is
MobileNetV2 with torchvision's key names. Both are also read from the environment variables
``RS_SEGMENT_BANEPA`` and ``RS_SEGMENT_MOBILENETV2``.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from buildings_card import BUILDER_ARGS, MODEL_ID, chosen_step, make_card
from buildings_scene import (
    BANDS,
    CLASSES,
    ROOT,
    Scene,
    best_threshold,
    measure,
    read_scene,
    resampled,
    test_pairs,
    validation_pairs,
)
from torch import Tensor, nn

from engine.data.crops import CropRanges, training_scene
from engine.data.transforms import ColorRanges, CropBatches
from engine.models import create_model
from engine.models.load import load_weights, read_weights
from engine.protocol import Event, Progress
from engine.train.checkpoints import read_average, read_state
from engine.train.initialise import load_encoder, read_npz_tensors, recalibrate_batch_norm
from engine.train.publish import half_precision, publish_model
from engine.train.semantic import BEST_NAME, LoopOptions, SemanticTrainer
from engine.train.validate import normalize_batch
from engine.zoo.card import ModelCard

logger = logging.getLogger("make_buildings_model")

SCALES = (0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0)
TEST_SCALES = (1.0, 0.75, 2.0)
TRAINING_ARGS = {"dice_weight": 1.0, "label_smoothing": 0.05}


def make_network(scene: Scene, encoder: Path, arguments: argparse.Namespace) -> nn.Module:
    """Return the network with the pretrained encoder, calibrated on training crops."""
    network = create_model("unet", num_classes=len(CLASSES), **BUILDER_ARGS, **TRAINING_ARGS)
    load_encoder(network.net.encoder, read_npz_tensors(encoder))
    usable = training_scene(scene.pixels, scene.labels, scene.roles)
    plain = CropBatches(usable, CropRanges(arguments.crop), None, 8, arguments.seed + 1)
    images = [normalize_batch(plain(step)[0], BANDS) for step in range(6)]
    recalibrate_batch_norm(network.net.encoder, images)
    return network.to(memory_format=torch.channels_last)


def train(scene: Scene, arguments: argparse.Namespace) -> None:
    """Train, or continue to train, into the work folder."""
    network = make_network(scene, arguments.encoder, arguments)
    usable = training_scene(scene.pixels, scene.labels, scene.roles)
    crops = CropBatches(
        usable, CropRanges(arguments.crop), ColorRanges(), arguments.batch, arguments.seed
    )
    pairs = validation_pairs(scene)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        images, target = crops(step)
        return normalize_batch(images, BANDS), target

    def validate(average: nn.Module) -> Mapping[str, float]:
        return measure(average, pairs)

    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.done % 20 == 0:
            logger.info("step %d of %d", event.done, event.total)

    options = LoopOptions(
        arguments.steps,
        arguments.rate,
        validate_every=200,
        checkpoint_every=50,
        metric="iou_building",
    )
    SemanticTrainer(network, batches, options, folder=arguments.work, validate=validate).run(
        report, lambda: False
    )


def publish(scene: Scene, arguments: argparse.Namespace) -> ModelCard:
    """Measure the best weight average and write the model folder."""
    state = read_state(arguments.work)
    step = chosen_step(state)
    last = step == state.step
    best = read_average(arguments.work) if last else read_weights(arguments.work / BEST_NAME)
    stored = {name: tensor.float() for name, tensor in half_precision(best).items()}
    network = create_model("unet", num_classes=len(CLASSES), **BUILDER_ARGS)
    load_weights(network, stored, MODEL_ID)
    network.to(memory_format=torch.channels_last).eval()
    pairs = validation_pairs(scene)
    threshold = best_threshold(network, pairs)
    for scale in SCALES:
        found = measure(network, resampled(pairs, scale), threshold)
        logger.info("validation, pixels x %g: %s", scale, found)
    card = make_card(
        scene,
        arguments,
        threshold,
        measure(network, pairs, threshold),
        {s: measure(network, resampled(test_pairs(scene), s), threshold) for s in TEST_SCALES},
    )
    return publish_model(arguments.output, best, card)


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data, encoder = os.environ.get("RS_SEGMENT_BANEPA"), os.environ.get("RS_SEGMENT_MOBILENETV2")
    parser.add_argument("--data", type=Path, default=data, required=data is None)
    parser.add_argument("--encoder", type=Path, default=encoder, required=encoder is None)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / MODEL_ID)
    parser.add_argument("--output", type=Path, default=ROOT / "resources" / "zoo" / MODEL_ID)
    parser.add_argument("--steps", type=int, default=2800)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--publish-only", action="store_true", help="do not train")
    return parser.parse_args()


def main() -> None:
    """Train and publish."""
    arguments = parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    scene = read_scene(arguments.data)
    if not arguments.publish_only:
        train(scene, arguments)
    card = publish(scene, arguments)
    logger.info("%s", json.dumps(card.to_dict()["metrics"], indent=1))


if __name__ == "__main__":
    main()
