"""Optimisers that learn a filter online: steepest descent (DiMP, PrDiMP, Super-DiMP) and conjugate gradients (ATOM).

Scores are linear in the filter. A loss is therefore given as a function of the scores: its value, its gradient, and its
curvature along a direction. `steepest_descent` needs nothing else. Every step is differentiable, for training.
Sequences are independent: each has its own filter and its own step length.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .filters import apply_filter, apply_filter_transposed


@dataclass(frozen=True)
class ScoreLoss:
    """A loss at given scores (N, S, H, W), as `steepest_descent` needs it.

    Attributes:
        value (S,): the loss of each sequence, for the log.
        slope (N, S, H, W): gradient of the objective. The objective is the loss for PrDiMP, and half the loss for sums
            of squares.
        curvature: function from a change of the scores (N, S, H, W) to the second derivative along it (S,).
    """

    value: Tensor
    slope: Tensor
    curvature: Callable[[Tensor], Tensor]


def steepest_descent(
    loss: Callable[[Tensor], ScoreLoss],
    filters: Tensor,
    features: Tensor,
    iterations: int,
    weight_decay: Tensor,
    step_factor: Tensor | float = 1.0,
    damping: float = 0.0,
) -> tuple[list[Tensor], list[Tensor]]:
    """Minimise an objective of the scores plus weight_decay / 2 |filter|^2 by gradient steps of optimal length.

    The length of a step along the gradient g is
    step_factor |g|^2 / (curvature along g + (weight_decay + damping) |g|^2).
    The returned losses add weight_decay |filter|^2. For sums of squares they are twice the objective.

    Args:
        loss: function from scores to their ScoreLoss.
        filters (S, C, h, w): initial filters.
        features (N, S, C, H, W): the training samples.
        iterations: number of steps; 0 only computes the loss.
        weight_decay: factor of the filter's squared norm.
        step_factor: factor of the step.
        damping: added to the weight decay in the step's denominator.

    Returns:
        iterations + 1 filters (S, C, h, w), and as many losses. Each loss is the mean over the sequences.

    Source: Bhat et al., DiMP, arXiv:1904.07220, eq. 3 to 6.
    """

    def total(state, current):
        return (state.value + weight_decay * current.square().sum(dim=(1, 2, 3))).mean()

    iterates, losses = [filters], []
    for _ in range(iterations):
        state = loss(apply_filter(features, filters))
        losses.append(total(state, filters))
        gradient = apply_filter_transposed(features, state.slope, filters.shape[-2:]) + weight_decay * filters
        squared = gradient.square().sum(dim=(1, 2, 3))
        curvature = state.curvature(apply_filter(features, gradient)) + (weight_decay + damping) * squared
        step = step_factor * squared / curvature.clamp(min=1e-8)
        filters = filters - step[:, None, None, None] * gradient
        iterates.append(filters)
    losses.append(total(loss(apply_filter(features, filters)), filters))
    return iterates, losses


def _squared_loss(residual: Tensor, slope_of_residual: Tensor) -> ScoreLoss:
    """The ScoreLoss of a sum of squared residuals, with the Gauss-Newton curvature."""
    return ScoreLoss(
        residual.square().sum(dim=(0, 2, 3)),
        slope_of_residual * residual,
        lambda change: (slope_of_residual * change).square().sum(dim=(0, 2, 3)),
    )


def _sample_weights(weights: Tensor | None, features: Tensor) -> Tensor:
    """Reshape weights (N,) or (N, S) to (N, 1 or S, 1, 1). None stands for equal weights that sum to 1."""
    images = features.shape[0]
    if weights is None:
        return features.new_full((images, 1, 1, 1), 1 / images)
    return weights.reshape(images, -1, 1, 1)


def _sizes(filters: Tensor, features: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
    """Height and width of filters (..., h, w), and of the scores that they give on features (..., H, W)."""
    height, width = filters.shape[-2:]
    return (height, width), (features.shape[-2] + 1 - height % 2, features.shape[-1] + 1 - width % 2)


def _leaky(scores: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Leaky ReLU: multiply negative scores by a slope in [0, 1]. Returns values and derivatives (mean at 0)."""
    up, down = (1 + slope) / 2, (1 - slope) / 2
    return down * scores.abs() + up * scores, down * scores.sign() + up


