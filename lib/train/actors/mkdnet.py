"""MKDNet (arXiv:2202.05659): Super-DiMP for tiny targets, taught by a Super-DiMP that sees large ones."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...models.dimp import DiMP
from ...models.dimp.build import build_network
from ..distillation import SEARCH, Answer, DistillingActor, Upsampling, as_float, degrade
from ..trainers.optim import set_training
from .dimp import DiMPActor

FIRST = 2  # iterates of the filter that the release compares


class MKDNetActor(DistillingActor):
    """Trains a DiMP with a discriminator for each of the two levels of the IoU-Net's pooled features.

    Args:
        network: the student.
        config: an `mkdnet` configuration. With TRAIN.MKD.FAITHFUL it does what the released code does:

            - The teacher's IoU-Net begins with random weights of its own. The teacher has the student's classifier.
            - The teacher's norms use the statistics of the batch where the student's do, and remember them.
            - RDM is one number for the batch, and gradients flow through it into the shared classifier.
            - Score maps of the first two filters alone are compared.
            - See `degrade` for the degradation.
    """

    limit = float("inf")
    spectral = False

    def __init__(self, network: DiMP, config: Any) -> None:
        self.config, self.faithful = config, config.TRAIN.MKD.FAITHFUL
        super().__init__(DiMPActor(network, config), config.TRAIN.MKD)

    def make_teacher(self) -> nn.Module:
        teacher = super().make_teacher()
        if self.faithful:
            teacher.bb_regressor = build_network(self.config).bb_regressor.requires_grad_(False)
            del teacher.classifier
        return teacher

    def teach(self, batch: Mapping[str, Tensor], student: Answer) -> Answer:
        if not self.faithful:
            return super().teach(batch, student)
        own = self.helpers["teacher"]
        set_training(own, self.config.TRAIN.FREEZE)
        shared = DiMP(own.feature_extractor, self.network.classifier, own.bb_regressor)
        return self.actor.answer(shared, batch, student)

    def reliability(self, student_loss: Tensor, teacher_loss: Tensor) -> Tensor:
        if not self.faithful:
            return super().reliability(student_loss, teacher_loss)
        return (student_loss.mean() - teacher_loss.mean()).relu()

    def terms(self, student: Answer, teacher: Answer, scores: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        if self.faithful:
            student, teacher = (each._replace(scores=each.scores[:, :FIRST]) for each in (student, teacher))
        return super().terms(student, teacher, scores, boxes)

    def degrade(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All images of a batch, float, downsampled so that the mean target has SIDE px each way, and upsampled again.

        One coin decides for all between the nearest pixel and bilinear interpolation. Where the mean target is smaller,
        the images stay. FAITHFUL does as the release: such images are enlarged first, width and height are exchanged,
        downsampling does not average, and templates and search crops have means of their own. That of search crops
        divides their sum by the number of templates.
        """
        sizes = self.actor.target_sizes(batch)
        sums = {name: each.flatten(0, 1).sum(dim=0) for name, each in sizes.items()}
        counts = {name: each.shape[0] * each.shape[1] for name, each in sizes.items()}
        mode: Upsampling = "nearest" if torch.rand(()) < 0.5 else "bilinear"
        degraded = {}
        for name in sizes:
            images = as_float(batch[name])
            if self.faithful:
                (templates,) = (count for other, count in counts.items() if other != SEARCH)
                width, height = (sums[name] / templates).tolist()
            else:
                width, height = (sum(sums.values()) / sum(counts.values())).tolist()
            rows, columns = shrunk(images.shape[-1], width, height, self.mkd.SIDE, self.faithful)
            if self.faithful or min(rows, columns) < images.shape[-1]:
                flat = degrade(images.flatten(0, 1), rows, columns, mode, antialias=not self.faithful)
                images = (flat if self.faithful else flat.clamp(0, 1)).view(images.shape)
            degraded[name] = images
        return degraded


def shrunk(length: int, width: float, height: float, side: float, faithful: bool) -> tuple[int, int]:
    """Rows and columns of a square image in which a target of `width` and `height` becomes `side` px each way.

    Args:
        length: side of the image as it is, px.
        width, height: of the target in it, px.
        side: px.
        faithful: round down, exchange width and height, and let small targets grow, as the release does.
    """
    if faithful:
        return max(int(length / (width / side)), 1), max(int(length / (height / side)), 1)
    rows, columns = (max(min(round(length * side / each), length), 1) for each in (height, width))
    return rows, columns
