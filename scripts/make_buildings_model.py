"""Make the shipped model ``buildings_mobilenetv2`` from the Banepa sample; see the README."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.data import split
from engine.data.crops import CropRanges, training_scene
from engine.data.transforms import ColorRanges, CropBatches
from engine.models import create_model
from engine.train.initialise import load_encoder, read_npz_tensors, recalibrate_batch_norm
from engine.train.semantic import LoopOptions, SemanticTrainer
from engine.train.validate import class_scores, confusion_matrix, normalize_batch, predict_scores
from engine.zoo.card import BandSpec

BANDS = tuple(BandSpec(n, 1 / 255, 0.0, 0.5, 0.5, (n,)) for n in ("red", "green", "blue"))
BLOCK_PX, BUFFER_PX = 512, 48
VALIDATION_BLOCKS = ((1, 4), (3, 1), (5, 3))
BUILDER_ARGS = {"encoder": "mobilenet_v2", "decoder_channels": [128, 96, 64, 32, 16]}


def block_roles() -> np.ndarray:
    blocks = np.full((8, 6), split.TRAIN, np.uint8)
    blocks[6:] = split.TEST
    for row, col in VALIDATION_BLOCKS:
        blocks[row, col] = split.VALIDATION
    return blocks


def read_scene(data: Path):
    import pyogrio, rasterio, shapely
    from engine.data.labels import rasterize_polygons

    with rasterio.open(data / "banepa_orthophoto_rgb.tif") as raster:
        pixels, transform = raster.read(), raster.transform
    geometry = shapely.from_wkb(pyogrio.raw.read(data / "banepa_buildings.gpkg")[2])
    return pixels, rasterize_polygons(geometry, transform, pixels.shape[1:])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    pixels, labels = read_scene(a.data)
    roles = split.paint_roles(labels.shape, block_roles(), block_px=BLOCK_PX, buffer_px=BUFFER_PX)
    scene = training_scene(pixels, labels, roles)
    print("roles", [(roles == r).mean().round(4) for r in range(4)], flush=True)

    network = create_model("unet", num_classes=2, dice_weight=1.0, label_smoothing=0.05, **BUILDER_ARGS)
    load_encoder(network.net.encoder, read_npz_tensors(a.encoder))
    plain = CropBatches(scene, CropRanges(a.crop), None, 8, a.seed + 1)
    recalibrate_batch_norm(network.net.encoder, [normalize_batch(plain(i)[0], BANDS) for i in range(6)])
    network.to(memory_format=torch.channels_last)
    crops = CropBatches(scene, CropRanges(a.crop), ColorRanges(), a.batch, a.seed)

    def batches(step):
        images, target = crops(step)
        return normalize_batch(images, BANDS), target

    def validate(net):
        confusion = 0
        for row, col in VALIDATION_BLOCKS:
            cut = (slice(row * 512, row * 512 + 512), slice(col * 512, col * 512 + 512))
            scores = predict_scores(net, pixels[(slice(None), *cut)], BANDS)
            confusion = confusion + confusion_matrix(labels[cut], (scores[1] > 0.5).astype(np.uint8), 2)
        return class_scores(confusion, ("background", "building"))

    options = LoopOptions(a.steps, a.lr, metric="iou_building", validate_every=200, checkpoint_every=50)
    trainer = SemanticTrainer(network, batches, options, folder=a.work, validate=validate)
    begin = [time.time(), trainer.state.step]

    def report(event):
        if event.done % 20 == 0:
            pace = (time.time() - begin[0]) / max(1, event.done - begin[1])
            logging.info("step %d of %d, %.3f s/step", event.done, event.total, pace)

    trainer.run(report, lambda: False)


if __name__ == "__main__":
    main()
