"""Forward and losses of a low-light enhancer alone (spec enhancer.md 5, stage A).

Pairs are compared with their clean image. Real nights have none: their result should be well exposed, keep the order
of its tones, be brightened smoothly and be without a cast (Zero-DCE, arXiv:2001.06826), and what the first step
foresees should be what the last one reaches (as the stages of SCI agree, arXiv:2204.10137).
"""

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
        self.options, self.real = config.TRAIN, bool(config.DATA.NIGHT.REAL)
        before = [f"/step{step}" for step in range(1, network.number)]
        self.scores = tuple(f"{name}{of}" for of in ("", *before, "/input") for name in ("PSNR", "SSIM"))

    def optimisers(self):
        return {"network": make_optimiser(self.network, self.options)}

    def phases(self, batch):
        yield "network", *self.batch_loss(batch)

    def batch_loss(self, batch):
        """Loss (scalar) and its parts, {name: detached scalar}, of a batch of NightPairs."""
        options = self.options
        night, clean = _image(batch["night"]), _image(batch["clean"])
        identity, real = batch["identity"], batch["real"]
        path = self._path(night, batch["open"])
        result, foreseen = path[-1][0], path[0][1]
        # Means over the samples of one kind in all processes together.
        kinds = torch.stack([~real, identity, ~real & ~identity, real]).float()
        kinds = kinds / (distributed.total(kinds.sum(dim=1)).clamp(min=1) / distributed.world())[:, None]
        paired, same, changed, unpaired = kinds

        rec, ssim = _distances(result, clean, paired)
        loss = options.REC_WEIGHT * rec + options.SSIM_WEIGHT * ssim
        if len(path) > 1:
            mid, mid_ssim = _distances(foreseen, clean, paired)
            loss = loss + options.MID_WEIGHT * (options.REC_WEIGHT * mid + options.SSIM_WEIGHT * mid_ssim)
        colour = (image_losses.colour(result, clean) * paired).sum()
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
        if self.real:
            parts = {
                "exposure": image_losses.exposure(result, options.EXPOSURE),
                "order": image_losses.order(result, night),
                "smooth": image_losses.smoothness(result, night),
                "constancy": image_losses.constancy(result),
                "calibration": (foreseen - result).abs().mean(dim=(1, 2, 3)),
            }
            for name, values in parts.items():
                stats[f"Loss/{name}"] = (values * unpaired).sum()
                loss = loss + getattr(options, f"{name.upper()}_WEIGHT") * stats[f"Loss/{name}"]
            stats["Loss/total"] = loss
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


def _distances(image, clean, weights):
    distances = image_losses.charbonnier(image, clean), 1 - image_losses.ssim(image, clean)
    return tuple((distance * weights).sum() for distance in distances)
