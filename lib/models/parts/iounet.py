"""The IoU-Net of ATOM (arXiv:1811.07628): predicts the IoU of boxes with the target, and refines boxes by gradients."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from .roi_pooling import precise_roi_pool

Pair = tuple[Tensor, Tensor]
Space = Literal["default", "relative"]


def _conv(inputs: int, outputs: int, kernel: int = 3, padding: int = 1) -> nn.Sequential:
    layers = nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    nn.init.kaiming_normal_(layers[0].weight, mode="fan_in")
    nn.init.zeros_(layers[0].bias)
    return nn.Sequential(*layers)


class PooledLinear(nn.Module):
    """A linear layer over all bins of a pooled box, with batch norm and ReLU.

    Args:
        inputs: channels of the pooled box.
        outputs: channels of the result.
        bins: bins a side.
    """

    def __init__(self, inputs: int, outputs: int, bins: int):
        super().__init__()
        self.linear = nn.Linear(inputs * bins * bins, outputs)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, bins, bins) to (N, outputs)."""
        return self.bn(self.linear(x.flatten(1))).relu()


class IoUNet(nn.Module):
    """Predicts the IoU of boxes in a frame with the target that a reference frame shows.

    The reference frame gives one modulation vector for each of two feature levels, fine and coarse. The test frame's
    features are multiplied by these vectors and pooled in each box. A linear layer then predicts a value that grows
    with the IoU. The keys are those of the released checkpoints.

    Args:
        inputs: channels of the features of the two levels.
        hidden: channels of the convolved test features, for both levels.
        outputs: channels of the pooled linear layers, for both levels.
        width: channels of the layers before them.
        strides: px per cell of the two levels.
    """

    def __init__(
        self,
        inputs: tuple[int, int],
        hidden: tuple[int, int] = (256, 256),
        outputs: tuple[int, int] = (256, 256),
        width: int = 256,
        strides: tuple[int, int] = (8, 16),
    ):
        super().__init__()
        self.strides = strides
        self.conv3_1r = _conv(inputs[0], width // 2)
        self.conv3_1t = _conv(inputs[0], width)
        self.conv3_2t = _conv(width, hidden[0])
        self.fc3_1r = _conv(width // 2, width, 3, padding=0)
        self.conv4_1r = _conv(inputs[1], width)
        self.conv4_1t = _conv(inputs[1], width)
        self.conv4_2t = _conv(width, hidden[1])
        self.fc34_3r = _conv(2 * width, hidden[0], 1, padding=0)
        self.fc34_4r = _conv(2 * width, hidden[1], 1, padding=0)
        self.fc3_rt = PooledLinear(hidden[0], outputs[0], 5)
        self.fc4_rt = PooledLinear(hidden[1], outputs[1], 3)
        self.iou_predictor = nn.Linear(sum(outputs), 1)

    def modulation(self, features: Pair, boxes: Tensor) -> Pair:
        """Compute the modulation vectors of targets in reference frames.

        Args:
            features: backbone features of the two levels, (B, C2, H, W) and (B, C3, H/2, W/2).
            boxes (B, 4): target boxes xywh, px.

        Returns:
            Vectors (B, hidden[0], 1, 1) and (B, hidden[1], 1, 1).
        """
        boxes = boxes[:, None]
        fine = self.fc3_1r(precise_roi_pool(self.conv3_1r(features[0]), boxes, 3, self.strides[0])[:, 0])
        coarse = precise_roi_pool(self.conv4_1r(features[1]), boxes, 1, self.strides[1])[:, 0]
        both = torch.cat([fine, coarse], dim=1)
        return self.fc34_3r(both), self.fc34_4r(both)

    def features(self, features: Pair) -> Pair:
        """Convolve the backbone features of test frames, of the two levels, for `predict`."""
        return self.conv3_2t(self.conv3_1t(features[0])), self.conv4_2t(self.conv4_1t(features[1]))

    def pooled(self, modulation: Pair, features: Pair, boxes: Tensor) -> Pair:
        """Pool the modulated features in boxes.

        Args:
            modulation: result of `modulation` for B targets.
            features: result of `features` for B frames.
            boxes (B, N, 4): xywh, px.

        Returns:
            (B, N, hidden[0], 5, 5) and (B, N, hidden[1], 3, 3).
        """
        fine = precise_roi_pool(features[0] * modulation[0], boxes, 5, self.strides[0])
        return fine, precise_roi_pool(features[1] * modulation[1], boxes, 3, self.strides[1])

    def predict(self, modulation: Pair, features: Pair, boxes: Tensor) -> Tensor:
        """Predict the quality (B, N) of boxes (B, N, 4) xywh, px. Arguments: see `pooled`.

        In ATOM and DiMP the quality is trained to equal 2 IoU - 1, in PrDiMP the logarithm of a density.
        """
        return self.rate(self.pooled(modulation, features, boxes))

    def rate(self, pooled: Pair) -> Tensor:
        """Predict the quality (B, N) of boxes from the result of `pooled`."""
        fine, coarse = pooled
        vector = torch.cat([self.fc3_rt(fine.flatten(0, 1)), self.fc4_rt(coarse.flatten(0, 1))], dim=1)
        return self.iou_predictor(vector).view(fine.shape[:2])


def build_iou_net(channels: Mapping[str, int], strides: Mapping[str, int], width: int) -> IoUNet:
    """Build the IoU-Net of a backbone.

    Args:
        channels, strides: of the backbone's "layer2" and "layer3".
        width: channels of all layers.
    """
    levels = "layer2", "layer3"
    return IoUNet(
        tuple(channels[level] for level in levels),
        hidden=(width, width),
        outputs=(width, width),
        width=width,
        strides=tuple(strides[level] for level in levels),
    )


def to_relative(boxes: Tensor, size: Tensor) -> Tensor:
    """Convert boxes xywh (..., 4) to (cx / size_w, cy / size_h, log w, log h). size (..., 2): w and h, px."""
    return torch.cat([(boxes[..., :2] + boxes[..., 2:] / 2) / size, boxes[..., 2:].log()], dim=-1)


def from_relative(relative: Tensor, size: Tensor) -> Tensor:
    """The inverse of `to_relative`."""
    extent = relative[..., 2:].exp()
    return torch.cat([relative[..., :2] * size - extent / 2, extent], dim=-1)


def refine_boxes(
    iou_net: IoUNet,
    modulation: Pair,
    features: Pair,
    boxes: Tensor,
    space: Space,
    iterations: int,
    step_length: float,
    step_decay: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Refine boxes by gradient ascent on the predicted quality.

    In the space "default" the variables are x, y, w, h, and each gradient is multiplied by the box's width or height
    (ATOM). In the space "relative" they are those of `to_relative` (PrDiMP, arXiv:2003.12565).
    With a decay below 1, a box whose quality did not rise returns to its position before the last step, and its steps
    become shorter.

    Args:
        iou_net: the network.
        modulation: modulation vectors of B targets.
        features: result of `IoUNet.features` for B frames.
        boxes (B, N, 4): start boxes xywh, px. In the relative space the size of the first box is the unit of length.
        space: coordinates in which the steps are made.
        iterations: number of steps, at least 1.
        step_length: factor of the gradient.
        step_decay: factor of a box's step length after a step that did not raise the quality.

    Returns:
        The boxes (B, N, 4), and the predicted qualities (B, N) before the last step.
    """
    unit = boxes[:, :1, 2:].clone()
    current = boxes.detach().clone() if space == "default" else to_relative(boxes.detach(), unit)
    length = torch.full_like(current[..., :1], step_length)
    best = torch.full_like(current[..., 0], -torch.inf)
    last_step = torch.zeros_like(current)
    for _ in range(iterations):
        with torch.enable_grad():
            current = current.detach().requires_grad_()
            xywh = current if space == "default" else from_relative(current, unit)
            predicted = iou_net.predict(modulation, features, xywh)
            (gradient,) = torch.autograd.grad(predicted.sum(), current)
        predicted, current = predicted.detach(), current.detach()
        step = length * gradient
        if space == "default":
            step = step * current[..., 2:].repeat(1, 1, 2)
        if step_decay < 1:
            rose = (predicted > best)[..., None]
            length = torch.where(rose, length, length * step_decay)
            step = torch.where(rose, step, -last_step)
        best, last_step = predicted, step
        current = current + step
    return (current if space == "default" else from_relative(current, unit)), best
