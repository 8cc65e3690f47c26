"""Knowledge distillation for tiny targets, as a wrapper around a family's actor (MKDNet, arXiv:2202.05659).

A frozen teacher sees the original crops. The student sees degraded crops, in which targets look tiny. The student
learns to match the teacher's features, scores and box ratings. The reliability measure RDM, which says how much lower
the teacher's loss is, weights these losses.
"""

import copy
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from ..contracts import Actor
from ..models.parts.discriminator import Discriminator

Upsampling = Literal["nearest", "bilinear", "bicubic"]
SEARCH = "search_images"  # name of the search crops in a batch; all other images are templates


class Answer(NamedTuple):
    """Output of a network for a batch of N search crops.

    Attributes:
        loss (): the family's own loss, as in training without a teacher.
        stats: parts of the loss for the log, {name: scalar}.
        score_loss (N,): loss of the scores of each crop.
        box_loss (N,): loss of the boxes of each crop.
        scores (N, ...): score maps.
        ratings (N, K): predicted quality of K boxes around the target.
        features: tensors (N, P, F) with feature vectors of P regions around the target. Each has its own discriminator.
        query (N, D): the network's memory of the target; None for a network without memory.
        given: inputs of the student that the teacher must share, so that both see the same crops and boxes.
    """

    loss: Tensor
    stats: dict[str, Tensor]
    score_loss: Tensor
    box_loss: Tensor
    scores: Tensor
    ratings: Tensor
    features: tuple[Tensor, ...]
    query: Tensor | None = None
    given: tuple[Tensor, ...] = ()


