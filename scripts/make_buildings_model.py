"""Make the shipped model ``buildings_mobilenetv2`` from the Banepa sample.

Two trainings, one after the other:

1. the *teacher*, from an ImageNet encoder, on the labels of the map;
2. the *student*, from the teacher, on soft targets: half label, half the teacher's opinion
   averaged over mirrored, turned and scaled views, and on neighbouring ground without labels
   the teacher's opinion alone.

The mean of the teacher's and the student's weights is published: on the validation blocks, seen
plain, in other colours and at other pixel sizes, it is better than either.

The scene is split by ground blocks of 512 pixels (about 68 m): the southern quarter of the rows
is the test block, three blocks of the rest choose the checkpoints, and training pixels within 48
pixels of any of them are dropped. A killed training continues from its last checkpoint; a stage
that is done is not done again.

Usage::

    python scripts/make_buildings_model.py --data FOLDER --encoder FILE.npz --work FOLDER

``--data`` holds ``banepa_orthophoto_rgb.tif``, ``banepa_buildings.gpkg`` and the folder
``chips_unlabelled``; ``--encoder`` is MobileNetV2 with torchvision's key names. Both are also
read from the environment variables ``RS_SEGMENT_BANEPA`` and ``RS_SEGMENT_MOBILENETV2``.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from pathlib import Path

import torch
from buildings_card import MODEL_ID, make_card
from buildings_scene import (
    ROOT,
    Scene,
    best_threshold,
    measure,
    read_scene,
    resampled,
    test_pairs,
    validation_pairs,
)
from buildings_training import (
    STUDENT,
    STUDENT_FOLDER,
    TEACHER,
    TEACHER_FOLDER,
    load_network,
    mean_weights,
    train_student,
    train_teacher,
)

from engine.models.load import read_weights
from engine.train.checkpoint import BEST_NAME
from engine.train.publish import half_precision, publish_model
from engine.zoo.card import ModelCard

logger = logging.getLogger("make_buildings_model")

SCALES = (0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0)
TEST_SCALES = (1.0, 0.75, 1.5, 2.0)


def publish(scene: Scene, arguments: argparse.Namespace) -> ModelCard:
    """Measure the mean of teacher and student and write the model folder."""
    folders = (TEACHER_FOLDER, STUDENT_FOLDER)
    best = mean_weights([read_weights(arguments.work / f / BEST_NAME) for f in folders])
    stored = {name: tensor.float() for name, tensor in half_precision(best).items()}
    network = load_network(stored)
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
    parser.add_argument("--teacher-steps", type=int, default=TEACHER.steps)
    parser.add_argument("--student-steps", type=int, default=STUDENT.steps)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--publish-only", action="store_true", help="do not train")
    return parser.parse_args()


def main() -> None:
    """Train teacher and student, and publish."""
    arguments = parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("rasterio").setLevel(logging.ERROR)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    scene = read_scene(arguments.data)
    if not arguments.publish_only:
        train_teacher(scene, arguments)
        train_student(scene, arguments)
    card = publish(scene, arguments)
    logger.info("%s", json.dumps(card.to_dict()["metrics"], indent=1))


if __name__ == "__main__":
    main()
