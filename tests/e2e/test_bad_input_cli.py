"""Bad input through the command line: a clear message, exit code 2, no half-written output."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from engine.zoo.card import CARD_NAME, WEIGHTS_NAME
from tests.factories import SQUARE_1_M, UTM_45N, make_raster
from tests.factories_models import write_identity_model

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


class CommandLine:
    """Runs commands in children of one warm process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.cli_server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def __call__(self, *arguments: object, limit: int | None = None) -> Done:
        assert self._server.stdin is not None and self._server.stdout is not None
        out, err = self._folder / "stdout", self._folder / "stderr"
        line = json.dumps([[str(a) for a in arguments], str(out), str(err), limit])
        self._server.stdin.write(line + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        return Done(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))

    def close(self) -> None:
        self._server.communicate(timeout=30)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    line = CommandLine(tmp_path_factory.mktemp("streams"))
    yield line
    line.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model with three bands and four classes."""
    return write_identity_model(tmp_path_factory.mktemp("zoo") / "identity", 4, 3)


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    """Return a sound raster of 61 x 97 pixels with class ids 0..3 in its first band."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 4, (3, 61, 97), dtype=np.uint8)
    return make_raster(tmp_path / "scene.tif", pixels, transform=SQUARE_1_M)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return the empty folder of the outputs."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def refused(done: Done, *words: str) -> None:
    """Check that a command said clearly what is wrong, and what to do."""
    assert done.code == 2, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    lines = [line for line in done.err.splitlines() if not line.startswith(("predict", "Warning"))]
    assert sum(line.startswith("Error: ") for line in lines) == 1, done.err
    assert lines[-1].startswith("Hint: ") and len(lines[-1]) > 12, done.err
    for word in words:
        assert word in done.err


def test_a_sound_input_is_segmented(
    command: CommandLine, model: Path, raster: Path, out: Path
) -> None:
    arguments = ("segment", raster, "--model", model, "--output", out / "o.gpkg")
    done = command(*arguments, "--device", "cpu")
    assert done.code == 0, done.err
    assert str(out / "o.gpkg") in done.out and "features" in done.out
    assert [p.name for p in out.iterdir()] == ["o.gpkg"]
    refused(command(*arguments), str(out / "o.gpkg"), "exists already")


def broken(tmp_path: Path, raster: Path, kind: str) -> str:
    """Return a raster that is broken in a way."""
    path = tmp_path / "broken.tif"
    data = raster.read_bytes()
    if kind == "missing":
        return str(tmp_path / "nowhere.tif")
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is no raster")
    elif kind == "truncated":
        path.write_bytes(data[: len(data) // 3])
    elif kind == "damaged":
        make_raster(path, (3, 300, 64), transform=SQUARE_1_M, block_px=64)
        with rasterio.open(path) as dataset:
            offset = int(dataset.get_tag_item("BLOCK_OFFSET_0_3", "TIFF", bidx=1))
        bad = bytearray(path.read_bytes())
        bad[offset : offset + 200] = bytes(200)
        path.write_bytes(bad)
    return str(path)


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "truncated", "damaged"])
def test_a_broken_raster_is_refused(
    command: CommandLine, model: Path, raster: Path, out: Path, tmp_path: Path, kind: str
) -> None:
    source = broken(tmp_path, raster, kind)
    done = command("segment", source, "--model", model, "--output", out / "o.gpkg")
    refused(done, source)
    assert visible(out) == []


