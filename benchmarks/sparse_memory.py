"""Peak memory of a whole run on a large raster, beyond the model.

Two rasters that take no room on the disk. Without ``--classes``: a sparse GeoTIFF without nodata,
so every tile goes through the network; blocks with rectangles, and stripes that cross many tiles,
give the polygoniser real work. With ``--classes K``: a VRT that repeats one tile of smooth classes,
which come back as labels. The networks cost close to nothing: seconds and memory are those of
reading, merging and writing. The run takes place in a child process. "Beyond the model" is the
peak of its resident memory less what it holds once the libraries and the network are loaded and
one tile has been predicted.

    python benchmarks/sparse_memory.py [--size N] [--height N] [--classes K] [--bound-mib N]
                                       [--growth] [--folder NAME]

``--size`` is the width, and the height unless that is given. ``--growth`` also runs rasters of
8 192 x 8 192 and 16 384 rows of that width and says by how much the peak of the higher one is
higher. ``--folder`` names a folder for raster and results, which stay: a run that was killed there
goes on from its last strip, with the same arguments; its peak is that of the second process. Ends
with 1 if the peak is over the bound, or more than 5 % higher for twice the rows.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MIB = 1 << 20
BLOCK_PX = 512
TILE_PX = 512
OVERLAP_PX = 64
REPEAT_PX = 2048
BOUND_MIB = 1024.0
BOUND_GROWTH = 0.05
GROWTH_PX = 8192
GROWTH_ROWS = (8192, 16384)


def write_sparse(path: Path, shape_px: tuple[int, int]) -> None:
    """Write the sparse raster."""
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window

    height, width = shape_px
    random = np.random.default_rng(7)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=3,
        dtype="uint8",
        crs="EPSG:32645",
        transform=from_origin(500_000, 3_000_000, 0.5, 0.5),
        tiled=True,
        blockxsize=BLOCK_PX,
        blockysize=BLOCK_PX,
        interleave="pixel",
        compress="deflate",
        sparse_ok=True,
        bigtiff="if_safer",
    ) as raster:
        for row in range(0, height - BLOCK_PX, 4 * BLOCK_PX):
            for col in range(0, width - BLOCK_PX, 4 * BLOCK_PX):
                raster.write(_block(random), window=Window(col, row, BLOCK_PX, BLOCK_PX))
        stripe = np.full((3, 3, width), 200, np.uint8)
        raster.write(stripe, window=Window(0, height // 2, width, 3))


def write_repeated(path: Path, shape_px: tuple[int, int], classes: int) -> None:
    """Write a VRT that repeats one tile of smooth classes in three bands.

    A line of background goes round each tile: a region through all of the raster would be one
    polygon, which has to be held whole before it can be written.
    """
    import rasterio
    from scipy import ndimage

    height, width = shape_px
    field = ndimage.gaussian_filter(
        np.random.default_rng(3).standard_normal((REPEAT_PX, REPEAT_PX)), 24, mode="wrap"
    )
    labels = np.digitize(field, np.quantile(field, np.arange(1, classes) / classes))
    labels[0], labels[:, 0] = 0, 0
    tile = path.with_name("tile.tif")
    with rasterio.open(
        tile, "w", driver="GTiff", width=REPEAT_PX, height=REPEAT_PX, count=3, dtype="uint8",
        tiled=True, blockxsize=BLOCK_PX, blockysize=BLOCK_PX, compress="deflate",
    ) as raster:  # fmt: skip
        raster.write(np.stack([labels, labels * 9, 255 - labels]).astype(np.uint8))
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}" blockXSize="512" blockYSize="512">'
        + "".join(
            f'<SimpleSource><SourceFilename relativeToVRT="1">tile.tif</SourceFilename>'
            f"<SourceBand>{band}</SourceBand>"
            f'<SrcRect xOff="0" yOff="0" xSize="{REPEAT_PX}" ySize="{REPEAT_PX}"/>'
            f'<DstRect xOff="{col}" yOff="{row}" xSize="{REPEAT_PX}" ySize="{REPEAT_PX}"/>'
            "</SimpleSource>"
            for row in range(0, height, REPEAT_PX)
            for col in range(0, width, REPEAT_PX)
        )
        + "</VRTRasterBand>"
        for band in (1, 2, 3)
    )
    path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>EPSG:32645</SRS>'
        f"<GeoTransform>500000, 0.5, 0, 3000000, 0, -0.5</GeoTransform>{bands}</VRTDataset>",
        encoding="utf-8",
    )


def _block(random: np.random.Generator) -> np.ndarray:
    """Return one block [3, 512, 512] with 40 bright rectangles."""
    block = np.zeros((3, BLOCK_PX, BLOCK_PX), np.uint8)
    for row, col in random.integers(0, BLOCK_PX - 60, size=(40, 2)):
        height, width = random.integers(8, 60, size=2)
        block[:, row : row + height, col : col + width] = random.integers(150, 255)
    return block


def write_model(folder: Path) -> None:
    """Write a model folder whose network calls bright pixels class 1."""
    import torch

    from engine.train.publish import publish_model
    from engine.zoo.card import BandSpec, ClassInfo, ModelCard, Resolution

    names = ("red", "green", "blue")
    card = ModelCard(
        id=folder.name,
        title="Brightness threshold",
        task="semantic",
        builder="pixel_linear",
        builder_args={},
        classes=(
            ClassInfo(0, "dark", "#000000", background=True),
            ClassInfo(1, "bright", "#ffcc00"),
        ),
        bands=tuple(BandSpec(name, 1 / 255, 0.0, 0.4, 1.0, (name,)) for name in names),
        resolution_m=Resolution(0.01, 0.5, 100.0),
        tile_px=TILE_PX,
        overlap_px=64,
        stride=1,
        score_threshold=0.5,
        weights=None,
        licenses={"code": "GPL-2.0-or-later", "weights": "CC0-1.0", "data": "none"},
        description="Class 1 where the mean of the three bands is above 102.",
    )
    weight = torch.stack([torch.full((3, 1, 1), -8.0), torch.full((3, 1, 1), 8.0)])
    folder.mkdir()
    publish_model(folder, {"classifier.weight": weight, "classifier.bias": torch.zeros(2)}, card)


def measure(folder: Path) -> dict[str, float]:
    """Run the segmentation in this process; returns memory in MiB and seconds."""
    import psutil
    import torch

    from engine.jobs import SegmentJob
    from engine.models.load import load_network
    from engine.pipelines.segment import run_segment
    from engine.zoo.registry import find_model

    network = load_network(find_model(str(folder / "model")))
    with torch.inference_mode():
        network(torch.zeros(1, 3, TILE_PX, TILE_PX))
    loaded_bytes = psutil.Process().memory_info().rss
    job = SegmentJob(
        raster=str(next(folder.glob("scene.*"))),
        model=str(folder / "model"),
        output=str(folder / "out.gpkg"),
        class_raster=str(folder / "classes.tif"),
        score_raster=str(folder / "scores.tif"),
        device="cpu",
        precision="fp32",
        backend="torch",
        tile_px=TILE_PX,
        overlap_px=OVERLAP_PX,
        resume=(folder / ".out.gpkg.run").is_dir(),
        overwrite=True,
    )
    start = time.monotonic()
    result = run_segment(job, lambda event: None, lambda: False)
    seconds = time.monotonic() - start
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "peak_mib": peak_bytes / MIB,
        "loaded_mib": loaded_bytes / MIB,
        "seconds": seconds,
        "features": result.counts["features"],
        "tiles": result.counts["tiles"],
    }


def _in_child(folder: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--measure", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"the run failed:\n{done.stderr[-3000:]}")
    measured: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured


def _prepare(folder: Path, shape_px: tuple[int, int], classes: int) -> None:
    """Write raster and model; in a folder that has them, nothing is done."""
    from tests.factories_models import write_identity_model

    if (folder / "model").is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if classes:
        write_repeated(folder / "scene.vrt", shape_px, classes)
        write_identity_model(folder / "model", classes, bands=3)
    else:
        write_sparse(folder / "scene.tif", shape_px)
        write_model(folder / "model")


def beyond_mib(shape_px: tuple[int, int], classes: int, kept: Path | None = None) -> float:
    """Make a raster, run, print what was found; returns the peak beyond the model."""
    with tempfile.TemporaryDirectory() as name:
        folder = kept or Path(name)
        _prepare(folder, shape_px, classes)
        found = _in_child(folder)
    pixels = shape_px[0] * shape_px[1]
    print(f"raster        {shape_px[1]} x {shape_px[0]} x 3, {classes or 2} classes")
    print(f"features      {found['features']:.0f} from {found['tiles']:.0f} tiles")
    print(f"seconds       {found['seconds']:.1f} ({found['seconds'] / pixels * 1e9:.0f} ns/px)")
    print(f"peak          {found['peak_mib']:.0f} MiB, with {found['loaded_mib']:.0f} MiB loaded")
    return found["peak_mib"] - found["loaded_mib"]


def main() -> int:
    """Make the raster, run, print and compare with the bound; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=30_000, help="width of the raster in pixels")
    parser.add_argument("--height", type=int, default=0, help="its height, 0 for the width")
    parser.add_argument("--classes", type=int, default=0, help="repeat a tile of smooth classes")
    parser.add_argument("--bound-mib", type=float, default=BOUND_MIB)
    parser.add_argument("--growth", action="store_true", help="also 8k and 16k rows")
    parser.add_argument("--folder", type=Path, help="keep raster and results here")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return 0
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    height = arguments.height or arguments.size
    growth = 0.0
    if arguments.growth:
        low, high = (beyond_mib((rows, GROWTH_PX), arguments.classes) for rows in GROWTH_ROWS)
        growth = high / low - 1
        print(f"growth        {100 * growth:.1f} % of the peak for twice the height")
    beyond = beyond_mib((height, arguments.size), arguments.classes, arguments.folder)
    verdict = "within" if beyond <= arguments.bound_mib else "OVER"
    print(f"beyond model  {beyond:.0f} MiB, {verdict} the bound of {arguments.bound_mib:.0f}")
    return 0 if beyond <= arguments.bound_mib and growth <= BOUND_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
