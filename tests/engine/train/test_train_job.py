"""The job train: from chips to a model that segments, resumed exactly, with clear refusals."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from engine.data.dataset import ChipDataset
from engine.protocol import Cancelled, Event, Failure, Metrics, Progress, Result
from engine.runner import run_named
from engine.train.checkpoint import LAST_NAME, read_state

from .chips_for_tests import write_chips
from .jobs_for_tests import curve, fields, train

RESUME = {"resume": True}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result, list[Event]]:
    folder = tmp_path_factory.mktemp("trained")
    write_chips(folder / "chips", {"train": 6, "val": 2, "test": 2}, empty=2, nodata_columns=3)
    events: list[Event] = []
    final = train(fields(folder), events=events)
    assert isinstance(final, Result), final
    return folder, final, events


def test_training_publishes_a_sound_model(trained: tuple[Path, Result, list[Event]]) -> None:
    folder, final, _ = trained
    checked = run_named("check_model", {"model": str(folder / "model")}, lambda e: None, bool)
    assert isinstance(checked, Result), checked
    card = json.loads((folder / "model" / "card.json").read_text(encoding="utf-8"))
    assert final.details["model_id"] == card["id"] == "model"
    assert [b["mean"] for b in card["bands"]] == pytest.approx([60, 60, 60])
    assert card["training"]["seed"] == 0
    assert card["training"]["splits"] == {"train": 6, "val": 2, "test": 2}
    assert set(card["licenses"]) == {"code"}
    assert {m["data"] for m in card["metrics"]} == {
        "val chips (2) (chose the weights)",
        "test chips (2)",
    }


def test_the_report_needs_nothing_else(trained: tuple[Path, Result, list[Event]]) -> None:
    folder, final, _ = trained
    text = Path(final.outputs["report"]).read_text(encoding="utf-8")
    assert text.count('src="data:image/png;base64,') >= 4  # curves, confusion, classes, tiles
    assert not re.search(r"(src|href)=.(https?:|/|[a-z]+/)", text)
    for word in (
        "Worst test chips",
        "Licences",
        "Recipe",
        "pixel accuracy",
        "object",
        "leak check",
    ):
        assert word in text
    body = text[text.index("<body>") :]
    assert not set("{}[]") & set(re.sub(r"<pre>.*</pre>", "", body))  # no records as they are coded
    assert "rs-segment train --output model --network unet --chips chips --preset quick" in body
    assert str(folder) not in text


def test_the_published_model_segments_a_raster(
    trained: tuple[Path, Result, list[Event]], tmp_path: Path
) -> None:
    folder, _, _ = trained
    raster, output = folder / "chips" / "images" / "test_0.tif", tmp_path / "out.gpkg"
    record = {
        "raster": str(raster),
        "model": str(folder / "model"),
        "output": str(output),
        "class_raster": str(tmp_path / "classes.tif"),
        "device": "cpu",
    }
    final = run_named("segment", record, lambda e: None, lambda: False)
    assert isinstance(final, Result), final
    with rasterio.open(tmp_path / "classes.tif") as made, rasterio.open(raster) as source:
        assert (made.shape, made.crs) == (source.shape, source.crs)


def test_events_and_curves_agree(trained: tuple[Path, Result, list[Event]]) -> None:
    folder, _, events = trained
    points = [e for e in events if isinstance(e, Metrics)]
    rows = curve(folder / "model" / "curves.csv")
    assert [(p.series, p.step) for p in points] == [(r["series"], int(r["step"])) for r in rows]
    assert [p.step for p in points if p.series == "train"] == list(range(1, 10))
    assert [p.step for p in points if p.series == "val"] == [6, 9]
    assert {"loss", "iou_mean", "iou_object", "miou"} <= set(points[-1].values)
    steps = [e for e in events if isinstance(e, Progress) and e.stage == "train"]
    assert [(e.done, e.total) for e in steps] == [(n, 9) for n in range(1, 10)]


def test_a_cancelled_training_goes_on_as_if_nothing_had_happened(
    trained: tuple[Path, Result, list[Event]], tmp_path: Path
) -> None:
    """Stopped in the middle of an epoch, at its last batch, and in a validation."""
    folder, whole, _ = trained
    record = fields(tmp_path, chips=str(folder / "chips"))
    for stop in (("train", 1), ("train", 3), ("validate", 1)):
        seen: list[Event] = []

        def cancelled(stop: tuple[str, int] = stop, seen: list[Event] = seen) -> bool:
            return any((e.stage, e.done) == stop for e in seen if isinstance(e, Progress))

        final = train({**record, "resume": stop != ("train", 1)}, cancelled, seen)
        assert isinstance(final, Cancelled), final
    final = train({**record, "resume": True})
    assert isinstance(final, Result), final
    assert curve(tmp_path / "model" / "curves.csv") == curve(folder / "model" / "curves.csv")
    assert final.details["best"] == whole.details["best"]


def test_stop_and_keep_publishes_the_best_so_far(
    trained: tuple[Path, Result, list[Event]], tmp_path: Path
) -> None:
    folder, _, _ = trained
    record = fields(tmp_path, chips=str(folder / "chips"))
    seen: list[Event] = []
    done = lambda: any(isinstance(e, Progress) and e.done == 3 for e in seen)  # noqa: E731
    assert isinstance(train(record, done, seen), Cancelled)
    assert not (tmp_path / "model").exists()
    state = read_state(tmp_path / "model.training" / LAST_NAME)
    assert state.step == 3
    final = train({**record, "resume": True, "finish": True})
    assert isinstance(final, Result), final
    assert final.counts["steps"] == 3
    assert (tmp_path / "model" / "card.json").is_file()


def test_a_finished_start_is_told_by_a_later_run(
    trained: tuple[Path, Result, list[Event]], tmp_path: Path
) -> None:
    """Stopped after the first epoch and published by another run, which trains nothing."""
    folder, _, _ = trained
    chips, init = str(folder / "chips"), str(folder / "model")
    record = fields(tmp_path, chips=chips, network="", init=init, epochs=2)
    seen: list[Event] = []
    done = lambda: any(isinstance(e, Progress) and e.done == 3 for e in seen)  # noqa: E731
    assert isinstance(train(record, done, seen), Cancelled)
    final = train({**record, "resume": True, "finish": True})
    assert isinstance(final, Result), final
    assert final.details["card"]["training"]["initialised_with"] == "model model"


def test_overwrite_never_removes_what_no_training_made(tmp_path: Path) -> None:
    write_chips(tmp_path / "chips", {"train": 2, "val": 1})
    (tmp_path / "model.training").mkdir()
    (tmp_path / "model.training" / "thesis.odt").write_text("ten years of work")
    final = train(fields(tmp_path, overwrite=True))
    assert isinstance(final, Failure) and final.code == "job"
    assert "thesis.odt, which no training made" in final.message
    assert (tmp_path / "model.training" / "thesis.odt").is_file()


def test_more_processes_than_val_chips_are_refused(tmp_path: Path) -> None:
    write_chips(tmp_path / "chips", {"train": 4, "val": 1})
    final = train(fields(tmp_path, devices=2))
    assert isinstance(final, Failure) and final.code == "job"
    assert "2 processes share 1 chips" in final.message


def test_another_job_does_not_take_over_a_work_folder(
    trained: tuple[Path, Result, list[Event]],
) -> None:
    folder, _, _ = trained
    again = train(fields(folder))
    assert isinstance(again, Failure)
    assert "holds a model" in again.message
    other = fields(folder, output=str(folder / "other"))
    (folder / "other.training").mkdir(exist_ok=True)
    (folder / "other.training" / "job.json").write_text(
        json.dumps({**other, "lr": 0.5}), encoding="utf-8"
    )
    final = train({**other, "resume": True})
    assert isinstance(final, Failure)
    assert "had another" in final.message


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"chips": "nowhere"}, "labels", "is no folder of chips"),
        ({"network": "unett"}, "model", "no network 'unett'"),
        ({"options": ("optimizer.rl=1",)}, "job", "no recipe value 'optimizer.rl'"),
        ({"options": ("options.encoder=resnet1",)}, "model", "network 'unet'"),
        ({"init": "no_such_model"}, "model", "no model 'no_such_model'"),
        ({"resume": True, "finish": True}, "job", "no training"),
        ({"nodes": 2}, "job", "torchrun did not start"),
    ],
)
def test_what_a_user_can_mend_is_said(
    changes: dict[str, Any],
    code: str,
    says: str,
    trained: tuple[Path, Result, list[Event]],
    tmp_path: Path,
) -> None:
    folder, _, _ = trained
    final = train(fields(tmp_path, **{"chips": str(folder / "chips"), **changes}))
    assert isinstance(final, Failure), final
    assert (final.code, says in final.message) == (code, True), final
    assert final.hint
    assert not (tmp_path / "model").exists()


def test_one_class_only_is_said(tmp_path: Path) -> None:
    write_chips(tmp_path / "chips", {"train": 1})
    path = tmp_path / "chips" / "chips.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["classes"] = record["classes"][1:]
    path.write_text(json.dumps(record), encoding="utf-8")
    final = train(fields(tmp_path))
    assert isinstance(final, Failure)
    assert "needs two classes" in final.message
    assert "background" in final.hint


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_chip_is_named(tmp_path: Path, workers: int) -> None:
    write_chips(tmp_path / "chips", {"train": 2, "val": 1})
    (tmp_path / "chips" / "images" / "train_1.tif").write_bytes(b"II*\0 cut off")
    final = train(fields(tmp_path, workers=workers))
    assert isinstance(final, Failure)
    assert (final.code, "train_1.tif cannot be read" in final.message) == ("raster_read", True)
    assert "\n" not in final.message and "make the chips again" in final.hint


@pytest.mark.skipif(not hasattr(os, "fork"), reason="reading processes are forked")
@pytest.mark.parametrize("stopped", [False, True])
def test_the_end_of_a_reading_process_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    """Killed for memory it is said with a way out; stopped with its parent it is a stop."""
    write_chips(tmp_path / "chips", {"train": 2, "val": 1})
    asked: list[int] = []

    def killed(data: ChipDataset, index: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    def cancelled() -> bool:
        asked.append(1)
        return stopped

    monkeypatch.setattr(ChipDataset, "__getitem__", killed)
    final = train(fields(tmp_path, workers=1), cancelled)
    if stopped:
        assert isinstance(final, Cancelled), final
    else:
        assert isinstance(final, Failure)
        assert (final.code, "reads chips ended" in final.message) == ("device", True), final
        assert "workers" in final.hint
    assert asked


def test_tuning_takes_classes_and_bands_over(
    trained: tuple[Path, Result, list[Event]], tmp_path: Path
) -> None:
    """Another class and another band: the head's known rows stay, and it is said."""
    folder, _, _ = trained
    write_chips(
        tmp_path / "chips",
        {"train": 2, "val": 1},
        bands=4,
        classes=("background", "object", "other"),
    )
    events: list[Event] = []
    record = fields(tmp_path, network="", init=str(folder / "model"), epochs=1)
    final = train(record, events=events)
    assert isinstance(final, Result), final
    said = " ".join(e.message for e in events if hasattr(e, "message"))
    assert "new classes start from random weights: other" in said
    assert "from 3 to 4 bands" in said
    card = final.details["card"]
    assert [c["name"] for c in card["classes"]] == ["background", "object", "other"]
    assert card["training"]["initialised_with"] == "model model"
    assert np.isfinite(final.details["best"]["value"])


