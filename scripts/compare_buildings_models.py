"""How sure is it that one buildings model is better than another on the test block?

Both models segment the test block of the Banepa scene; pairs of ground blocks of 128 pixels are
drawn with replacement, and the difference of the IoU is looked at over many draws.

Usage::

    python scripts/compare_buildings_models.py --data FOLDER OLD_MODEL NEW_MODEL
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from buildings_scene import BANDS, OVERLAP_PX, TILE_PX, read_scene, test_pairs
from numpy.typing import NDArray

from engine.models.load import load_network
from engine.train.validate import predict_scores
from engine.zoo.registry import find_model

BLOCK_PX = 128
DRAWS = 2000


def block_counts(
    model: str, pixels: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Return intersection and union of each ground block, ``[2, blocks]``, at the card's score."""
    entry = find_model(model)
    if entry.card is None:
        raise SystemExit(f"{model} has no card")
    network = load_network(entry).to(memory_format=torch.channels_last).eval()
    scores = predict_scores(network, pixels, BANDS, tile_px=TILE_PX, overlap_px=OVERLAP_PX)[1]
    found, truth = scores >= entry.card.score_threshold, labels == 1
    height, width = (side // BLOCK_PX for side in labels.shape)
    return np.stack(
        [
            part[: height * BLOCK_PX, : width * BLOCK_PX]
            .reshape(height, BLOCK_PX, width, BLOCK_PX)
            .sum((1, 3))
            .ravel()
            for part in (found & truth, found | truth)
        ]
    )


def main() -> None:
    """Print IoU of both, and the difference with its 95 % interval."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = os.environ.get("RS_SEGMENT_BANEPA")
    parser.add_argument("--data", type=Path, default=data, required=data is None)
    parser.add_argument("old")
    parser.add_argument("new")
    arguments = parser.parse_args()
    ((pixels, labels),) = test_pairs(read_scene(arguments.data))
    old, new = (block_counts(name, pixels, labels) for name in (arguments.old, arguments.new))
    draws = np.random.default_rng(0).integers(0, old.shape[1], (DRAWS, old.shape[1]))

    def iou(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        parts = counts[:, draws].sum(2)
        return np.asarray(parts[0] / parts[1], np.float64)

    low, high = np.percentile(iou(new) - iou(old), [2.5, 97.5])
    whole = [counts[0].sum() / counts[1].sum() for counts in (old, new)]
    print(f"IoU {whole[0]:.4f} -> {whole[1]:.4f}, difference {whole[1] - whole[0]:+.4f}")
    print(f"95 % interval of the difference over ground blocks: {low:+.4f} to {high:+.4f}")


if __name__ == "__main__":
    main()
