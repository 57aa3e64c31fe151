"""A network with stages: each is a whole schedule; a stop in the first one publishes that one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.protocol import Cancelled, Event, Metrics, Progress, Result

from .chips_for_tests import write_chips
from .jobs_for_tests import fields, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PART = json.dumps(
    {
        "name": "unet",
        "encoder": "mobilenet_v2",
        "encoder_depth": 3,
        "decoder_channels": [16, 8, 8],
    }
)
OPTIONS = (
    f"options.coarse={PART}",
    f"options.fine={PART}",
    'options.look={"patch_px": 16, "stride_px": 8, "top_n": 4}',
    "log_steps=1",
    "checkpoint_steps=1",
)


def test_two_stages_and_a_stop_in_the_first(tmp_path: Path) -> None:
    write_chips(tmp_path / "chips", {"train": 4, "val": 1})
    record = fields(tmp_path, network="c2fnet", options=OPTIONS, epochs=2)
    seen: list[Event] = []

    def stop() -> bool:
        return any(isinstance(e, Progress) and (e.stage, e.done) == ("train", 3) for e in seen)

    assert isinstance(train(record, stop, seen), Cancelled)
    kept = train({**record, "resume": True, "finish": True})
    assert isinstance(kept, Result), kept
    card = json.loads((tmp_path / "model" / "card.json").read_text(encoding="utf-8"))
    assert card["builder_args"]["stage"] == "coarse"
    events: list[Event] = []
    final = train({**record, "resume": True, "overwrite": True}, events=events)
    assert isinstance(final, Result), final
    steps = [e for e in events if isinstance(e, Progress) and e.stage == "train"]
    assert [(e.done, e.total) for e in steps] == [(n, 8) for n in range(4, 9)]
    rates = {
        e.step: e.values["lr"] for e in events if isinstance(e, Metrics) and e.series == "train"
    }
    assert rates[5] > rates[4]  # the second stage begins its schedule anew
    card = json.loads((tmp_path / "model" / "card.json").read_text(encoding="utf-8"))
    assert "stage" not in card["builder_args"]
