"""Learning tiny targets from large ones, as a wrapper around a family's actor (MKDNet, arXiv:2202.05659).

A frozen teacher sees the crops as they are. The student sees them degraded, as if their targets were tiny. It learns to
answer as the teacher does, in features, scores and ratings of boxes. It does so only as far as the teacher's own loss
is lower (the reliability measure, RDM).
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
SEARCH = "search_images"  # of a batch; its other images are of the template


class Answer(NamedTuple):
    """What a network makes of a batch of N search crops.

    Attributes:
        loss (): the family's own loss, that of training without a teacher.
        stats: its parts for the log, {name: scalar}.
        score_loss (N,): loss of the scores of each crop.
        box_loss (N,): loss of the boxes of each crop.
        scores (N, ...): score maps.
        ratings (N, K): what the network thinks of K boxes around the target.
        features: each (N, P, F): feature vectors of P regions around the target, for a discriminator each.
        query (N, D): what the network remembers of the target; None for one that remembers nothing.
        given: what the teacher is to be given, so that it answers about the same crops and boxes.
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
        """What a network makes of a batch.

        Args:
            network: student or teacher, of the class of `network`.
            batch: its images may be float in [0, 1] instead of uint8.
            student: the student's Answer, for the teacher.
        """

    @abstractmethod
    def target_sizes(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{name of images (..., 3, S, S) in a batch: width and height of their targets (..., 2), px of the crop}.

        All are positive; where there is no target, a usual size.
        """

    def score_distance(self, student: Answer, teacher: Answer) -> Tensor:
        """How far the student's scores are from the teacher's (N,): the mean absolute difference."""
        return (student.scores - teacher.scores).abs().flatten(1).mean(dim=1)


def degrade(images: Tensor, rows: int, columns: int, upsampling: Upsampling, antialias: bool = True) -> Tensor:
    """Downsample images and upsample them again, so that their targets have the detail of tiny ones.

    Args:
        images (N, 3, H, W): float.
        rows, columns: of the downsampled image, by bicubic interpolation.
        upsampling: how it is upsampled.
        antialias: average over all pixels that a smaller one covers, as a camera farther away does.

    Returns:
        (N, 3, H, W). Bicubic interpolation may leave the range of the images.

    Source: Zhu et al., MKDNet, arXiv:2202.05659.
    """
    small = functional.interpolate(images, (rows, columns), mode="bicubic", align_corners=False, antialias=antialias)
    corners = None if upsampling == "nearest" else False
    return functional.interpolate(small, images.shape[-2:], mode=upsampling, align_corners=corners)


def as_float(images: Tensor) -> Tensor:
    """Images, uint8 or float in [0, 1], as float in [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


class DistillingActor(Actor):
    """Trains the network of another actor as a student of its own copy.

    Its first phase teaches the discriminators to tell the teacher's features from the student's. The second one adds to
    the actor's own loss, each term weighted crop by crop with the RDM of boxes or of scores:

        GEN_WEIGHT      RDM of boxes    cross-entropy of discriminators that are to name the teacher
        FEATURE_WEIGHT  RDM of boxes    mean absolute difference of features, and 1 - cosine of queries
        SCORE_WEIGHT    RDM of scores   difference of score maps
        RATING_WEIGHT   RDM of boxes    mean absolute difference of ratings

    Args:
        actor: of the family. Its network has the weights that teacher and student begin with.
        options: section TRAIN.MKD of its configuration.

    Attributes:
        limit: largest RDM.
        spectral: whether discriminators are spectrally normalised.
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
        """The teacher's Answer to the batch as it is."""
        with torch.no_grad():
            return self.actor.answer(self.helpers["teacher"], batch, student)

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """The actor's, and Adam without a schedule for the discriminators."""
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
        """Mean cross-entropy (scalar) of all discriminators over the features of both networks; ln 2 by guessing."""
        losses = []
        for discriminator, *pair in zip(
            self.helpers["discriminators"], student.features, teacher.features, strict=True
        ):
            for features, truth in zip(pair, (0.0, 1.0), strict=True):
                logits = discriminator(features.detach())
                losses.append(cross_entropy(logits, torch.full_like(logits, truth)))
        return torch.stack(losses).mean()

    def reliability(self, student_loss: Tensor, teacher_loss: Tensor) -> Tensor:
        """The RDM (N,) of losses (N,): how much lower the teacher's is, at most `limit`; 0 where it is not lower."""
        return (student_loss - teacher_loss).detach().clamp(0, self.limit)

    def terms(self, student: Answer, teacher: Answer, scores: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        """The weighted terms of the second phase, {name: scalar}.

        Args:
            student, teacher: their answers.
            scores, boxes: RDM (N,), or () where it is one number for the whole batch.
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
        """The images of a batch, float in [0, 1], some samples of them as if their targets were tiny.

        A share SHARE of the samples is degraded, and a share TEMPLATES of those also in their templates. Each has one
        side sqrt(w h) for its target, log-uniform in SIDE px, and one mode of upsampling. Smaller targets stay.

        This waits for the device, since sizes of images are plain numbers.
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
    """A family's actor, within a DistillingActor where TRAIN.MKD.ENABLE of its configuration says so."""
    mkd = config.TRAIN.get("MKD", {})
    return DistillingActor(actor, mkd) if mkd.get("ENABLE") else actor


def _angle(first: Tensor, second: Tensor) -> Tensor:
    """1 - cosine (N,) of vectors (N, D), exactly 0 for equal ones."""
    first, second = (functional.normalize(each.float(), dim=1) for each in (first, second))
    return (first - second).square().sum(dim=1) / 2
