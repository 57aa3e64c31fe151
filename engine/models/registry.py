"""Registry of network builders: name in, network out; nothing is downloaded.

A network module registers its builders with :func:`register` and is listed in
:data:`NETWORK_MODULES`, so that names can be listed and checked without importing it::

    @register("farseg_r50", task="semantic")
    def farseg_r50(*, num_classes: int, in_channels: int = 3, pretrained: str = "") -> FarSeg: ...

``create_model`` imports only the module that the name belongs to.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from ..errors import ModelError

SEMANTIC = "semantic"
INSTANCE = "instance"

Builder = Callable[..., nn.Module]
BuilderType = TypeVar("BuilderType", bound=Builder)


@dataclass(frozen=True)
class NetworkModule:
    """A module of ``engine.models`` and the builders that it registers."""

    task: str
    names: tuple[str, ...]


NETWORK_MODULES: Mapping[str, NetworkModule] = {
    "pixel_linear": NetworkModule(SEMANTIC, ("pixel_linear",)),
    "farseg": NetworkModule(SEMANTIC, ("farseg", "farseg_r50")),
    "semantic_fpn": NetworkModule(SEMANTIC, ("semantic_fpn", "semantic_fpn_r50")),
    "c2fnet": NetworkModule(SEMANTIC, ("c2fnet", "c2fnet_w18", "c2fnet_w48")),
    "fcn_hrnet": NetworkModule(SEMANTIC, ("fcn_hrnet", "fcn_hrnet_w18", "fcn_hrnet_w48")),
    "ocrnet": NetworkModule(SEMANTIC, ("ocrnet", "ocrnet_w48")),
    "factseg": NetworkModule(SEMANTIC, ("factseg_r50",)),
    "unetformer": NetworkModule(SEMANTIC, ("unetformer_r18",)),
    "hi_resnet": NetworkModule(
        SEMANTIC, ("hi_resnet", "hi_resnet_base", "hi_resnet_small", "hrnet_w48")
    ),
    "solo": NetworkModule(INSTANCE, ("solo", "solo_r101", "solo_r50")),
    "mask_scoring_rcnn": NetworkModule(
        INSTANCE, ("mask_scoring_rcnn", "mask_scoring_rcnn_r50", "mask_scoring_rcnn_r101")
    ),
    "point_rend": NetworkModule(INSTANCE, ("point_rend", "point_rend_r50", "point_rend_r101")),
    "htc": NetworkModule(INSTANCE, ("htc", "htc_r50", "htc_r101")),
    "solov2": NetworkModule(INSTANCE, ("solov2", "solov2_r101", "solov2_r50")),
    "facenet": NetworkModule(INSTANCE, ("facenet", "facenet_r101", "facenet_r50")),
    "mask_rcnn": NetworkModule(
        INSTANCE,
        (
            "mask_rcnn",
            "mask_rcnn_r50",
            "mask_rcnn_r101",
            "mask_rcnn_hrfpn_w18",
            "mask_rcnn_hrfpn_w32",
            "mask_rcnn_hrfpn_w40",
        ),
    ),
    "cascade_mask_rcnn": NetworkModule(
        INSTANCE, ("cascade_mask_rcnn", "cascade_mask_rcnn_r50", "cascade_mask_rcnn_r101")
    ),
    "hq_isnet": NetworkModule(
        INSTANCE, ("hq_isnet", "hq_isnet_w18", "hq_isnet_w32", "hq_isnet_w40")
    ),
    "baselines": NetworkModule(
        SEMANTIC,
        (
            "unet",
            "unet_r50",
            "unetplusplus",
            "unetplusplus_r50",
            "fpn",
            "linknet",
            "manet",
            "pan",
            "pspnet",
            "pspnet_r50",
            "deeplabv3",
            "deeplabv3_r50",
            "deeplabv3plus",
            "deeplabv3plus_r50",
            "upernet",
            "upernet_r50",
            "segformer",
            "segformer_b1",
            "dpt",
            "fcn",
            "fcn_r50",
        ),
    ),
}


@dataclass(frozen=True)
class _Registered:
    task: str
    builder: Builder


_REGISTERED: dict[str, _Registered] = {}


def register(name: str, *, task: str) -> Callable[[BuilderType], BuilderType]:
    """Register a builder under a name.

    The builder takes keyword arguments only, ``num_classes`` and ``in_channels`` among them,
    and returns a network that follows the contract of its task.

    Raises:
        ValueError: If the name is taken by another builder or the task is unknown.
    """
    if task not in (SEMANTIC, INSTANCE):
        raise ValueError(f"task {task!r} is not {SEMANTIC!r} or {INSTANCE!r}")

    def add(builder: BuilderType) -> BuilderType:
        known = _REGISTERED.get(name)
        if known is not None and known.builder.__module__ != builder.__module__:
            raise ValueError(f"the name {name!r} is taken by {known.builder.__module__}")
        _REGISTERED[name] = _Registered(task, builder)
        return builder

    return add


def register_backbones(
    builder: Builder, *, task: str, backbones: Mapping[str, str]
) -> Mapping[str, Builder]:
    """Register a builder once more per fixed backbone.

    Args:
        builder: Builder with a keyword ``backbone``.
        task: See :func:`register`.
        backbones: timm's name of the backbone of each new name, which does not take ``backbone``.

    Returns:
        The new builders by name.
    """
    variants = {name: {"backbone": backbone} for name, backbone in backbones.items()}
    return register_variants(builder, task=task, variants=variants)


def register_variants(
    builder: Builder, *, task: str, variants: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Builder]:
    """Register a builder once more per set of fixed arguments.

    Args:
        builder: Any builder.
        task: See :func:`register`.
        variants: For each new name the arguments of the builder that it fixes and does not take.

    Returns:
        The new builders by name.
    """
    found = {name: _with_fixed(name, builder, fixed) for name, fixed in variants.items()}
    for name, variant in found.items():
        register(name, task=task)(variant)
    return found


def _with_fixed(name: str, builder: Builder, fixed: Mapping[str, Any]) -> Builder:
    def build(**options: Any) -> nn.Module:
        return builder(**fixed, **options)

    own = inspect.signature(builder)
    kept = [p for p in own.parameters.values() if p.name not in fixed]
    build.__name__ = build.__qualname__ = name
    build.__module__ = builder.__module__
    words = ", ".join(f"{key} {value!r}" for key, value in fixed.items())
    build.__doc__ = f"Build ``{builder.__name__}`` with {words}; the same further options."
    build.__signature__ = own.replace(parameters=kept)  # type: ignore[attr-defined]
    return build


def list_models(task: str | None = None) -> list[str]:
    """Return the names of all builders, or of those of one task, sorted."""
    tasks = {name: module.task for module in NETWORK_MODULES.values() for name in module.names}
    tasks.update({name: entry.task for name, entry in _REGISTERED.items()})
    return sorted(name for name, its_task in tasks.items() if task in (None, its_task))


def is_registered(name: str) -> bool:
    """Return whether ``create_model`` knows the name."""
    return name in list_models()


def create_model(name: str, *, num_classes: int, in_channels: int = 3, **options: Any) -> nn.Module:
    """Build a network with fresh weights.

    Args:
        name: One of :func:`list_models`.
        num_classes: All classes of a semantic network (background included, if the data has
            one), foreground classes of an instance network.
        in_channels: Number of input bands.
        options: Further keyword arguments of the builder.

    Raises:
        ModelError: If the name is unknown or the builder refuses an argument.
    """
    builder = find_builder(name)
    if num_classes < 1 or in_channels < 1:
        raise ModelError(
            f"network {name!r} cannot have {num_classes} classes and {in_channels} bands",
            "give at least one class and one band",
        )
    try:
        inspect.signature(builder).bind(num_classes=num_classes, in_channels=in_channels, **options)
    except TypeError as error:
        raise ModelError(f"network {name!r}: {error}", "check builder_args") from None
    try:
        return builder(num_classes=num_classes, in_channels=in_channels, **options)
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(f"network {name!r}: {error}", "check builder_args") from error


def find_builder(name: str) -> Builder:
    """Return the builder of a name, importing its module if need be.

    Raises:
        ModelError: If the name is unknown.
    """
    if name not in _REGISTERED:
        for module, content in NETWORK_MODULES.items():
            if name in content.names:
                importlib.import_module(f".{module}", __package__)
    if name not in _REGISTERED:
        names = list_models()
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
        raise ModelError(f"there is no network {name!r} in engine.models", hint)
    return _REGISTERED[name].builder
