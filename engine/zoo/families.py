"""What each family of networks is good at, and its page below ``docs/networks`` (light).

People choose a network by this: the panel and the help of training show it, the pages repeat it,
and a test holds them equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple


@dataclass(frozen=True)
class Family:
    """Networks of one design.

    Attributes:
        title: Name for people, without a variant.
        page: Name of its page below ``docs/networks``, without ``.md``.
        good_at: What it is good at, as the end of a sentence "good at ...".
    """

    title: str
    page: str
    good_at: str


FAMILIES: Tuple[Family, ...] = (
    Family("FarSeg", "farseg", "few foreground pixels in a large, varied background"),
    Family("Semantic FPN", "farseg", "large objects at the cost of U-Net; the baseline of FarSeg"),
    Family("C2FNet", "c2fnet", "small objects: vehicles, ships, planes"),
    Family("Hi-ResNet", "hi_resnet", "land cover with sharp outlines"),
    Family("HRNet", "hi_resnet", "fine detail; the baseline of Hi-ResNet"),
    Family("FACENet", "facenet", "single objects of very different sizes"),
    Family("SOLOv2", "facenet", "single objects without boxes, one mask kernel per object"),
    Family("SOLO", "facenet", "single objects without boxes, the simplest way"),
    Family("HQ-ISNet", "hq_isnet", "single objects with exact outlines"),
    Family("Mask R-CNN", "hq_isnet", "single objects; the two-stage network to begin with"),
    Family("Mask R-CNN, HRFPN", "hq_isnet", "single small objects: HRNet keeps fine maps"),
    Family("Mask Scoring R-CNN", "hq_isnet", "scores that say how good each outline is"),
    Family("Cascade Mask R-CNN", "hq_isnet", "exact boxes, refined three times"),
    Family("PointRend", "hq_isnet", "crisp outlines of large objects, drawn point by point"),
    Family("Hybrid task cascade", "hq_isnet", "objects that the scene around them explains"),
    Family("FCN (HRNet)", "fcn_hrnet", "fine detail at little cost"),
    Family("OCRNet", "ocrnet", "classes that only their surroundings tell apart"),
    Family("FactSeg", "factseg", "small objects on a background"),
    Family("UNetFormer", "unetformer", "land cover of towns with a light machine"),
    Family("U-Net", "unet", "little data: sharp outlines, quick to train; the first choice"),
    Family("U-Net++", "unetplusplus", "outlines finer than U-Net's, at two to four times its cost"),
    Family("FPN", "fpn", "large objects at little cost"),
    Family("LinkNet", "linknet", "fast inference on a light machine"),
    Family("MA-Net", "manet", "outlines like U-Net's where distant places resemble each other"),
    Family("PAN", "pan", "objects of several sizes at little cost"),
    Family("PSPNet", "pspnet", "large areas of land cover, told apart by their surroundings"),
    Family("DeepLabV3", "deeplabv3", "objects of many sizes, where cost does not matter"),
    Family("DeepLabV3+", "deeplabv3plus", "objects of many sizes with sharper outlines, cheaply"),
    Family("UPerNet", "upernet", "a strong general baseline, with transformers too"),
    Family("SegFormer", "segformer", "context over the whole tile at little cost"),
    Family("DPT", "dpt", "plain vision transformers with pre-trained weights"),
    Family("FCN", "fcn", "a baseline as simple as can be"),
)
_BY_TITLE: Dict[str, Family] = {family.title: family for family in FAMILIES}


def family(title: str) -> Family:
    """Return the family with this title.

    Raises:
        KeyError: If there is none.
    """
    return _BY_TITLE[title]
