"""What the enhancer is measured against, behind the same interface: simple, classical, and an iterated curve.

common: of every one, gate, average and strength, see Enhancer.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .base import Enhancer
from .trunk import Trunk, enlarged, pyramid, whole_cells


class Average(Enhancer):
    """Frames averaged over time (averaging.py), and nothing else: of a single image, that image."""

    type = "average"

    def __init__(self, **common):
        super().__init__(**{"average": True, **common})

    def steps(self, images, gate):
        return [images]


class _Pointwise(Enhancer):
    """An enhancer whose one step is a function of the image alone, blended in by the gate."""

    def steps(self, images, gate):
        gate = gate[:, None, None, None]
        return [(images + gate * (self.change(images) - images)).clamp(0, 1)]

    def change(self, images):
        raise NotImplementedError


class Gamma(_Pointwise):
    """images ** power."""

    type = "gamma"
    own = ("power",)

    def __init__(self, power=0.45, **common):
        super().__init__(**common)
        self.power = float(power)

    def change(self, images):
        return images**self.power


class Blur(_Pointwise):
    """A Gaussian blur; sigma in px."""

    type = "blur"
    own = ("sigma",)

    def __init__(self, sigma=1.0, **common):
        super().__init__(**common)
        self.sigma = float(sigma)
        reach = max(1, round(3 * self.sigma))
        line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / self.sigma) ** 2)
        self.register_buffer("line", line / line.sum(), persistent=False)

    def change(self, images):
        count = len(self.line)
        padded = F.pad(images, (count // 2,) * 4, mode="replicate").flatten(0, 1)[:, None]
        across = F.conv2d(padded, self.line.view(1, 1, 1, count))
        return F.conv2d(across, self.line.view(1, 1, count, 1)).view_as(images)


class BlurGamma(Blur):
    """A Gaussian blur, then images ** power."""

    type = "blur_gamma"
    own = ("sigma", "power")

    def __init__(self, sigma=1.0, power=0.45, **common):
        super().__init__(sigma, **common)
        self.power = float(power)

    def change(self, images):
        return super().change(images) ** self.power


class Clahe(_Pointwise):
    """Contrast limited adaptive histogram equalisation of the lightness (Zuiderveld 1994; OpenCV's). No gradient."""

    type = "clahe"
    own = ("clip",)

    def __init__(self, clip=2.0, **common):
        super().__init__(**common)
        self.clip = float(clip)

    def change(self, images):
        equalise = cv2.createCLAHE(self.clip, (8, 8))
        out = []
        for image in (images.detach().permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy():
            lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
            lab[..., 0] = equalise.apply(lab[..., 0])
            out.append(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))
        return torch.from_numpy(np.stack(out)).to(images.device).permute(0, 3, 1, 2).float() / 255


class DarkChannel(_Pointwise):
    """Inverted dark channel prior (Dong et al. 2011): dehaze the inverted image with t = 1 - weight * dark channel.

    As there, the airlight is the lightest of the inverted image's haziest pixels, and a transmission below a half is
    lowered further.
    """

    type = "dcp"
    own = ("weight",)
    PATCH, HAZIEST = 7, 100  # px; pixels

    def __init__(self, weight=0.8, **common):
        super().__init__(**common)
        self.weight = float(weight)

    def change(self, images):
        hazy = 1 - images
        least = -F.max_pool2d(-hazy.amin(dim=1, keepdim=True), self.PATCH, 1, self.PATCH // 2)
        flat = hazy.flatten(2)
        haziest = least.flatten(2).topk(min(self.HAZIEST, flat.shape[2]), dim=2).indices
        among = flat.gather(2, haziest.expand(-1, 3, -1))
        lightest = among.sum(dim=1, keepdim=True).argmax(dim=2, keepdim=True).expand(-1, 3, -1)
        air = among.gather(2, lightest)[..., None].clamp(min=0.05)
        dark = -F.max_pool2d(-(hazy / air).amin(dim=1, keepdim=True), self.PATCH, 1, self.PATCH // 2)
        passes = 1 - self.weight * dark.clamp(0, 1)
        passes = torch.where(passes < 0.5, 2 * passes**2, passes)
        return 1 - ((hazy - air) / passes.clamp(min=0.05) + air).clamp(0, 1)


class Curve(Enhancer):
    """Eight iterations of u + a u (1 - u), the curve of Zero-DCE (arXiv:2001.06826), on the trunk of HazeDiffusion."""

    type = "curve"
    own = ("channels",)
    ITERATIONS = 8

    def __init__(self, channels=(16, 32, 48), **common):
        super().__init__(**common)
        self.channels = tuple(map(int, channels))
        self.trunk = Trunk(self.channels, ([0.1] * self.ITERATIONS, [0.0]))

    def steps(self, images, gate):
        return [image for image, _ in self.path(images, gate)]

    def path(self, images, gate):
        """As HazeDiffusion.path, of one step."""
        maps, _ = self.trunk(pyramid(whole_cells(images)))
        maps = enlarged(enlarged(maps))[..., : images.shape[2], : images.shape[3]]
        out = images
        for strength in (gate[:, None, None, None] * torch.tanh(maps)).split(1, dim=1):
            out = out + strength * out * (1 - out)
        return [(out, out)]


class SelfCalibrated(_Pointwise):
    """SCI (arXiv:2204.10137) as it works after training: the image over its illumination, found by three convolutions.

    The networks that the authors released are state dicts; `from_release` takes one. Their self-calibration is used in
    training alone and is left out.
    """

    type = "sci"
    LEAST = 1e-4  # of the illumination
    RELEASED, UNUSED = "enhance.", ("enhance.blocks.", "calibrate.")  # blocks: other names of `enhance.conv`

    def __init__(self, **common):
        super().__init__(**common)
        self.in_conv = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1))
        self.conv = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))
        self.out_conv = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1))
        self.eval()

    def train(self, mode=True):
        """Stay in evaluation: it is not trained here, and the statistics of its normalisation are part of it."""
        return super().train(False)

    @classmethod
    def from_release(cls, state):
        """An enhancer of a released state dict. Raises ValueError where it is none."""
        if not isinstance(state, dict):
            raise ValueError("holds no state dict of SCI")
        kept = {
            str(name).removeprefix(cls.RELEASED): value
            for name, value in state.items()
            if not str(name).startswith(cls.UNUSED)
        }
        enhancer = cls()
        expected = enhancer.state_dict()
        for name in sorted({*expected, *kept}):
            value = kept.get(name)
            if name not in expected or not torch.is_tensor(value) or value.shape != expected[name].shape:
                raise ValueError(f"{name} is not as SCI has it")
            if not value.isfinite().all():
                raise ValueError(f"{name} holds NaN or infinite values")
        enhancer.load_state_dict(kept)
        return enhancer

    def change(self, images):
        features = F.relu(self.in_conv(images))
        features = features + F.relu(self.conv(features))
        illumination = torch.sigmoid(self.out_conv(features)).float() + images
        return images / illumination.clamp(self.LEAST, 1)
