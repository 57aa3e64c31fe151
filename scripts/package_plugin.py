"""Build dist/rs_segment_plugin-<version>.zip and check it as the plugin site does.

The zip holds one folder with the plugin, the engine's source, its small resources, metadata.txt
and LICENSE. The shipped models are included: safetensors files are plain data, and the zip stays
far below the site's limit; ``--without-models`` leaves them out.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from plugin_checks import ZIP_DATE, check_folder, check_metadata, check_names, version_of
from plugin_files import PLUGIN, ROOT, plugin_files
from plugin_scans import check_in_qgis, scan_code, scan_secrets

MAX_BYTES = 25 * 1024 * 1024


def build(target: Path, files: dict[str, Path]) -> None:
    """Write the zip; equal files give equal bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(f"{PLUGIN}/{name}", ZIP_DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o100644 << 16
            archive.writestr(info, files[name].read_bytes())
    partial.replace(target)


def check(target: Path, scratch: Path, *, release: bool, with_qgis: bool) -> list[str]:
    """Return what the plugin site would refuse, after looking at the zip itself."""
    problems = []
    if target.stat().st_size > MAX_BYTES:
        problems.append(f"the zip has {target.stat().st_size} bytes, {MAX_BYTES} are allowed")
    with zipfile.ZipFile(target) as archive:
        problems += check_names(archive.namelist())
        archive.extractall(scratch)
    folder = scratch / PLUGIN
    problems += check_metadata(folder / "metadata.txt", release=release)
    problems += check_folder(folder)
    problems += scan_code(folder)
    problems += scan_secrets(folder)
    if with_qgis:
        problems += check_in_qgis(folder, scratch)
    return problems


def main() -> int:
    """Build, check and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-models", action="store_true", help="leave resources/zoo out")
    parser.add_argument("--release", action="store_true", help="refuse example.org addresses too")
    parser.add_argument("--no-qgis", action="store_true", help="do not load the zip in a real QGIS")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder of the zip")
    arguments = parser.parse_args()
    version = version_of(ROOT / "metadata.txt")
    target = arguments.output / f"{PLUGIN}-{version}.zip"
    build(target, plugin_files(with_models=not arguments.without_models))
    with TemporaryDirectory(prefix="rs-segment-package-") as scratch:
        problems = check(
            target, Path(scratch), release=arguments.release, with_qgis=not arguments.no_qgis
        )
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    size_mb = target.stat().st_size / 1e6
    print(f"{target} ({size_mb:.1f} MB): {'not fit for the site' if problems else 'checks passed'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
