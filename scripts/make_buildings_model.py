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
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine import __version__  # noqa: E402
from engine.data import split  # noqa: E402
from engine.data.crops import CropRanges, training_scene  # noqa: E402
from engine.data.labels import rasterize_polygons  # noqa: E402
from engine.data.transforms import ColorRanges, CropBatches  # noqa: E402
from engine.geo.raster import RasterReader  # noqa: E402
from engine.geo.vector import read_polygons  # noqa: E402
from engine.models import create_model  # noqa: E402
from engine.models.load import load_weights, read_weights  # noqa: E402
from engine.protocol import Event, Progress  # noqa: E402
from engine.train.checkpoints import TrainState, read_average, read_state  # noqa: E402
from engine.train.initialise import (  # noqa: E402
    load_encoder,
    read_npz_tensors,
    recalibrate_batch_norm,
)
from engine.train.publish import half_precision, publish_model  # noqa: E402
from engine.train.semantic import BEST_NAME, LoopOptions, SemanticTrainer  # noqa: E402
from engine.train.validate import (  # noqa: E402
    class_scores,
    confusion_matrix,
    normalize_batch,
    predict_scores,
)
from engine.zoo.card import BandSpec, ClassInfo, ModelCard, Resolution  # noqa: E402

logger = logging.getLogger("make_buildings_model")

MODEL_ID = "buildings_mobilenetv2"
RASTER_NAME, LABELS_NAME = "banepa_orthophoto_rgb.tif", "banepa_buildings.gpkg"
BLOCK_PX, BUFFER_PX = 512, 48
TEST_BLOCK_ROWS = 2
VALIDATION_BLOCKS = ((1, 4), (3, 1), (5, 3))
TILE_PX, OVERLAP_PX = 512, 128
SCALES = (0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0)
TEST_SCALES = (1.0, 0.75, 2.0)
THRESHOLDS = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
VALIDATION_NOISE = 0.01
RANGE_M = (0.09, 0.3)
"""Resolutions at which the validation IoU is near the one at the nominal resolution."""
BUILDER_ARGS = {"encoder": "mobilenet_v2", "decoder_channels": [128, 96, 64, 32, 16]}
TRAINING_ARGS = {"dice_weight": 1.0, "label_smoothing": 0.05}
CLASSES = (
    ClassInfo(0, "background", "#000000", background=True),
    ClassInfo(1, "building", "#e6550d"),
)
BANDS = tuple(
    BandSpec(name, 1 / 255, 0.0, 0.5, 0.5, names)
    for name, names in (("red", ("red", "r")), ("green", ("green", "g")), ("blue", ("blue", "b")))
)


Pairs = list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]


