"""The networks that can be trained, with titles for people: no torch needed (light).

A test compares the names and tasks with ``engine.models.list_models``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from .families import family

SEMANTIC = "semantic"
INSTANCE = "instance"
LIGHT, MEDIUM, HEAVY = "light", "medium", "heavy"
FCN_HRNET = "FCN (HRNet)"


@dataclass(frozen=True)
class NetworkInfo:
    """A network as people choose it.

    Attributes:
        name: Name for ``create_model`` and for the field ``network`` of a job.
        title: Name for people.
        task: ``semantic`` or ``instance``.
        weight: ``light`` (trains on a CPU), ``medium`` or ``heavy`` (wants a GPU).
        paper: One of the five networks that RS Segment is about.
        tunable: Whether it has parts to be chosen by options; such entries are for experts.
        family: Title of its family.
        page: Name of its page below ``docs/networks``, without ``.md``.
        good_at: What it is good at, as the end of a sentence "good at ...".
    """

    name: str
    title: str
    task: str
    weight: str = MEDIUM
    paper: bool = False
    tunable: bool = False
    family: str = ""
    page: str = ""
    good_at: str = ""


def _row(
    names: str,
    title: str,
    task: str,
    weight: str = MEDIUM,
    *,
    paper: bool = False,
    family_title: str = "",
) -> Tuple[NetworkInfo, ...]:
    """Return one network for each of the ``name=variant`` words."""
    networks = []
    kin = family(family_title or title)
    for word in names.split():
        name, _, variant = word.partition("=")
        shown = f"{title} ({variant.replace('_', ' ')})" if variant else title
        networks.append(
            NetworkInfo(
                *(name, shown, task, weight, paper),
                tunable=not variant,
                family=kin.title,
                page=kin.page,
                good_at=kin.good_at,
            )
        )
    return tuple(networks)


NETWORKS: Tuple[NetworkInfo, ...] = (
    *_row("unet unet_r50=ResNet-50", "U-Net", SEMANTIC, LIGHT),
    *_row("deeplabv3plus deeplabv3plus_r50=ResNet-50", "DeepLabV3+", SEMANTIC),
    *_row("farseg farseg_r50=ResNet-50", "FarSeg", SEMANTIC, paper=True),
    *_row("c2fnet c2fnet_w18=HRNet-W18", "C2FNet", SEMANTIC, paper=True),
    *_row("c2fnet_w48=HRNet-W48", "C2FNet", SEMANTIC, HEAVY, paper=True),
    *_row("hi_resnet_small=small", "Hi-ResNet", SEMANTIC, LIGHT, paper=True),
    *_row("hi_resnet hi_resnet_base=base", "Hi-ResNet", SEMANTIC, HEAVY, paper=True),
    *_row("unetformer_r18=ResNet-18", "UNetFormer", SEMANTIC, LIGHT),
    *_row("segformer segformer_b1=MiT-B1", "SegFormer", SEMANTIC),
    *_row("upernet upernet_r50=ResNet-50", "UPerNet", SEMANTIC),
    *_row("unetplusplus unetplusplus_r50=ResNet-50", "U-Net++", SEMANTIC, HEAVY),
    *_row("semantic_fpn semantic_fpn_r50=ResNet-50", "Semantic FPN", SEMANTIC),
    *_row("factseg_r50=ResNet-50", "FactSeg", SEMANTIC),
    *_row("fcn_hrnet", FCN_HRNET, SEMANTIC, LIGHT),
    *_row("fcn_hrnet_w18=HRNet-W18", "FCN", SEMANTIC, family_title=FCN_HRNET),
    *_row("fcn_hrnet_w48=HRNet-W48", "FCN", SEMANTIC, HEAVY, family_title=FCN_HRNET),
    *_row("fcn fcn_r50=ResNet-50", "FCN", SEMANTIC),
    *_row("hrnet_w48=W48", "HRNet", SEMANTIC, HEAVY),
    *_row("ocrnet", "OCRNet (HRNet)", SEMANTIC, family_title="OCRNet"),
    *_row("ocrnet_w48=HRNet-W48", "OCRNet", SEMANTIC, HEAVY),
    *_row("pspnet pspnet_r50=ResNet-50", "PSPNet", SEMANTIC),
    *_row("deeplabv3 deeplabv3_r50=ResNet-50", "DeepLabV3", SEMANTIC, HEAVY),
    *_row("fpn", "FPN", SEMANTIC, LIGHT),
    *_row("linknet", "LinkNet", SEMANTIC, LIGHT),
    *_row("manet", "MA-Net", SEMANTIC),
    *_row("pan", "PAN", SEMANTIC),
    *_row("dpt", "DPT", SEMANTIC, HEAVY),
    *_row("hq_isnet hq_isnet_w18=HRNet-W18", "HQ-ISNet", INSTANCE, paper=True),
    *_row("hq_isnet_w32=HRNet-W32 hq_isnet_w40=HRNet-W40", "HQ-ISNet", INSTANCE, HEAVY, paper=True),
    *_row("facenet facenet_r50=ResNet-50", "FACENet", INSTANCE, paper=True),
    *_row("facenet_r101=ResNet-101", "FACENet", INSTANCE, HEAVY, paper=True),
    *_row("mask_rcnn mask_rcnn_r50=ResNet-50", "Mask R-CNN", INSTANCE),
    *_row("mask_rcnn_r101=ResNet-101", "Mask R-CNN", INSTANCE, HEAVY),
    *_row("mask_rcnn_hrfpn_w18=HRNet-W18", "Mask R-CNN, HRFPN", INSTANCE),
    *_row(
        "mask_rcnn_hrfpn_w32=HRNet-W32 mask_rcnn_hrfpn_w40=HRNet-W40",
        *("Mask R-CNN, HRFPN", INSTANCE, HEAVY),
    ),
    *_row("mask_scoring_rcnn mask_scoring_rcnn_r50=ResNet-50", "Mask Scoring R-CNN", INSTANCE),
    *_row("mask_scoring_rcnn_r101=ResNet-101", "Mask Scoring R-CNN", INSTANCE, HEAVY),
    *_row("cascade_mask_rcnn cascade_mask_rcnn_r50=ResNet-50", "Cascade Mask R-CNN", INSTANCE),
    *_row("cascade_mask_rcnn_r101=ResNet-101", "Cascade Mask R-CNN", INSTANCE, HEAVY),
    *_row("point_rend point_rend_r50=ResNet-50", "PointRend", INSTANCE),
    *_row("point_rend_r101=ResNet-101", "PointRend", INSTANCE, HEAVY),
    *_row("htc htc_r50=ResNet-50", "Hybrid task cascade", INSTANCE),
    *_row("htc_r101=ResNet-101", "Hybrid task cascade", INSTANCE, HEAVY),
    *_row("solov2 solov2_r50=ResNet-50", "SOLOv2", INSTANCE),
    *_row("solov2_r101=ResNet-101", "SOLOv2", INSTANCE, HEAVY),
    *_row("solo solo_r50=ResNet-50", "SOLO", INSTANCE),
    *_row("solo_r101=ResNet-101", "SOLO", INSTANCE, HEAVY),
)
_BY_NAME: Dict[str, NetworkInfo] = {network.name: network for network in NETWORKS}


def list_networks(task: Optional[str] = None) -> List[NetworkInfo]:
    """Return the networks of a task, or all, in the order in which people see them."""
    return [network for network in NETWORKS if task in (None, network.task)]


def network_info(name: str) -> Optional[NetworkInfo]:
    """Return what is known about a network, None for an unknown name."""
    return _BY_NAME.get(name)
