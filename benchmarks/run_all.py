"""All benchmarks in one run, against the goals of ``_goals.py``.

Each benchmark runs in a process of its own, one after another; it takes turns between the sides
that it compares and counts the fastest of its rounds. What is kept are ratios and costs per
unit, not seconds of one machine.

    python benchmarks/run_all.py [--quick] [--only a,b] [--csv FILE] [--page docs/performance.md]

``--page`` puts the table between the marks of that page, with what is known about goals that were
missed, and draws it as ``docs/images/performance.svg``. Both are written anew after each benchmark,
so a run that is stopped keeps what it has. Benchmarks beside other programs have marks of their
own, and a table of these programs. Ends with 1 if a goal is missed or a benchmark fails.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from _goals import BENCHMARKS, GOALS, Benchmark, Goal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
FIGURES, PEERS = "figures", "peers"
MET, MISSED, FAILED, TOO_SMALL = "met", "missed", "failed", "quick run"
LIMIT_S = 3600
PICTURE = "images/performance.svg"


@dataclass(frozen=True)
class Row:
    """One goal and what was measured; ``value`` is None if nothing was."""

    goal: Goal
    value: float | None
    verdict: str

    def cells(self) -> tuple[str, ...]:
        """Return benchmark, figure, value, goal and verdict as texts."""
        sign = "≥" if self.goal.at_least else "≤"
        value = "–" if self.value is None else number(self.value)
        bound = f"{sign} {number(self.goal.bound)}"
        return self.goal.benchmark, self.goal.figure, value, bound, self.verdict


def number(value: float) -> str:
    """Return a figure with three digits, or without decimals if it is large."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}".replace(",", " ")