def _smooth_leaky(scores: Tensor, slope: Tensor, bend: float) -> tuple[Tensor, Tensor]:
    """Leaky ReLU with a corner that is rounded over a width of about `bend`. Returns values and derivatives."""
    up, down = (1 + slope) / 2, (1 - slope) / 2
    root = (scores.square() + 4 * bend**2).sqrt()
    return down * (root - 2 * bend) + up * scores, down * scores / root + up


def _activation(scores: Tensor, slope: Tensor, bend: float | None) -> tuple[Tensor, Tensor]:
    return _leaky(scores, slope) if bend is None else _smooth_leaky(scores, slope, bend)


def target_cells(boxes: Tensor, stride: int, filter_size: tuple[int, int]) -> Tensor:
    """Convert the centres of boxes to cells of the score map.

    Args:
        boxes (..., 4): xywh, px.
        stride: px per cell.
        filter_size: height and width of the filter. An even size shifts the score map by half a cell.

    Returns:
        (..., 2) row and column, in cells.
    """
    centre = (boxes[..., :2] + boxes[..., 2:] / 2) / stride
    offset = torch.tensor([size % 2 / 2 for size in filter_size], device=boxes.device, dtype=boxes.dtype)
    return centre.flip(-1) - offset


def distance_bins(centre: Tensor, size: tuple[int, int], bins: int, width: float) -> Tensor:
    """Encode the distance of each cell from a centre as weights of triangular bins.

    The weights of a cell sum to 1. The last bin also covers all larger distances.

    Args:
        centre (M, 2): row and column, in cells.
        size: rows and columns of the map.
        bins: number of bins; bin k is centred at k * width.
        width: cells between the centres of two bins.

    Returns:
        (M, bins, rows, columns) in [0, 1].
    """
    rows = torch.arange(size[0], device=centre.device, dtype=centre.dtype) - centre[:, :1]
    columns = torch.arange(size[1], device=centre.device, dtype=centre.dtype) - centre[:, 1:]
    # At the centre vector_norm has gradient 0; the root of a sum of squares would have NaN.
    across = torch.stack(torch.broadcast_tensors(rows[:, :, None], columns[:, None]))
    distance = torch.linalg.vector_norm(across, dim=0) / width
    offset = distance[:, None] - torch.arange(bins, device=centre.device, dtype=centre.dtype)[:, None, None]
    inner = (1 - offset[:, :-1].abs()).clamp(min=0)
    return torch.cat([inner, (1 + offset[:, -1:]).clamp(0, 1)], dim=1)