def visible(folder: Path) -> list[str]:
    """Return the files that a user sees; a run folder is hidden."""
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--bands", "1,2"], ["2 bands"]),
        (["--bands", "1,2,9"], ["9"]),
        (["--extent", "330010,3059950,330010,3059990"], ["no area"]),
        (["--extent", "330010,3059990,330050,3059950"], ["no area"]),
        (["--extent", "0,0,10,10"], ["extent"]),
        (["--extent", "85,27,86,28", "--extent-crs", "EPSG:999999"], ["EPSG:999999"]),
        (["--crs", "nonsense"], ["nonsense"]),
        (["--aoi", "nowhere.gpkg"], ["nowhere.gpkg"]),
        (["--device", "tpu"], ["'tpu'"]),
        (["--device", "cuda:77"], ["'cuda:77'"]),
        (["--precision", "fp8"], ["'fp8'"]),
        (["--score", "2"], ["score is 2"]),
        (["--tile", "100000"], ["tile_px is 100000"]),
        (["--tile", "32", "--overlap", "32"], ["overlap"]),
        (["--min-area", "-1"], ["min_area_m2 is -1"]),
        (["--class-raster", "c.png"], ["c.png"]),
        (["--model", "no_such_model"], ["'no_such_model'"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_a_wrong_option_is_refused_before_anything_is_written(
    command: CommandLine,
    model: Path,
    raster: Path,
    out: Path,
    options: list[str],
    words: list[str],
) -> None:
    given = ("--model", model, "--output", out / "o.gpkg", *options)
    refused(command("segment", raster, *given), *words)
    assert list(out.iterdir()) == []


def test_too_few_bands_are_refused(
    command: CommandLine, model: Path, out: Path, tmp_path: Path
) -> None:
    gray = make_raster(tmp_path / "gray.tif", (1, 37, 61))
    done = command("segment", gray, "--model", model, "--output", out / "o.gpkg")
    refused(done, "band")
    assert list(out.iterdir()) == []


def test_a_raster_without_crs_is_refused_and_accepted_with_one(
    command: CommandLine, model: Path, out: Path, tmp_path: Path
) -> None:
    bare = make_raster(tmp_path / "bare.tif", (3, 37, 61), crs=None)
    arguments = ("segment", bare, "--model", model, "--output", out / "o.gpkg")
    refused(command(*arguments), "CRS", "--crs")
    assert list(out.iterdir()) == []
    assert command(*arguments, "--crs", UTM_45N).code == 0


def damaged_model(model: Path, folder: Path, **changes: Any) -> Path:
    """Return a copy of a model with other values in its card."""
    shutil.copytree(model, folder)
    record = json.loads((folder / CARD_NAME).read_text(encoding="utf-8"))
    (folder / CARD_NAME).write_text(json.dumps({**record, **changes}), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"builder": "evil_network"}, "evil_network"),
        ({"builder": "os.system"}, "os.system"),
        ({"task": "instance"}, "instance"),
        ({"weights": None}, "no weights"),
        ({"classes": []}, "no classes"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_an_unusable_card_is_refused(
    command: CommandLine,
    model: Path,
    raster: Path,
    out: Path,
    tmp_path: Path,
    changes: dict[str, Any],
    word: str,
) -> None:
    folder = damaged_model(model, tmp_path / "model", **changes)
    done = command("segment", raster, "--model", folder, "--output", out / "o.gpkg")
    refused(done, word)
    assert visible(out) == []


def test_weights_of_another_hash_are_refused(
    command: CommandLine, model: Path, raster: Path, out: Path, tmp_path: Path
) -> None:
    folder = damaged_model(model, tmp_path / "model")
    data = bytearray((folder / WEIGHTS_NAME).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS_NAME).write_bytes(data)
    done = command("segment", raster, "--model", folder, "--output", out / "o.gpkg")
    refused(done, "SHA-256")
    assert visible(out) == []


@pytest.mark.parametrize("output", ["missing/o.gpkg", "scene.tif/o.gpkg", "/proc/o.gpkg"])
def test_an_output_that_cannot_be_written_is_refused(
    command: CommandLine, model: Path, raster: Path, tmp_path: Path, output: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    path = tmp_path / output
    refused(command("segment", raster, "--model", model, "--output", path), str(path.parent))
    assert sorted(tmp_path.rglob("*")) == before


def test_an_existing_output_is_left_alone(
    command: CommandLine, model: Path, raster: Path, out: Path
) -> None:
    (out / "o.gpkg").write_text("mine")
    done = command("segment", raster, "--model", model, "--output", out / "o.gpkg")
    refused(done, str(out / "o.gpkg"), "exists")
    assert (out / "o.gpkg").read_text() == "mine"
    assert [p.name for p in out.iterdir()] == ["o.gpkg"]


@pytest.mark.parametrize("limit", [2_000, 30_000, 70_000, 100_000])
def test_a_disk_that_takes_no_more_is_refused_and_the_run_can_go_on(
    command: CommandLine, model: Path, out: Path, tmp_path: Path, limit: int
) -> None:
    """Files cannot grow beyond a limit here, which fails like a full disk at that byte."""
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 4, (3, 190, 310), dtype=np.uint8)
    raster = make_raster(tmp_path / "noise.tif", pixels, transform=SQUARE_1_M)
    arguments = ("segment", raster, "--model", model, "--output", out / "o.gpkg")
    rasters = ("--class-raster", out / "c.tif", "--score-raster", out / "s.tif")
    done = command(*arguments, *rasters, "--json", limit=limit)
    record = json.loads(done.out) if done.out else None
    if record is not None:
        assert (record["type"], record["code"]) == ("failure", "disk"), record
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert visible(out) == []
    if limit == 30_000:
        done = command(*arguments, *rasters, "--resume")
        assert done.code == 0, done.err
        assert {"o.gpkg", "c.tif", "s.tif"} <= set(visible(out))


TINY_DISK = """
mount -t tmpfs -o size={size}k none {folder} || exit 77
{python} -m engine segment {raster} --model {model} --output {folder}/o.gpkg
code=$?
ls -A {folder} | grep -v '^[.].*[.]run$'
exit $code
"""


def test_a_full_disk_is_refused(model: Path, tmp_path: Path) -> None:
    """A real file system without room, in a mount namespace of its own."""
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 4, (3, 190, 310), dtype=np.uint8)
    raster = make_raster(tmp_path / "noise.tif", pixels, transform=SQUARE_1_M)
    (tmp_path / "small").mkdir()
    script = TINY_DISK.format(
        size=200, folder=tmp_path / "small", python=sys.executable, raster=raster, model=model
    )
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare is missing")
    done = subprocess.run(
        [unshare, "--user", "--map-root-user", "--mount", "sh", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    if done.returncode in (1, 77):
        pytest.skip(f"no mount namespaces here: {done.stderr}")
    refused(Done(done.returncode, done.stdout, done.stderr), str(tmp_path / "small"))
