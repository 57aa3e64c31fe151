"""Speed and equality of the COCO evaluation against pycocotools.

Random ellipses with copies of them as detections, crowds and tied scores, evaluated as boxes
and as masks. Both sides start from the same Python records and end with precision and recall,
in turns; the least processor time of the rounds counts, all threads together.

    python benchmarks/coco_eval.py [--images N] [--detections N] [--rounds N] [--json]

Ends with 1 if a figure differs by more than 1e-6, or a ratio is below 5.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.evaluate.coco_eval import evaluate_coco
from tests.engine.evaluate.coco_cases import random_case, run_pycocotools

BOUND_RATIO = 5.0
BOUND_DIFFERENCE = 1e-6


def compare(truth: dict[str, Any], found: list[dict[str, Any]], kind: str, rounds: int) -> dict:
    sides = {"engine": evaluate_coco, "pycocotools": run_pycocotools}
    times: dict[str, float] = {}
    results: dict[str, Any] = {}
    for _ in range(rounds):
        for side, work in sides.items():
            records = copy.deepcopy((truth, found))  # pycocotools changes them
            start = time.process_time()
            results[side] = work(*records, kind)
            times[side] = min(times.get(side, np.inf), time.process_time() - start)
    reference = results["pycocotools"].eval
    differences = [
        np.abs(getattr(results["engine"], name) - np.asarray(reference[name])[..., -1]).max()
        for name in ("precision", "recall")
    ]
    return {
        "kind": kind,
        "seconds": round(times["engine"], 3),
        "ratio": round(times["pycocotools"] / times["engine"], 2),
        "difference": float(max(differences)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--detections", type=int, default=100, help="most per image")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    truth, found = random_case(
        1, images=options.images, classes=10, objects=30, found=options.detections
    )
    rows = [compare(truth, found, kind, options.rounds) for kind in ("box", "mask")]
    record = {"truth": len(truth["annotations"]), "detections": len(found), "kinds": rows}
    if options.json:
        print(json.dumps(record))
    else:
        print(f"{record['detections']} detections, {record['truth']} true objects")
        for row in rows:
            print("  " + ", ".join(f"{key} {value}" for key, value in row.items()))
    fine = all(r["ratio"] >= BOUND_RATIO and r["difference"] <= BOUND_DIFFERENCE for r in rows)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