@dataclass(frozen=True)
class Scene:
    """Pixels ``[3, H, W]``, class ids and roles ``[H, W]``, all uint8, and the GSD in metres."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    roles: NDArray[np.uint8]
    gsd_m: float


def read_scene(data: Path) -> Scene:
    """Read the orthophoto, burn the polygons and split the ground."""
    with RasterReader(str(data / RASTER_NAME)) as reader:
        grid = reader.grid
        pixels = reader.read_rows(0, grid.height)[0].astype(np.uint8)
    polygons = read_polygons(str(data / LABELS_NAME), crs_wkt=grid.crs_wkt)
    shape_px = (grid.height, grid.width)
    labels = rasterize_polygons(polygons, grid.transform, shape_px)
    blocks = np.full([-(-side // BLOCK_PX) for side in shape_px], split.TRAIN, np.uint8)
    blocks[-TEST_BLOCK_ROWS:] = split.TEST
    for block in VALIDATION_BLOCKS:
        blocks[block] = split.VALIDATION
    roles = split.paint_roles(shape_px, blocks, block_px=BLOCK_PX, buffer_px=BUFFER_PX)
    return Scene(pixels, labels, roles, grid.gsd_m)


def count_pixels(network: nn.Module, pairs: Pairs) -> dict[float, NDArray[np.int64]]:
    """Return the confusion matrix of all pixels of the pairs for every candidate threshold."""
    counts = {threshold: np.zeros((2, 2), np.int64) for threshold in THRESHOLDS}
    for pixels, labels in pairs:
        scores = predict_scores(network, pixels, BANDS, tile_px=TILE_PX, overlap_px=OVERLAP_PX)
        for threshold in THRESHOLDS:
            found = (scores[1] >= threshold).astype(np.uint8)
            counts[threshold] += confusion_matrix(labels, found, len(CLASSES))
    return counts


def measure(network: nn.Module, pairs: Pairs, threshold: float = 0.5) -> dict[str, float]:
    """Return IoU, precision and recall over all pixels of the pairs."""
    return class_scores(count_pixels(network, pairs)[threshold], [c.name for c in CLASSES])


def best_threshold(network: nn.Module, pairs: Pairs) -> float:
    """Return the candidate threshold with the highest building IoU."""
    counts = count_pixels(network, pairs)
    names = [c.name for c in CLASSES]
    return max(THRESHOLDS, key=lambda t: class_scores(counts[t], names)["iou_building"])


def validation_pairs(scene: Scene) -> Pairs:
    """Return the validation blocks, each read alone."""
    parts = [
        (slice(row * BLOCK_PX, (row + 1) * BLOCK_PX), slice(col * BLOCK_PX, (col + 1) * BLOCK_PX))
        for row, col in VALIDATION_BLOCKS
    ]
    return [(scene.pixels[(slice(None), *part)], scene.labels[part]) for part in parts]


def test_pairs(scene: Scene) -> Pairs:
    """Return the test block, read alone."""
    row = int(np.flatnonzero(scene.roles[:, 0] == split.TEST)[0])
    return [(scene.pixels[:, row:], scene.labels[row:])]


def resampled(pairs: Pairs, scale: float) -> Pairs:
    """Return the pairs with pixels ``scale`` times as large."""
    return [_resampled(pixels, labels, scale) for pixels, labels in pairs]


def _resampled(
    pixels: NDArray[np.uint8], labels: NDArray[np.uint8], scale: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if scale == 1.0:
        return pixels, labels
    shape_px = [round(side / scale) for side in labels.shape]
    image = torch.from_numpy(np.ascontiguousarray(pixels)).float().unsqueeze(0)
    image = nn.functional.interpolate(image, shape_px, mode="bilinear", antialias=True)
    rows = ((np.arange(shape_px[0]) + 0.5) * labels.shape[0] / shape_px[0]).astype(int)
    cols = ((np.arange(shape_px[1]) + 0.5) * labels.shape[1] / shape_px[1]).astype(int)
    return image[0].round().clamp(0, 255).byte().numpy(), labels[np.ix_(rows, cols)]


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
            "Outlines building roofs in RGB images of 7 to 30 cm. Trained on one dense town "
            "in Nepal: roofs, streets and light of other places may be recognised less well."
        ),
        engine_version=__version__,
        created=datetime.now(timezone.utc).date().isoformat(),
    )


def _training_record(arguments: argparse.Namespace) -> dict[str, object]:
    first = (
        f"seed {arguments.seed}, {arguments.batch} crops of {arguments.crop} px, zoom 0.5 to 2, "
        f"AdamW {arguments.rate:g}, warm-up and cosine, weight average 0.998, "
        "label smoothing 0.05, bf16"
    )
    last = read_state(arguments.work)
    if arguments.first is None:
        stages = {"stage 1": _stage_record(last, first, chosen_step(last))}
    else:
        start = read_state(arguments.first)
        stages = {
            "stage 1": _stage_record(start, first, start.step),
            "stage 2": _stage_record(last, arguments.refined, chosen_step(last)),
        }
    return {
        "data": "Banepa (Nepal) drone orthophoto, 4096 x 3072 px, 0.13 m, 1466 OSM buildings",
        "split": (
            "ground blocks of 512 px: southern quarter = test; blocks "
            f"{', '.join(map(str, VALIDATION_BLOCKS))} = validation; training pixels within "
            f"{BUFFER_PX} px of them dropped"
        ),
        "initialised with": "MobileNetV2 of ImageNet, batch normalisation recalibrated",
        **stages,
        "loss": "cross entropy with label smoothing + Dice",
        "augmentation": "zoom, any angle, flips, colours, blur, noise, JPEG",
        "hardware": f"{arguments.threads} threads of one {platform.machine()} CPU, shared",
        "how measured": (
            f"every pixel of the block, read alone; tiles of {TILE_PX} px, overlap {OVERLAP_PX} "
            "px, weighted mean; score >= the card's threshold, which the validation blocks chose; "
            "weights as stored (fp16); bf16 arithmetic"
        ),
        "command": f"scripts/{'refine' if arguments.first else 'make'}_buildings_model.py",
    }


def _stage_record(state: TrainState, described: str, step: int) -> str:
    return (
        f"{described}; steps {state.step}, weights of step {step} taken, "
        f"{round(state.seconds / 60)} minutes"
    )


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
    parser.add_argument("--first", type=Path, help="with --publish-only: work folder of stage 1")
    parser.add_argument("--refined", default="", help="with --first: what stage 2 did")
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