class Distillable(Actor):
    """An actor whose network can be student and teacher.

    Attributes:
        feature_sizes: F of each of the `features` of an Answer.
    """

    feature_sizes: tuple[int, ...]

    @abstractmethod
    def answer(self, network: nn.Module, batch: Mapping[str, Tensor], student: Answer | None = None) -> Answer:
        """Run a network on a batch.

        Args:
            network: student or teacher, of the same class as the attribute `network`.
            batch: a batch whose images may be float in [0, 1] instead of uint8.
            student: the student's Answer if the network is the teacher; else None.
        """

    @abstractmethod
    def target_sizes(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Sizes of the targets in a batch.

        Returns:
            {name of images (..., 3, S, S): width and height of their targets (..., 2), px of the crop}. All sizes are
            positive; crops without a target have a typical size.
        """

    def score_distance(self, student: Answer, teacher: Answer) -> Tensor:
        """Distance (N,) between the scores of student and teacher: the mean absolute difference."""
        return (student.scores - teacher.scores).abs().flatten(1).mean(dim=1)


def degrade(images: Tensor, rows: int, columns: int, upsampling: Upsampling, antialias: bool = True) -> Tensor:
    """Downsample images and upsample them again, so that their targets have as little detail as tiny targets.

    Args:
        images (N, 3, H, W): float.
        rows, columns: size of the downsampled image. Downsampling is bicubic.
        upsampling: interpolation of the upsampling.
        antialias: average over all pixels that a smaller pixel covers, as a camera farther away does.

    Returns:
        (N, 3, H, W). Values can exceed the range of the images, because bicubic interpolation overshoots.

    Source: Zhu et al., MKDNet, arXiv:2202.05659.
    """
    small = functional.interpolate(images, (rows, columns), mode="bicubic", align_corners=False, antialias=antialias)
    corners = None if upsampling == "nearest" else False
    return functional.interpolate(small, images.shape[-2:], mode=upsampling, align_corners=corners)


def as_float(images: Tensor) -> Tensor:
    """Convert images, uint8 or float in [0, 1], to float in [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


class DistillingActor(Actor):
    """Trains the network of another actor as a student of a copy of itself.

    The first phase trains the discriminators to distinguish the teacher's features from the student's. The second phase
    adds four terms to the actor's own loss. Each term is weighted crop by crop with the RDM of boxes or of scores:

        GEN_WEIGHT      RDM of boxes    cross-entropy of the discriminators with the teacher as the label
        FEATURE_WEIGHT  RDM of boxes    mean absolute difference of features, and 1 - cosine of queries
        SCORE_WEIGHT    RDM of scores   difference of score maps
        RATING_WEIGHT   RDM of boxes    mean absolute difference of ratings

    Args:
        actor: the family's actor. Teacher and student start with the weights of its network.
        options: section TRAIN.MKD of its configuration.

    Attributes:
        limit: largest RDM.
        spectral: whether the discriminators use spectral normalisation.
    """

    limit: float = 1.0
    spectral: bool = True

    def __init__(self, actor: Distillable, options: Any) -> None:
        self.actor, self.mkd = actor, options
        discriminators = nn.ModuleList(Discriminator(size, spectral=self.spectral) for size in actor.feature_sizes)
        self.helpers = {"teacher": self.make_teacher(), "discriminators": discriminators}
        self.scores = actor.scores

    @property
    def network(self) -> nn.Module:
        """The student."""
        return self.actor.network

    @network.setter
    def network(self, network: nn.Module) -> None:
        self.actor.network = network

    def make_teacher(self) -> nn.Module:
        """A frozen copy of the network."""
        return copy.deepcopy(self.network).requires_grad_(False).eval()

    def teach(self, batch: Mapping[str, Tensor], student: Answer) -> Answer:
        """The teacher's Answer to the original batch."""
        with torch.no_grad():
            return self.actor.answer(self.helpers["teacher"], batch, student)

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """The actor's optimisers, and one with a constant learning rate for the discriminators."""
        group = {"params": list(self.helpers["discriminators"].parameters()), "constant": True}
        discriminators = torch.optim.AdamW([group], lr=self.mkd.DISCRIMINATOR_LR, weight_decay=0, fused=True)
        return {**self.actor.optimisers(), "discriminator": discriminators}

    def phases(self, batch: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        student = self.actor.answer(self.network, {**batch, **self.degrade(batch)})
        teacher = self.teach(batch, student)
        loss = self.discriminator_loss(student, teacher)
        yield "discriminator", loss, {"MKD/discriminator": loss.detach()}

        scores = self.reliability(student.score_loss, teacher.score_loss)
        boxes = self.reliability(student.box_loss, teacher.box_loss)
        terms = self.terms(student, teacher, scores, boxes)
        total = student.loss + sum(terms.values())
        stats = {**student.stats, **{f"MKD/{name}": value for name, value in terms.items()}}
        stats |= {"MKD/rdm_scores": scores.mean(), "MKD/rdm_boxes": boxes.mean(), "Loss/total": total}
        yield "network", total, {name: value.detach() for name, value in stats.items()}

    def discriminator_loss(self, student: Answer, teacher: Answer) -> Tensor:
        """Mean cross-entropy (scalar) of all discriminators over the features of both networks; ln 2 is chance."""
        losses = []
        for discriminator, *pair in zip(
            self.helpers["discriminators"], student.features, teacher.features, strict=True
        ):
            for features, truth in zip(pair, (0.0, 1.0), strict=True):
                logits = discriminator(features.detach())
                losses.append(cross_entropy(logits, torch.full_like(logits, truth)))
        return torch.stack(losses).mean()

    def reliability(self, student_loss: Tensor, teacher_loss: Tensor) -> Tensor:
        """RDM (N,) of losses (N,): student's loss - teacher's loss, clamped to [0, limit]."""
        return (student_loss - teacher_loss).detach().clamp(0, self.limit)

    def terms(self, student: Answer, teacher: Answer, scores: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        """The weighted terms of the second phase, {name: scalar}.

        Args:
            student, teacher: their answers.
            scores, boxes: RDM (N,), or () for one number per batch.
        """
        mkd = self.mkd
        pairs = list(zip(student.features, teacher.features, strict=True))
        features = torch.stack([(one - other).abs().flatten(1).mean(dim=1) for one, other in pairs]).sum(dim=0)
        if student.query is not None and teacher.query is not None:
            features = features + _angle(student.query, teacher.query)
        generator = torch.zeros_like(features)
        for discriminator, own in zip(self.helpers["discriminators"], student.features, strict=True):
            logits = discriminator(own)
            generator = generator + cross_entropy(logits, torch.ones_like(logits), reduction="none").mean(dim=1)
        ratings = (student.ratings - teacher.ratings).abs().mean(dim=1)
        return {
            "generator": mkd.GEN_WEIGHT * (boxes * generator).mean(),
            "features": mkd.FEATURE_WEIGHT * (boxes * features).mean(),
            "scores": mkd.SCORE_WEIGHT * (scores * self.actor.score_distance(student, teacher)).mean(),
            "ratings": mkd.RATING_WEIGHT * (boxes * ratings).mean(),
        }

    def degrade(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Degrade the images of some samples of a batch, so that their targets look tiny.

        A share SHARE of the samples is degraded. In a share TEMPLATES of these the templates are degraded as well. For
        each sample the target's side sqrt(w h) is drawn log-uniformly from SIDE px, and an interpolation of the
        upsampling is drawn. Smaller targets are unchanged.

        This waits for the device, because the sizes of the downsampled images must be known on the CPU.

        Returns:
            {name: images, float in [0, 1]}.
        """
        count = len(batch[SEARCH])
        low, high = map(math.log, self.mkd.SIDE)
        sides = torch.empty(count).uniform_(low, high).exp()
        search = torch.rand(count) < self.mkd.SHARE
        template = search & (torch.rand(count) < self.mkd.TEMPLATES)
        modes = torch.randint(len(get_args(Upsampling)), (count,)).tolist()
        degraded = {}
        for name, sizes in self.actor.target_sizes(batch).items():
            images = as_float(batch[name])
            length = images.shape[-1]
            now = sizes.prod(dim=-1).sqrt().reshape(count, -1).cpu()
            cells = (length * sides[:, None] / now).round().clamp(1, length).long()
            which = search if name == SEARCH else template
            made = images.reshape(count, -1, *images.shape[-3:]).clone()
            for sample in which.nonzero()[:, 0].tolist():
                for frame, side in enumerate(cells[sample].tolist()):
                    if side < length:
                        shown = degrade(made[sample, frame, None], side, side, get_args(Upsampling)[modes[sample]])
                        made[sample, frame] = shown[0].clamp(0, 1)
            degraded[name] = made.view(images.shape)
        return degraded

    def validate(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        return self.actor.validate(batch)

    def picture(self, batch: Mapping[str, Tensor]) -> tuple[str, Tensor] | None:
        return self.actor.picture(batch)

    def save(self, path: Path, **notes: Any) -> None:
        """Write the student's weights; a tracker needs nothing else."""
        self.actor.save(path, **notes)


def with_teacher(actor: Any, config: Any) -> Actor:
    """A family's actor, wrapped in a DistillingActor if TRAIN.MKD.ENABLE is true."""
    mkd = config.TRAIN.get("MKD", {})
    return DistillingActor(actor, mkd) if mkd.get("ENABLE") else actor


def _angle(first: Tensor, second: Tensor) -> Tensor:
    """1 - cosine (N,) of vectors (N, D). It is exactly 0 for equal vectors."""
    first, second = (functional.normalize(each.float(), dim=1) for each in (first, second))
    return (first - second).square().sum(dim=1) / 2
