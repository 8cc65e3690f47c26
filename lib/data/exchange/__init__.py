"""Annotation formats of other programs, in and out: one module each, and one entry of FORMATS."""

from collections.abc import Callable
from dataclasses import dataclass

from . import anti_uav, coco, cvat, label_studio, labelme, masks, mot, voc, yolo
from .tracks import Clip


@dataclass(frozen=True)
class Format:
    """An annotation format.

    Attributes:
        name: what it is called on command lines.
        what: it and its programs, in a line.
        layout: of lib.data.benchmarks, which reads a folder of it as a dataset.
        write: (Clip, tolerance px) -> {file name: its bytes}. The tolerance is that of thinned keyframes, where the
            format has keyframes. None where it is only read.
    """

    name: str
    what: str
    layout: object
    write: Callable[[Clip, float], dict[str, bytes]] | None


FORMATS = {
    one.name: one
    for one in (
        Format("mot", "MOTChallenge: gt/gt.txt with img1/", mot.Mot(), mot.write),
        Format(
            "label_studio", "Label Studio: JSON with videorectangle", label_studio.LabelStudio(), label_studio.write
        ),
        Format("anti_uav", "Anti-UAV: IR_label.json", anti_uav.AntiUav(), anti_uav.write),
        Format("masks", "masks of DAVIS and YouTube-VOS", masks.Masks(), None),
        Format("coco", "COCO JSON, also of videos with track_id", coco.CocoFolder(), coco.write),
        Format("cvat", "CVAT for video 1.1: annotations.xml", cvat.Cvat(), cvat.write),
        Format("yolo", "YOLO: labels/*.txt with images/", yolo.Yolo(), yolo.write),
        Format("voc", "Pascal VOC: Annotations/*.xml with JPEGImages/", voc.Voc(), voc.write),
        Format("labelme", "LabelMe: a JSON beside each image", labelme.LabelMe(), labelme.write),
    )
}
