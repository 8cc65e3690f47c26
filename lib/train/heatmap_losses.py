"""Losses of heat maps in which nearly every cell is dark: TrackNetV2's weighted cross-entropy, and those of WASB."""

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE_WEIGHTS = (0.5, 0.4, 0.3, 0.2)  # of MMFNet's side maps, strides 1 to 8
_SMALLEST = 1e-7  # of a probability before its logarithm, TrackNetV3
_WASB_SMALLEST = 1e-4  # the same in WASB, also from 1


def weighted_bce(probabilities: Tensor, labels: Tensor, smallest: float = _SMALLEST) -> Tensor:
    """TrackNetV2's loss: mean of -(1 - p)^2 y log p - p^2 (1 - y) log(1 - p).

    Args:
        probabilities (...): p in [0, 1].
        labels (...): y in [0, 1], binary or soft.
        smallest: lower limit of p and 1 - p in the logarithms.

    Returns:
        The mean over all cells, a scalar.
    """
    return _weighted_bce(probabilities, labels, smallest).mean()


def _weighted_bce(p, y, smallest):
    bright = (1 - p) ** 2 * y * p.clamp(smallest, 1).log()
    dark = p**2 * (1 - y) * (1 - p).clamp(smallest, 1).log()
    return -(bright + dark)


def weighted_bce_with_logits(logits: Tensor, labels: Tensor) -> Tensor:
    """The same from logits, without a limit: the gradient of a cell that is surely wrong does not vanish.

    Args:
        logits (...): of p.
        labels (...): y in [0, 1].

    Returns:
        The mean over all cells, a scalar.
    """
    p = logits.sigmoid()
    cells = -((1 - p) ** 2 * labels * F.logsigmoid(logits) + p**2 * (1 - labels) * F.logsigmoid(-logits))
    return cells.mean()


def deep_supervision(fused: Tensor, sides: Tensor, labels: Tensor, weights: tuple = SIDE_WEIGHTS) -> Tensor:
    """MMFNet's loss: of the fused maps, and of every side map with its weight.

    Args:
        fused (B, N, H, W): logits.
        sides (B, S, N, H, W): logits.
        labels (B, N, H, W): in [0, 1].
        weights (S,): of the side maps; the fused maps have 1.

    Returns:
        The weighted sum, a scalar.
    """
    total = weighted_bce_with_logits(fused, labels)
    for weight, side in zip(weights, sides.unbind(1), strict=True):
        total = total + weight * weighted_bce_with_logits(side, labels)
    return total


def wasb_loss(logits: Tensor, labels: Tensor, kind: str = "wbce") -> Tensor:
    """The losses that WASB's code offers.

    Args:
        logits (...): of the maps.
        labels (...): in [0, 1].
        kind: "wbce" as `weighted_bce`, "bce" cross-entropy, "focal" focal loss of exponent 2 (the same number as
            "wbce"), "qfl" quality focal loss with exponent 2 on the distance to the label.

    Returns:
        The mean over all cells, a scalar.
    """
    p = logits.sigmoid().clamp(_WASB_SMALLEST, 1 - _WASB_SMALLEST)
    entropy = -(labels * p.log() + (1 - labels) * (1 - p).log())
    if kind == "bce":
        return entropy.mean()
    if kind == "qfl":
        return ((p - labels).abs() ** 2 * entropy).mean()
    if kind in ("wbce", "focal"):
        return weighted_bce(p, labels, 0.0)
    raise ValueError(f"expected wbce, bce, focal or qfl, found {kind!r}")


def mix(images: Tensor, labels: Tensor, share: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """Mix-up: blend every window and its labels with another one of the batch.

    Args:
        images (B, ...): windows.
        labels (B, ...): their maps.
        share (B,): of the window itself, in [0.5, 1]; TrackNetV3 draws it from Beta(0.5, 0.5).
        order (B,): index of the other window.

    Returns:
        Blended images and labels.
    """

    def blend(values):
        weights = share.reshape(-1, *[1] * (values.dim() - 1))
        return torch.lerp(values[order], values, weights)

    return blend(images), blend(labels)
