"""What the second look of C2FNet does on real land cover, and why, from trained networks.

Reads the networks that ``benchmarks/ablations.py`` has trained, runs both looks on the held-out
image parts and prints, for each seed, the IoU of the small classes and of all: of the first look,
of both looks merged in the three modes, and of both looks with a fine network that knows the
truth (the most that the second look could bring). Inside the windows that are looked at twice it
compares the two answers to the question "small object or not": only a fine network that answers
better than the coarse one can help.

    python benchmarks/second_look.py --data FOLDER [--scale small|long|medium|paper]
        [--seeds 0,1] [--work build/ablations] [--page docs/ablations.md]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _dubai import CLASSES, SMALL_CLASSES, Part, summary
from ablations import C2FNET, Bench, bench_of, common_options, seeds_of, trained, write_page

from engine.evaluate.confusion import confusion_matrix
from engine.models.blocks.second_look import aggregate, cut_patches, paste_mean
from engine.models.c2fnet import C2FNet
from engine.train.validate import normalize_batch

START, END = "<!-- second look: start -->", "<!-- second look: end -->"
MODES = ("symmetric", "literal", "paddlers")
COUNT = len(CLASSES)


class Tally:
    """Confusion counts of one seed: of the merged maps, and inside the windows."""

    def __init__(self) -> None:
        names = ("first look", *(f"both, {mode}" for mode in MODES), "both, perfect fine network")
        self.maps = {name: np.zeros((COUNT, COUNT), np.int64) for name in names}
        self.inside = {name: np.zeros((2, 2), np.int64) for name in ("coarse", "fine")}
        self.pixels = self.seen = 0

    def add_map(self, name: str, truth: NDArray[np.uint8], logits: Tensor) -> None:
        """Count one image part; logits ``[1, K, H, W]``."""
        labels = logits.argmax(dim=1)[0].numpy().astype(np.uint8)
        self.maps[name] += confusion_matrix(truth, labels, COUNT)

    def add_inside(self, name: str, truth: NDArray[np.bool_], said: NDArray[np.bool_]) -> None:
        """Count pixels inside windows."""
        pairs = 2 * truth.astype(np.int64) + said
        self.inside[name] += np.bincount(pairs, minlength=4).reshape(2, 2)


def iou(counts: NDArray[np.int64]) -> float:
    """Return the IoU of class 1 of counts ``[truth, said]``."""
    return float(counts[1, 1]) / max(1, int(counts[1, 1] + counts[0, 1] + counts[1, 0]))


@torch.inference_mode()
def look_at(network: C2FNet, part: Part, images: Tensor, tally: Tally) -> None:
    """Run both looks on one image part ``[1, 3, H, W]`` and count."""
    coarse = network.first_look(images)
    tally.add_map("first look", part.labels, coarse)
    truth = torch.from_numpy(part.labels.astype(np.int64))[None]
    known = truth != 255
    small_truth = network.small[torch.where(known, truth, 0)]
    side = network.look.patch_px
    windows = network.windows(coarse, network.look.infer_stride_px or side, None)
    if not len(windows):
        for name in tally.maps:
            if name != "first look":
                tally.add_map(name, part.labels, coarse)
        return
    logits = network.fine_look(cut_patches(images, windows, side))
    shape = torch.Size((1, *images.shape[-2:]))
    fine = paste_mean(logits.softmax(dim=1)[:, 1], windows, shape)
    hits = paste_mean(torch.ones(len(windows), side, side), windows, shape) > 0
    perfect = torch.where(known, small_truth, fine >= 0.5).float()
    for name, chance, mode in (
        *((f"both, {mode}", fine, mode) for mode in MODES),
        ("both, perfect fine network", perfect, "symmetric"),
    ):
        both = aggregate(coarse, chance, network.small, mode=mode, normalisation="sum")  # type: ignore[arg-type]
        tally.add_map(name, part.labels, torch.where(hits.unsqueeze(1), both, coarse))
    asked = (hits & known).numpy()
    said = {"coarse": network.small[coarse.argmax(dim=1)], "fine": fine >= 0.5}
    for name, answer in said.items():
        tally.add_inside(name, small_truth.numpy()[asked], answer.numpy()[asked])
    tally.seen += int(hits.sum())
    tally.pixels += hits.numel()


def tally_of(bench: Bench, seed: int) -> Tally:
    """Count all held-out parts with the trained networks of a seed."""
    network = trained(bench, "c2fnet", C2FNET[1], seed)
    if not isinstance(network, C2FNet):
        raise FileNotFoundError(f"C2FNet of seed {seed} has not been trained")
    tally = Tally()
    for part in bench.data.validation:
        images = normalize_batch(torch.from_numpy(part.pixels).unsqueeze(0), bench.data.bands)
        look_at(network, part, images, tally)
    return tally


def lines_of(seed: int, tally: Tally) -> list[str]:
    """Return the rows of the table of one seed."""
    small = [CLASSES[i] for i in SMALL_CLASSES]
    lines = []
    for name, counts in tally.maps.items():
        scores = summary(counts)
        cells = " | ".join(f"{100 * scores[f'iou_{c}']:.1f}" for c in small)
        lines.append(f"| {seed} | {name} | {100 * scores['miou']:.1f} | {cells} | |")
    for name, counts in tally.inside.items():
        lines.append(
            f"| {seed} | in the windows, {name} network alone | | | | {100 * iou(counts):.1f} |"
        )
    return lines


def main() -> int:
    """Print the table; return the exit code."""
    options = common_options(__doc__).parse_args()
    torch.set_num_threads(1)
    bench = bench_of(options)
    names = " | ".join(CLASSES[i] for i in SMALL_CLASSES)
    lines = [
        f"| seed | map | mIoU | {names} | small or not, IoU |",
        "| ---: | --- | ---: |" + " ---: |" * (len(SMALL_CLASSES) + 1),
    ]
    for seed in seeds_of(options):
        tally = tally_of(bench, seed)
        lines += lines_of(seed, tally)
        share = 100 * tally.seen / max(1, tally.pixels)
        print(f"seed {seed}: {share:.0f} % of the area looked at twice", file=sys.stderr)
    print("\n".join(lines))
    if options.page:
        write_page(options.page, lines, (START, END))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