def test_a_model_of_another_network_is_refused(
    trained: tuple[Path, Result, list[Event]], tmp_path: Path
) -> None:
    folder, _, _ = trained
    record = fields(tmp_path, chips=str(folder / "chips"), init=str(folder / "model"))
    final = train({**record, "network": "fpn"})
    assert isinstance(final, Failure)
    assert "is a unet, it cannot start a fpn" in final.message


def test_time_is_up_and_progress_ends(
    trained: tuple[Path, Result, list[Event]], tmp_path: Path
) -> None:
    """Both validate and publish what is there."""
    folder, _, _ = trained
    record = fields(tmp_path, chips=str(folder / "chips"), epochs=50)
    short = train({**record, "max_minutes": 0.0005})
    assert isinstance(short, Result), short
    assert short.details["ended"] == "time is up"
    assert short.counts["steps"] < 150
    assert short.details["best"]["value"] is not None
    options = (*record["options"], "patience=2", "min_delta=1", "validate_epochs=1")
    stuck = train({**record, "output": str(tmp_path / "stuck"), "options": options})
    assert isinstance(stuck, Result), stuck
    assert stuck.details["ended"] == "no progress"
    assert stuck.counts == {"steps": 9, "epochs": 3}


def test_two_trainings_do_not_write_one_folder(
    trained: tuple[Path, Result, list[Event]], tmp_path: Path
) -> None:
    """The second one is refused, whatever it may overwrite or resume; the first one goes on."""
    folder, whole, _ = trained
    record = fields(tmp_path, chips=str(folder / "chips"))
    refused: list[Any] = []

    def meanwhile() -> bool:
        if not refused:
            refused.extend(train({**record, **more}) for more in ({"overwrite": True}, RESUME))
        return False

    final = train(record, meanwhile)
    assert [(e.code, "another run is writing" in e.message) for e in refused] == [("job", True)] * 2
    assert isinstance(final, Result), final
    assert final.details["best"] == whole.details["best"]
    assert not list(tmp_path.glob(".*"))


def test_a_training_shorter_than_a_point_of_the_curve_has_one(
    trained: tuple[Path, Result, list[Event]], tmp_path: Path
) -> None:
    """Whole, and stopped at its very last batch and resumed."""
    folder, _, _ = trained
    record = fields(tmp_path, chips=str(folder / "chips"), epochs=1)
    record["options"] = (*record["options"], "log_steps=50")
    whole = train({**record, "output": str(tmp_path / "whole")})
    assert isinstance(whole, Result), whole
    rows = curve(tmp_path / "whole" / "curves.csv")
    points = [(r["series"], r["step"], r["epoch"]) for r in rows]
    assert points == [("val", "3", "1"), ("train", "3", "1")]
    seen: list[Event] = []
    last = lambda: any(isinstance(e, Progress) and e.done == 3 for e in seen)  # noqa: E731
    assert isinstance(train(record, last, seen), Cancelled)
    assert isinstance(train({**record, "resume": True}), Result)
    assert curve(tmp_path / "model" / "curves.csv") == rows