def run(benchmark: Benchmark, quick: bool) -> tuple[str, bool]:
    """Return what a benchmark printed, and whether it ended in one of the two right ways."""
    arguments = benchmark.quick if quick else benchmark.full
    command = [sys.executable, str(ROOT / "benchmarks" / f"{benchmark.name}.py"), *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        print(f"   stopped after {LIMIT_S} s", file=sys.stderr)
        return "", False
    crashed = done.returncode not in (0, 1) or "Traceback" in done.stderr
    if crashed:
        print("\n".join(done.stderr.strip().splitlines()[-12:]), file=sys.stderr)
    return done.stdout, not crashed


def rows_of(benchmark: Benchmark, text: str, quick: bool, sound: bool) -> list[Row]:
    """Return the goals of a benchmark with the figures of its output."""
    rows = []
    for goal in (g for g in GOALS if g.benchmark == benchmark.name):
        value = goal.read(text)
        if quick and goal.full_only:
            verdict = TOO_SMALL
        elif value is None or not sound:
            verdict = FAILED
        else:
            verdict = MET if goal.holds(value) else MISSED
        rows.append(Row(goal, value, verdict))
    return rows


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| benchmark | figure | measured | goal | |", "| --- | --- | ---: | ---: | --- |"]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    return "\n".join(lines) + "\n"


def write_csv(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("benchmark", "figure", "value", "goal", "at_least", "verdict"))
        for row in rows:
            value = "" if row.value is None else f"{row.value:.6g}"
            bound = f"{row.goal.bound:g}"
            writer.writerow((*row.cells()[:2], value, bound, int(row.goal.at_least), row.verdict))


def write_page(page: Path, rows: list[Row], section: str, peers_text: str) -> None:
    """Put the table between the marks of a page's section, with a picture or the programs."""
    start, end = f"<!-- {section}: start -->", f"<!-- {section}: end -->"
    before, rest = page.read_text(encoding="utf-8").split(start, 1)
    after = rest.split(end, 1)[1]
    text = f"{_measured_on()}\n\n{table(rows)}\n{_missed(rows)}"
    if section == PEERS:
        text += programs(peers_text)
    else:
        text += f"![How well the goals are met]({PICTURE})\n"
        (page.parent / PICTURE).write_bytes(plot(rows))
    page.write_text(f"{before}{start}\n{text}{end}{after}", encoding="utf-8")


def programs(text: str) -> str:
    """Return a table of the programs in what ``peers`` printed; nothing if it printed none."""
    if not text.strip().startswith("{"):
        return ""
    found = json.loads(text)
    lines = [
        f"{found['size_px']} x {found['size_px']} pixels, U-Net on ResNet-18, end to end:",
        "",
        "| program | seconds | / engine as it chooses | / engine in bf16 |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, run in found["runs"].items():
        ratios = (found["ratios"].get(f"{name}/{own}") for own in ("engine", "engine_bf16"))
        cells = ("–" if ratio is None else number(ratio) for ratio in ratios)
        lines.append(f"| {name} | {number(run['seconds'])} | {' | '.join(cells)} |")
    lines += [f"\n{name} failed: {reason}" for name, reason in found["failed"].items()]
    return "\n".join(lines) + "\n"


def _measured_on() -> str:
    """Return a sentence on the machine and the state of the code."""
    from engine.predict.backend import cpu_name

    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    commit = f", commit {done.stdout.strip()}" if done.returncode == 0 else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"Measured on {cores} cores of an {cpu_name()}, {date.today().isoformat()}{commit}."


def _missed(rows: list[Row]) -> str:
    """Return a line for each goal that was missed: by how much, and what is known about it."""
    lines = [
        f"- **{row.goal.figure}**: {_short(row)} the goal. {row.goal.why}".rstrip()
        for row in rows
        if row.verdict == MISSED
    ]
    return "\n".join(["Missed:", "", *lines, "", ""]) if lines else ""


def _short(row: Row) -> str:
    score = _score(row)
    if row.goal.at_least:
        return f"{100 * (1 - score):.0f} % below"
    return f"{100 * (1 / score - 1):.0f} % above"


def plot(rows: list[Row]) -> bytes:
    """Return bars of how well each goal is met, as SVG: 1 is just met, more is better."""
    import io

    import matplotlib
    from matplotlib.figure import Figure

    shown = [row for row in rows if row.verdict in (MET, MISSED)]
    scores = [_score(row) for row in shown]
    with matplotlib.rc_context({"svg.hashsalt": "rs-segment", "font.size": 8.0}):
        figure = Figure(figsize=(7.5, 0.32 * len(shown) + 1.0), layout="constrained")
        axes = figure.add_subplot()
        colors = ["#31a354" if score >= 1 else "#e6550d" for score in scores]
        bars = axes.barh(range(len(shown)), scores, color=colors)
        axes.bar_label(bars, [row.cells()[2] for row in shown], padding=2)
        axes.set_yticks(range(len(shown)), [row.goal.figure for row in shown])
        axes.invert_yaxis()
        axes.axvline(1.0, color="#333333", linewidth=1)
        axes.set(xscale="log", xlabel="times better than the goal (1 is just met)")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _score(row: Row) -> float:
    """Return how many times better than its goal a figure is, at most a hundred times."""
    value, bound = row.value or 0.0, row.goal.bound
    if row.goal.at_least:
        return max(value, bound / 100) / bound
    return bound / max(value, bound / 100)


def main() -> int:
    """Run, print, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, some minutes")
    parser.add_argument("--only", default="", help="names of benchmarks with commas")
    parser.add_argument("--csv", type=Path, default=ROOT / "build" / "performance.csv")
    parser.add_argument("--page", type=Path, help="put the table into this page")
    options = parser.parse_args()
    wanted = set(filter(None, options.only.split(",")))
    if unknown := wanted - {b.name for b in BENCHMARKS}:
        parser.error(f"no benchmark {sorted(unknown)[0]!r}")
    rows: list[Row] = []
    sections: dict[str, list[Row]] = {FIGURES: [], PEERS: []}
    for benchmark in BENCHMARKS:
        if benchmark.name not in wanted and (wanted or benchmark.peers):
            continue
        print(f"== {benchmark.name}: {benchmark.about}", file=sys.stderr, flush=True)
        start = time.monotonic()
        text, sound = run(benchmark, options.quick)
        found = rows_of(benchmark, text, options.quick, sound)
        section = PEERS if benchmark.peers else FIGURES
        rows += found
        sections[section] += found
        print(f"   {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        write_csv(options.csv, rows)
        if options.page:
            peers_text = text if benchmark.name == PEERS and sound else ""
            write_page(options.page, sections[section], section, peers_text)
    print(table(rows))
    bad = [row for row in rows if row.verdict in (MISSED, FAILED)]
    for row in bad:
        print(f"{row.verdict}: {row.goal.benchmark}, {row.goal.figure}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
