"""The enhancer of this project: a two-step haze diffusion run backwards, one small network consulted at each step.

Before every step the image is split into bands of detail, and of each band that share is taken for noise which a
Wiener filter would remove: the network says how much noise there is where, the image how much of anything.
See haze.py for the steps themselves; our own design (spec enhancer.md), sections of which are named below.
"""

import math

import torch

from .base import Enhancer
from .haze import brightness, dehaze, residual_share, transmission
from .trunk import BANDS, Trunk, enlarged, pyramid, whole_cells

SHARPNESS = 2.0  # of the step from detail to noise, in the logarithm of their energies


class HazeDiffusion(Enhancer):
    """`number` network evaluations, from the observed image backwards to the clean one.

    Args:
        number: of steps K; each covers 1/K of the largest optical depth.
        channels: widths of the network.
        depth: largest optical depth of all steps together: odds of brightness grow at most exp(depth) times.
        guide: largest slope of the depth over brightness, per step; tones keep their order up to 16 / depth.
        denoise: largest share of a band that is taken for noise; 0: no denoising.
        residual: put the share r_k of the noise back after each step but the last, as DDIM does.
        form: "dcp", the transmission of haze.py, or "plain", the same gain for all tones of a place, clipped.
        common: gate, average and strength, see Enhancer.
    """

    type = "haze_diffusion"
    lifts = True
    own = ("number", "channels", "depth", "guide", "denoise", "residual", "form")
    VEIL, TINT = 0.1, 0.3  # largest veil; largest difference of depth between channels
    LEAST_DEPTH = -0.15  # of a channel that is tinted darker

    def __init__(
        self, number=2, channels=(16, 32, 48), depth=5.0, guide=3.0, denoise=0.95, residual=False, form="dcp", **common
    ):
        super().__init__(**common)
        if not 1 <= number <= 8 or form not in ("dcp", "plain"):
            raise ValueError(f"expected 1 to 8 steps and a form dcp or plain, not {number} and {form!r}")
        self.number, self.depth, self.guide, self.denoise = int(number), float(depth), float(guide), float(denoise)
        self.channels, self.residual, self.form = tuple(map(int, channels)), bool(residual), form
        # White noise of 0.018, half as much in every coarser band; depth near that of day, no guide; no veil, no tint.
        levels = [-4.0 - band * math.log(2) for band in range(BANDS)]
        self.trunk = Trunk(self.channels, ([*levels, -1.5, 0.0], [-4.0] * 3 + [0.0] * 3), self.number)

    def steps(self, images, gate):
        return [image for image, _ in self.path(images, gate, foresee=False)]

    def path(self, images, gate, foresee=True):
        """After each step (image, the clean image as it was foreseen before the step): [((B, 3, H, W), the same)].

        The last two are equal. Images are float32 whatever the network computes in, and in [0, 1]. foresee: False
        gives None for what was foreseen.
        """
        height, width = images.shape[2:]
        gate = gate[:, None, None, None]
        out, image = [], whole_cells(images)
        for step in range(self.number, 0, -1):
            clean, value, attenuation, veil = self._estimate(image, gate, step - 1)
            following = foreseen = self._back(clean, value, attenuation, veil)
            if step > 1:
                foreseen = self._back(clean, value, attenuation**step, veil) if foresee else None
                if self.residual:
                    kept = self._residual_share(value, attenuation, step)
                    following = (following + kept * (image - clean)).clamp(0, 1)
            image = following
            out.append(tuple(x if x is None else x[..., :height, :width] for x in (image, foreseen)))
        return out

    def _back(self, clean, value, attenuation, veil):
        if self.form == "dcp":
            return dehaze(clean, attenuation, veil, value).clamp(0, 1)
        return ((clean - veil) / attenuation + veil).clamp(0, 1)

    def _residual_share(self, value, attenuation, step):
        attenuation = attenuation.mean(dim=1, keepdim=True).clamp(max=1)  # a tint alone passes no more than all
        passed = [attenuation**steps for steps in (1, step)]
        if self.form == "dcp":
            passed = [transmission(value, each) for each in passed]
        return residual_share(*passed)

    def _estimate(self, image, gate, step):
        """The image without its noise, its brightness, the attenuation of this step per channel, the veil."""
        bands = pyramid(image)
        maps, values = self.trunk(bands, step)
        noise, depth, slope = self._enlarge(bands, maps, gate)
        clean = (image - noise).clamp(0, 1)
        veil, tint = values[:, :, None, None].split(3, dim=1)
        veil = gate * self.VEIL * torch.sigmoid(veil)
        value = brightness(clean, veil)
        depth = self.depth / self.number * torch.sigmoid(torch.addcmul(depth, slope, value))
        tint = self.TINT / 2 * torch.tanh(tint)
        tint = torch.exp(-gate * (tint - tint.mean(dim=1, keepdim=True)))
        attenuation = (torch.exp(-gate * depth) * tint).clamp(max=math.exp(-self.LEAST_DEPTH))
        return clean, value, attenuation, veil

    def _enlarge(self, bands, maps, gate):
        """Maps over cells at full size: the noise (B, 3, H, W), and of the depth's logit the part that is the same for
        all tones and its slope over brightness, (B, 1, H, W) each.
        """

        # Squared: what is brightened by less shows less noise, and blurring it costs a small target its contrast.
        share_at_most = self.denoise * gate.square()

        def share(level, energy):
            # A Wiener factor, soft: noise has the energy exp(2 level), and the band's own about here is known.
            return share_at_most * torch.sigmoid(SHARPNESS * (2 * level - torch.log(energy)))

        fine_levels, coarse_level, depth, slope = maps.split([BANDS - 1, 1, 1, 1], dim=1)
        slope = self.guide * torch.tanh(slope)
        coarse = share(coarse_level, bands.coarse_energy) * bands.coarse
        halves = enlarged(torch.cat([fine_levels, depth - slope / 2, slope, coarse], dim=1))
        fine, middle = share(halves[:, :2], bands.energies).split(1, dim=1)
        noise = torch.addcmul(halves[:, 4:], middle, bands.middle)
        whole = enlarged(torch.cat([fine, halves[:, 2:4], noise], dim=1))
        return torch.addcmul(whole[:, 3:], whole[:, :1], bands.fine), whole[:, 1:2], whole[:, 2:3]
