"""MKDNet (arXiv:2202.05659): Super-DiMP for tiny targets, distilled from a Super-DiMP that sees large targets."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...models.dimp import DiMP
from ...models.dimp.build import build_network
from ..distillation import SEARCH, Answer, DistillingActor, Upsampling, as_float, degrade
from ..trainers.optim import set_training
from .dimp import DiMPActor

COMPARED = 2  # the release compares the score maps of this many filter iterates


class MKDNetActor(DistillingActor):
    """Trains a DiMP with a discriminator for each of the two levels of the IoU-Net's pooled features.

    Args:
        network: the student.
        config: an `mkdnet` configuration. TRAIN.MKD.FAITHFUL reproduces the released code:

            - The teacher's IoU-Net starts with its own random weights. The teacher shares the student's classifier.
            - The teacher's batch norms use batch statistics wherever the student's do, and update running statistics.
            - RDM is one number per batch, and gradients flow through it into the shared classifier.
            - Only the score maps of the first two filters are compared.
            - The degradation differs; see `degrade`.
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
            student, teacher = (each._replace(scores=each.scores[:, :COMPARED]) for each in (student, teacher))
        return super().terms(student, teacher, scores, boxes)

    def degrade(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Downsample all images of a batch so that the mean target has SIDE x SIDE px, and upsample them again.

        The upsampling of a batch is nearest neighbour or bilinear, each with probability 1/2. Images whose mean target
        is smaller than SIDE are unchanged.

        FAITHFUL reproduces the release. Images with a smaller mean target are first enlarged. Width and height are
        exchanged. Downsampling has no antialiasing. Templates and search crops have separate means, and the mean of
        search crops is their sum divided by the number of templates.
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
    """Rows and columns of the downsampled image in which a target has `side` x `side` px.

    Args:
        length: side of the square image, px.
        width, height: of the target in it, px.
        side: wanted side of the target, px.
        faithful: round down, exchange width and height, and enlarge images with smaller targets, as the release does.
    """
    if faithful:
        return max(int(length / (width / side)), 1), max(int(length / (height / side)), 1)
    rows, columns = (max(min(round(length * side / each), length), 1) for each in (height, width))
    return rows, columns
