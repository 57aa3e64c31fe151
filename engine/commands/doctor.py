"""``rs-segment doctor``: is the environment sound, and which devices are there."""

from __future__ import annotations

from typing import Any

import click

from ..protocol import Result
from .console import USER_CAN_MEND, Console, exit_code


@click.command(short_help="Show what is installed and whether it works.")
@click.option("--folder", metavar="DIR", help="Folder whose free space is looked at.")
@click.option("--warm", is_flag=True, help="Also compile kernels and choose backends.")
@click.option("--json", "as_json", is_flag=True, help="Write the report as JSON to stdout.")
def doctor(folder: str | None, warm: bool, as_json: bool) -> int:
    """Show what is installed, which devices there are, and whether the environment is sound."""
    record: dict[str, Any] = {"warm": warm, **({} if folder is None else {"folder": folder})}
    final = Console(as_json=as_json).run("doctor", record, report_text)
    if isinstance(final, Result) and not final.details["ok"]:
        return USER_CAN_MEND
    return exit_code(final)


def report_text(result: Result) -> str:
    """Return the doctor's report as a table for people."""
    details = result.details
    rows: list[tuple[str, str]] = [
        ("engine", f"{details['engine']}, protocol {details['protocol']}"),
        ("python", f"{details['python']['version']} ({details['python']['executable']})"),
        ("system", details["system"]),
    ]
    rows += [("package", _package_text(name, p)) for name, p in details["packages"].items()]
    rows += [("library", f"{name} {version}") for name, version in details["libraries"].items()]
    rows += [("device", _device_text(device)) for device in details["devices"]]
    rows += [("backend", _backend_text(backend)) for backend in details["backends"]]
    for zoo in details["zoo"]:
        models = ", ".join(zoo["models"]) or "no models"
        rows.append((f"{zoo['origin']} zoo", f"{zoo['folder']}: {models}"))
    rows += [("disk", f"{d['folder']}: {_gib(d['free_bytes'])} free") for d in details["disks"]]
    if "kernels" in details:
        rows.append(("kernels", f"compiled in {details['kernels']} s"))
    rows += [("chosen", f"{model}: {way}") for model, way in details.get("chosen", {}).items()]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {text}" for name, text in rows]
    for problem in details["problems"]:
        lines += ["", f"Problem: {problem['message']}", f"Hint: {problem['hint']}"]
    return "\n".join(
        [*lines, "", "Everything works." if details["ok"] else "Not sound, see above."]
    )


def _package_text(name: str, package: dict[str, Any]) -> str:
    if package["version"] is None:
        return f"{name} is missing" + ("" if package["required"] else " (optional)")
    return f"{name} {package['version']}"


def _backend_text(backend: dict[str, Any]) -> str:
    if backend["missing"]:
        packages = " ".join(backend["missing"])
        return f"{backend['name']} is not installed (optional: pip install {packages})"
    where = " and ".join({"cpu": "CPU", "cuda": "CUDA"}[kind] for kind in backend["devices"])
    precisions = ", ".join(backend["precisions"])
    return f"{backend['name']} {backend['version']}: {where}, {precisions}"


def _device_text(device: dict[str, Any]) -> str:
    text = f"{device['id']}: {device['name']}, {_gib(device['memory_bytes'])}"
    if "cores" in device:
        text += f", {device['cores']} cores"
    bf16 = "used" if device["bf16_used"] else "not used, no hardware for it"
    return f"{text}, bf16 {bf16}"


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
