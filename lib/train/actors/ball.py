"""Forward and losses of the networks that find a ball: sub-pixel Gaussian labels and deep supervision."""

import math

import torch
from torch import Tensor, nn

from ...contracts import Actor
from ...models.ball.build import heat_maps
from ...models.ball.decode import find_balls
from ...models.parts.precision import autocast
from ...models.parts.weights import save_weights
from ..heatmap_losses import deep_supervision, mix
from ..trainers.optim import make_optimiser

WITHIN = 4.0  # largest error of a ball that counts as found, px of the network's input


class BallActor(Actor):
    """Trains a network of models.ball.

    Args:
        network: result of models.ball.build.build_network.
        config: a configuration of config.ball.
    """

    scores = ("accuracy",)

    def __init__(self, network: nn.Module, config) -> None:
        self.network, self.options, self.sigma = network, config.TRAIN, config.DATA.SIGMA
        self.threshold = config.TEST.THRESHOLD

    def optimisers(self):
        return {"network": make_optimiser(self.network, self.options)}

    def phases(self, batch):
        frames, back = _images(batch)
        points, around = batch["points"], None
        if torch.rand(()) < self.options.MIXUP:
            share = torch.distributions.Beta(0.5, 0.5).sample((len(frames),))
            around = torch.maximum(share, 1 - share).to(frames.device), torch.randperm(len(frames)).to(frames.device)
            frames, _ = mix(frames, frames, *around)
        with autocast(frames.device.type, self.options.PRECISION):
            maps = heat_maps(self.network, frames, back)
        fused, sides = maps.fused.float(), maps.sides.float()
        fold = frames.shape[-1] / fused.shape[-1]
        labels = gaussians(points / fold, fused.shape[-2:], self.sigma / fold)
        if around is not None:
            labels, _ = mix(labels, labels, *around)
        # The loss is scaled by map area / mass of one label, so it does not depend on the size of the map.
        unit = fused.shape[-1] * fused.shape[-2] / (2 * math.pi * (self.sigma / fold) ** 2)
        loss = unit * deep_supervision(fused, sides, labels, tuple(self.options.SIDES[: sides.shape[1]]))
        yield "network", loss, {"Loss/total": loss.detach()}

    @torch.no_grad()
    def validate(self, batch):
        """Number of frames whose ball is found within 4 px or correctly reported as absent, and number of frames."""
        frames, back = _images(batch)
        with autocast(frames.device.type, self.options.PRECISION):
            heat = heat_maps(self.network, frames, back).fused.float().sigmoid()
        fold, right = frames.shape[-1] / heat.shape[-1], 0
        points = batch["points"].flatten(0, 1).tolist()
        for one, (x, y) in zip(heat.flatten(0, 1).cpu().numpy(), points, strict=True):
            balls = find_balls(one, self.threshold)
            if balls and not math.isnan(x):
                right += math.hypot(balls[0].x * fold - x, balls[0].y * fold - y) <= WITHIN
            else:
                right += not balls and math.isnan(x)
        counts = torch.tensor([right, len(points)], device=heat.device)
        return counts[0], counts[1]

    def save(self, path, **notes):
        save_weights(path, self.network.state_dict(), **notes)


def gaussians(points: Tensor, size: tuple, sigma: float) -> Tensor:
    """Gaussian labels, equal to those of data.heatmap.gaussian.

    Args:
        points (..., 2): x and y, cells; NaN if the ball is not visible.
        size: height and width of the maps, cells.
        sigma: standard deviation, cells.

    Returns:
        (..., height, width) float32 in [0, 1].
    """
    x, y = points.float().nan_to_num(1e6).unbind(-1)
    rows, columns = (torch.arange(length, device=points.device) + 0.5 for length in size)
    across = (-((columns - x[..., None]) ** 2) / (2 * sigma**2)).exp()
    down = (-((rows - y[..., None]) ** 2) / (2 * sigma**2)).exp()
    return down[..., :, None] * across[..., None, :]


def _images(batch):
    """Frames, and background or None, as float in [0, 1]."""
    back = batch.get("background")
    return batch["frames"].float() / 255, None if back is None else back.float() / 255
