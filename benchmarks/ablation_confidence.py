"""How sure the differences of the ablations are: paired intervals over the held-out image parts.

Reads the networks that ``benchmarks/ablations.py`` has trained, counts each held-out part by
itself, and draws the parts with replacement, the same ones for all variants and seeds. The
interval is the middle 95 % of the difference to the first variant, mean over the seeds, of mean
IoU and of each class. It says how much the choice of ground matters; what another seed of the
training would change, the differences of the single seeds beside it show.

    python benchmarks/ablation_confidence.py --data FOLDER [--scale small|long|medium|paper]
        [--seeds 0,1] [--draws 2000] [--work build/ablations] [--page docs/ablations.md]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _dubai import CLASSES, predict
from ablations import (
    TITLES,
    VARIANTS,
    Bench,
    bench_of,
    common_options,
    seeds_of,
    trained,
    write_page,
)

from engine.evaluate.confusion import confusion_matrix

START, END = "<!-- confidence: start -->", "<!-- confidence: end -->"
COUNT = len(CLASSES)


def part_counts(bench: Bench, paper: str, variant: str, seed: int) -> NDArray[np.int64] | None:
    """Return counts ``[parts, truth, answer]`` of a trained network, None if there is none."""
    network = trained(bench, paper, variant, seed)
    if network is None:
        return None
    return np.stack(
        [
            confusion_matrix(part.labels, predict(network, part, bench.data, bench.device), COUNT)
            for part in bench.data.validation
        ]
    )


def ious(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return mean IoU and the IoU of each class in per cent, of counts ``[..., K, K]``."""
    both = np.diagonal(counts, axis1=-2, axis2=-1)
    either = counts.sum(axis=-1) + counts.sum(axis=-2) - both
    each = 100 * both / np.maximum(either, 1)
    return np.concatenate([each.mean(axis=-1, keepdims=True), each], axis=-1)


def drawn(counts: NDArray[np.int64], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return :func:`ious` of each draw of parts, ``[draws, 1 + K]``."""
    times = np.stack([np.bincount(d, minlength=len(counts)) for d in draws])
    return ious(np.tensordot(times, counts, axes=(1, 0)))


def paper_lines(bench: Bench, paper: str, seeds: list[int], count: int) -> list[str]:
    """Return the rows of one network: each variant against the first."""
    found: dict[str, dict[int, NDArray[np.int64]]] = {}
    for variant in VARIANTS[paper]:
        for seed in seeds:
            counts = part_counts(bench, paper, variant, seed)
            if counts is not None:
                found.setdefault(variant, {})[seed] = counts
    first = found.get(VARIANTS[paper][0], {})
    parts = len(bench.data.validation)
    draws = np.random.default_rng(0).integers(parts, size=(count, parts))
    lines = []
    for variant in VARIANTS[paper][1:]:
        both = sorted(set(found.get(variant, {})) & set(first))
        if not both:
            continue
        single = [ious(found[variant][s].sum(axis=0)) - ious(first[s].sum(axis=0)) for s in both]
        spread = np.mean(
            [drawn(found[variant][s], draws) - drawn(first[s], draws) for s in both], 0
        )
        low, high = np.percentile(spread, [2.5, 97.5], axis=0)
        mean = np.mean(single, axis=0)
        cells = [f"{mean[i]:+.1f} ({low[i]:+.1f} to {high[i]:+.1f})" for i in range(1 + COUNT)]
        seeds_text = ", ".join(f"{difference[0]:+.1f}" for difference in single)
        lines.append(f"| {TITLES[paper]} | {variant} | {seeds_text} | " + " | ".join(cells) + " |")
    return lines


def main() -> int:
    """Print the table; return the exit code."""
    parser = common_options(__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench, seeds = bench_of(options), seeds_of(options)
    names = " | ".join(CLASSES)
    lines = [
        f"| network | variant | mIoU of each seed | mIoU | {names} |",
        "| --- | --- | --- | --- |" + " --- |" * COUNT,
    ]
    for paper in VARIANTS:
        lines += paper_lines(bench, paper, seeds, options.draws)
    print("\n".join(lines))
    if options.page:
        write_page(options.page, lines, (START, END))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
