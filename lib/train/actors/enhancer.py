"""Forward and losses of a low-light enhancer alone (spec enhancer.md 5, stage A)."""

import torch

from ...contracts import Actor
from ...models.enhancer import save_enhancer
from ...models.parts.precision import autocast
from .. import image_losses
from ..admin import distributed
from ..trainers.optim import make_optimiser


class EnhancerActor(Actor):
    """Forward and losses of an enhancer with the methods gate_of and path.

    Args:
        network: lib/models/enhancer's HazeDiffusion or Curve.
        config: an `enhancer` configuration.
    """

    def __init__(self, network, config):
        self.network = network
        self.options = config.TRAIN
        before = [f"/step{step}" for step in range(1, network.number)]
        self.scores = tuple(f"{name}{of}" for of in ("", *before, "/input") for name in ("PSNR", "SSIM"))

    def optimisers(self):
        return {"network": make_optimiser(self.network, self.options)}

    def phases(self, batch):
        yield "network", *self.batch_loss(batch)

    def batch_loss(self, batch):
        """Loss (scalar) and its parts, {name: detached scalar}, of a batch of NightPairs."""
        options = self.options
        night, clean, identity = _image(batch["night"]), _image(batch["clean"]), batch["identity"]
        path = self._path(night, batch["open"])
        result, foreseen = path[-1][0], path[0][1]

        rec, ssim = _distances(result, clean)
        loss = options.REC_WEIGHT * rec + options.SSIM_WEIGHT * ssim
        if len(path) > 1:
            mid, mid_ssim = _distances(foreseen, clean)
            loss = loss + options.MID_WEIGHT * (options.REC_WEIGHT * mid + options.SSIM_WEIGHT * mid_ssim)
        colour = image_losses.colour(result, clean).mean()
        # Means over the pairs of one kind in all processes.
        kinds = torch.stack([identity, ~identity]).float()
        same, changed = kinds / (distributed.total(kinds.sum(dim=1)).clamp(min=1) / distributed.world())[:, None]
        kept = ((result - night).abs().mean(dim=(1, 2, 3)) * same).sum()
        loss = loss + options.COLOUR_WEIGHT * colour + options.IDENTITY_WEIGHT * kept
        stats = {
            "Loss/total": loss,
            "Loss/rec": rec,
            "Loss/ssim": ssim,
            "Loss/colour": colour,
            "Loss/identity": kept,
            "PSNR": (image_losses.psnr(result, clean) * changed).sum(),
        }
        return loss, {name: value.detach() for name, value in stats.items()}

    @torch.no_grad()
    def validate(self, batch):
        """Sums of `scores` over a batch (result, images after the earlier steps, input), and the batch size."""
        night, clean = _image(batch["night"]), _image(batch["clean"])
        *before, result = (image for image, _ in self._path(night, batch["open"]))
        pairs = [
            distance(image, clean).sum()
            for image in (result, *before, night)
            for distance in (image_losses.psnr, image_losses.ssim)
        ]
        return *pairs, torch.ones_like(pairs[0]) * len(night)

    @torch.no_grad()
    def picture(self, batch, count=4):
        """A name and a (3, 3 C, count C) uint8 picture of pairs: night, result, clean, from top to bottom."""
        night, clean = batch["night"][:count], batch["clean"][:count]
        result = self._path(_image(night), batch["open"][:count])[-1][0]
        columns = torch.cat([night, (255 * result).round().byte(), clean], dim=2)
        return "val/pairs", torch.cat(list(columns), dim=2).cpu()

    def _path(self, night, forced):
        """The network's path of images (B, 3, C, C). The gate is 1 where `forced` (B,), else that of the image."""
        gate = torch.where(forced, 1.0, self.network.gate_of(night))
        with autocast(night.device.type, self.options.PRECISION):  # only the network; images stay float32
            return self.network.path(night, gate)

    def save(self, path, **notes):
        """Write the enhancer in the format of load_enhancer."""
        save_enhancer(path, self.network, **notes)


def _image(pixels):
    return pixels.float() / 255


def _distances(image, clean):
    return image_losses.charbonnier(image, clean).mean(), (1 - image_losses.ssim(image, clean)).mean()