def gaussian_label(centre: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Draw Gaussians of height 1.

    Args:
        centre (..., 2): row and column, cells.
        size: rows and columns of the map.
        sigma: standard deviation, cells; 0 for a single 1 in the nearest cell.

    Returns:
        (..., rows, columns).
    """
    rows = torch.arange(size[0], device=centre.device, dtype=centre.dtype) - centre[..., :1]
    columns = torch.arange(size[1], device=centre.device, dtype=centre.dtype) - centre[..., 1:]
    if sigma == 0:
        rows, columns = ((row.abs() == row.abs().amin(-1, keepdim=True)).to(centre) for row in (rows, columns))
    else:
        rows, columns = (torch.exp(-row.square() / (2 * sigma**2)) for row in (rows, columns))
    return rows[..., :, None] * columns[..., None, :]


class _LearnedDescent(nn.Module):
    """Steepest descent with a learned step length and a learned weight decay: the base of the two optimisers below.

    Args:
        iterations: number of steps, unless the caller gives another one.
        stride: px per cell.
        step_length: initial value of the learned factor of each step.
        weight_decay: initial value of the root of the learned weight decay.
        min_weight_decay: lower limit of that root.
        damping: added to the weight decay in the step's denominator.
    """

    def __init__(
        self,
        iterations: int,
        stride: int,
        step_length: float,
        weight_decay: float,
        min_weight_decay: float,
        damping: float,
    ):
        super().__init__()
        self.iterations, self.stride, self.damping = iterations, stride, damping
        self.min_weight_decay = min_weight_decay
        self.log_step_length = nn.Parameter(torch.tensor([math.log(step_length)]))
        self.filter_reg = nn.Parameter(torch.tensor([float(weight_decay)]))

    def descend(
        self, loss: Callable[[Tensor], ScoreLoss], filters: Tensor, features: Tensor, iterations: int | None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """`steepest_descent` with the learned step length and weight decay."""
        decay = self.filter_reg.square().clamp(min=self.min_weight_decay**2)
        steps = self.iterations if iterations is None else iterations
        return steepest_descent(loss, filters, features, steps, decay, self.log_step_length.exp(), self.damping)


class DiMPOptimiser(_LearnedDescent):
    """DiMP's optimiser: least squares with a learned label, target mask and spatial weight.

    The residual is v (a(score) - y). The label y, the weight v and the mask m in [0, 1] are learned functions of the
    distance between a cell and the target's centre. The activation is a(s) = s for s > 0 and a(s) = m s for s < 0. Far
    from the target, where m is small, the loss is therefore a hinge loss.

    Args:
        iterations, stride, step_length, weight_decay, min_weight_decay, damping: see _LearnedDescent.
        sigma: standard deviation of the initial Gaussian label, cells; 0 for a 1 in the first bin.
        bins: number of distance bins.
        bin_width: cells between the centres of two bins.
        mask_factor: height of the initial mask before its activation.
        mask: activation of the mask, "sigmoid" or "linear".
        bend: width over which the corner of the activation is rounded; None for a sharp corner.

    Source: Bhat et al., arXiv:1904.07220, sections 3.1 to 3.3.
    """

    def __init__(
        self,
        iterations: int,
        stride: int,
        step_length: float,
        weight_decay: float,
        min_weight_decay: float,
        sigma: float,
        bins: int,
        bin_width: float,
        mask_factor: float,
        mask: str = "sigmoid",
        bend: float | None = None,
        damping: float = 0.0,
    ):
        super().__init__(iterations, stride, step_length, weight_decay, min_weight_decay, damping)
        self.bin_width, self.bend = bin_width, bend
        # 1x1 convolutions over the bins, named as in the released checkpoints.
        self.label_map_predictor = nn.Conv2d(bins, 1, 1, bias=False)
        self.target_mask_predictor = nn.Sequential(
            nn.Conv2d(bins, 1, 1, bias=False), *([nn.Sigmoid()] if mask == "sigmoid" else [])
        )
        self.spatial_weight_predictor = nn.Conv2d(bins, 1, 1, bias=False)
        distance = torch.arange(bins, dtype=torch.float32) * bin_width
        if sigma == 0:
            label = (distance == 0).float()
        else:
            label = torch.exp(-distance.square() / (2 * sigma**2))
            label = label - label.min()
        target = mask_factor * torch.tanh(2 - distance)
        if mask == "linear":
            target = target + 0.5
        with torch.no_grad():
            self.label_map_predictor.weight.copy_(label.view(1, -1, 1, 1))
            self.target_mask_predictor[0].weight.copy_(target.view(1, -1, 1, 1))
            self.spatial_weight_predictor.weight.fill_(1)

    def maps(self, boxes: Tensor, size: tuple[int, int], filter_size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the label, the target mask and the spatial weight of every score.

        Args:
            boxes (N, S, 4): the target's boxes xywh, px.
            size: rows and columns of the score map.
            filter_size: height and width of the filter.

        Returns:
            Label, target mask and spatial weight, each (N, S, rows, columns).
        """
        centre = target_cells(boxes, self.stride, filter_size).flatten(0, 1)
        weight = self.label_map_predictor.weight
        distance = distance_bins(centre, size, weight.shape[1], self.bin_width)
        predictors = self.label_map_predictor, self.target_mask_predictor, self.spatial_weight_predictor
        return tuple(predict(distance).view(*boxes.shape[:2], *size) for predict in predictors)

    def forward(
        self,
        filters: Tensor,
        features: Tensor,
        boxes: Tensor,
        sample_weights: Tensor | None = None,
        iterations: int | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Update filters on training samples.

        Args:
            filters (S, C, h, w): initial filters.
            features (N, S, C, H, W): N samples of each of S sequences.
            boxes (N, S, 4): the target's boxes xywh, px.
            sample_weights (N,) or (N, S): weights of the samples. None for equal weights.
            iterations: number of steps. None for the constructor's number.

        Returns:
            See `steepest_descent`.
        """
        filter_size, size = _sizes(filters, features)
        label, mask, weight = self.maps(boxes, size, filter_size)
        weight = weight * _sample_weights(sample_weights, features).sqrt()

        def loss(scores):
            activated, slope = _activation(scores, mask, self.bend)
            return _squared_loss(weight * (activated - label), weight * slope)

        return self.descend(loss, filters, features, iterations)


class HingeOptimiser(nn.Module):
    """Super-DiMP-simple's optimiser: least squares on a given label, with a hinge loss where the label is small.

    If a label is not above the threshold, the label and a negative score are multiplied by `leak`.

    Args:
        iterations: number of steps, unless the caller gives another one.
        weight_decay: initial value of the root of the learned weight decay.
        threshold: of the label.
        leak: factor in [0, 1].
        bend: width over which the corner of the activation is rounded; None for a sharp corner.
    """

    class _Residual(nn.Module):
        """Holds the learned weight decay under its name in released checkpoints."""

        def __init__(self, weight_decay):
            super().__init__()
            self.filter_reg = nn.Parameter(torch.tensor([float(weight_decay)]))

    def __init__(self, iterations: int, weight_decay: float, threshold: float, leak: float, bend: float | None = None):
        super().__init__()
        self.iterations, self.threshold, self.leak, self.bend = iterations, threshold, leak, bend
        self.residual_module = self._Residual(weight_decay)

    def forward(
        self,
        filters: Tensor,
        features: Tensor,
        labels: Tensor,
        sample_weights: Tensor | None = None,
        iterations: int | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Update filters on samples with labels (N, S, H', W'). The rest: see `DiMPOptimiser.forward`."""
        mask = torch.where(labels > self.threshold, 1.0, self.leak).to(features)
        weight = _sample_weights(sample_weights, features).sqrt()

        def loss(scores):
            activated, slope = _activation(scores, mask, self.bend)
            return _squared_loss(weight * (activated - mask * labels), weight * slope)

        steps = self.iterations if iterations is None else iterations
        return steepest_descent(loss, filters, features, steps, self.residual_module.filter_reg.square())


class PrDiMPOptimiser(_LearnedDescent):
    """PrDiMP's optimiser: minimises the KL divergence from a label density by steps of Newton's length.

    Args:
        iterations, stride, step_length, weight_decay, min_weight_decay, damping: see _LearnedDescent.
        sigma: standard deviation of the Gaussian label density, cells; 0 for a 1 in the nearest cell.
        normalise: make the label sum to 1 before shrinking and mixing.
        background: score of an additional background class in the softmax. None for no such class.
        threshold: label values up to this are set to 0.
        shrink: the label is multiplied by 1 - shrink.
        uniform: share of a uniform density in the label.

    Source: Danelljan et al., arXiv:2003.12565, section 4.
    """

    def __init__(
        self,
        iterations: int,
        stride: int,
        step_length: float,
        weight_decay: float,
        min_weight_decay: float,
        sigma: float,
        damping: float,
        normalise: bool = True,
        background: float | None = None,
        threshold: float = 0.0,
        shrink: float = 0.0,
        uniform: float = 0.0,
    ):
        super().__init__(iterations, stride, step_length, weight_decay, min_weight_decay, damping)
        self.sigma, self.normalise, self.background = sigma, normalise, background
        self.threshold, self.shrink, self.uniform = threshold, shrink, uniform

    def label(self, boxes: Tensor, size: tuple[int, int], filter_size: tuple[int, int]) -> Tensor:
        """Compute the label density (N, S, rows, columns). Arguments: see DiMPOptimiser.maps."""
        density = gaussian_label(target_cells(boxes, self.stride, filter_size), size, self.sigma)
        if self.sigma > 0:
            density = density / (2 * math.pi * self.sigma**2)
        density = torch.where(density > self.threshold, density, 0.0)
        if self.normalise:
            density = density / (density.sum(dim=(-2, -1), keepdim=True) + 1e-8)
        return (1 - self.shrink) * ((1 - self.uniform) * density + self.uniform / (size[0] * size[1]))

    def forward(
        self,
        filters: Tensor,
        features: Tensor,
        boxes: Tensor,
        sample_weights: Tensor | None = None,
        iterations: int | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Update filters on training samples. See `DiMPOptimiser.forward`."""
        filter_size, size = _sizes(filters, features)
        label = self.label(boxes, size, filter_size)
        weight = _sample_weights(sample_weights, features)

        def loss(scores):
            flat = scores.flatten(2)
            if self.background is not None:
                flat = torch.cat([flat, flat.new_full((*flat.shape[:2], 1), self.background)], dim=2)
            log_sum = flat.logsumexp(dim=2)
            density = (scores - log_sum[..., None, None]).exp()

            def curvature(change):
                along = density * change
                spread = (along * change).sum(dim=(2, 3)) - along.sum(dim=(2, 3)).square()
                return (weight[..., 0, 0] * spread).sum(dim=0)

            value = (weight[..., 0, 0] * (log_sum - (label * scores).sum(dim=(2, 3)))).sum(dim=0)
            return ScoreLoss(value, weight * (density - label), curvature)

        return self.descend(loss, filters, features, iterations)
