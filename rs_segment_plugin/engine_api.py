"""The only plugin module that imports the engine, and only its light modules.

In the packaged plugin ``engine`` lies inside the plugin folder; in a checkout it lies beside it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

_PLUGIN_FOLDER = Path(__file__).parent
_PACKAGED = (_PLUGIN_FOLDER / "engine" / "__init__.py").is_file()

if TYPE_CHECKING:
    from engine.jobs import (
        ChipsJob,
        CompareJob,
        EvaluateJob,
        ImportModelJob,
        Job,
        PretrainJob,
        SegmentJob,
        TrainJob,
    )
    from engine.protocol import (
        PROTOCOL_VERSION,
        Cancelled,
        Event,
        Failure,
        Hello,
        Log,
        Metrics,
        Progress,
        Result,
        decode_event,
        encode_cancel,
        encode_quit,
        encode_run,
    )
else:

    def __getattr__(name: str) -> Any:
        """Load jobs and protocol when one of them is first named: QGIS starts 20 ms sooner."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if _PACKAGED:
            from .engine import jobs, protocol
        else:
            from engine import jobs, protocol
        for module in (jobs, protocol):
            known = {key: getattr(module, key) for key in __all__ if hasattr(module, key)}
            globals().update(known)
        return globals()[name]


if TYPE_CHECKING or not _PACKAGED:
    from engine import __version__
    from engine.errors import EngineError, JobError, ModelError
    from engine.packages import REQUIRED_PACKAGES
    from engine.zoo.bands import ALPHA_NAME, bands_by_name
    from engine.zoo.card import BandSpec, ClassInfo, ModelCard
    from engine.zoo.networks import NetworkInfo, list_networks, network_info
    from engine.zoo.registry import ModelEntry, find_model, list_models, user_zoo
else:
    from .engine import __version__
    from .engine.errors import EngineError, JobError, ModelError
    from .engine.packages import REQUIRED_PACKAGES
    from .engine.zoo.bands import ALPHA_NAME, bands_by_name
    from .engine.zoo.card import BandSpec, ClassInfo, ModelCard
    from .engine.zoo.networks import NetworkInfo, list_networks, network_info
    from .engine.zoo.registry import ModelEntry, find_model, list_models, user_zoo

__all__ = [
    "ALPHA_NAME",
    "PROTOCOL_VERSION",
    "REQUIRED_PACKAGES",
    "BandSpec",
    "Cancelled",
    "ChipsJob",
    "ClassInfo",
    "CompareJob",
    "EngineError",
    "EvaluateJob",
    "Event",
    "Failure",
    "Hello",
    "ImportModelJob",
    "Job",
    "JobError",
    "Log",
    "Metrics",
    "ModelCard",
    "ModelEntry",
    "ModelError",
    "NetworkInfo",
    "PretrainJob",
    "Progress",
    "Result",
    "SegmentJob",
    "TrainJob",
    "__version__",
    "bands_by_name",
    "checkout_python",
    "decode_event",
    "documentation",
    "encode_cancel",
    "encode_quit",
    "encode_run",
    "engine_root",
    "find_model",
    "list_models",
    "list_networks",
    "network_info",
    "resource",
    "user_zoo",
]


def engine_root() -> Path:
    """Return the folder that contains ``engine``: the worker's working directory."""
    return _PLUGIN_FOLDER if _PACKAGED else _PLUGIN_FOLDER.parent


def resource(*parts: str) -> Path:
    """Return a path inside ``resources``, in the packaged plugin or in a checkout."""
    return engine_root().joinpath("resources", *parts)


def documentation(*parts: str) -> Path:
    """Return a path inside ``docs``, in the packaged plugin or in a checkout."""
    return engine_root().joinpath("docs", *parts)


def checkout_python() -> Path:
    """Return where a checkout keeps the engine's interpreter; it need not exist."""
    engine_file = import_module(EngineError.__module__).__file__ or __file__
    checkout = Path(engine_file).resolve().parents[1]
    return checkout / ".venv" / "bin" / "python"
