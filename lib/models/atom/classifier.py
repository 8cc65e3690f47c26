"""ATOM's classifier: a projection and a small filter, learned online by Gauss-Newton and conjugate gradients.

All functions are pure. The projection (D, C, 1, 1) reduces the channels of features (N, C, H, W), and the filter
(1, D, h, w) maps the projected features to scores.

Source: Danelljan et al., arXiv:1811.07628, section 3.2.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Tensors = tuple[Tensor, ...]
Rule = Literal["fletcher_reeves", "polak_ribiere"]


def normalise_features(features: Tensor) -> Tensor:
    """Divide each sample (N, C, H, W) by the root of its mean square."""
    return features / (features.square().mean(dim=(1, 2, 3), keepdim=True) + 1e-10).sqrt()


def filter_scores(samples: Tensor, filters: Tensor) -> Tensor:
    """Correlate samples with a filter. The scores have the size of the samples.

    Args:
        samples (N, D, H, W): projected features.
        filters (1, D, h, w): the filter. With an even size, scores are shifted half a cell up and left.

    Returns:
        (N, 1, H, W).
    """
    height, width = filters.shape[-2:]
    scores = F.conv2d(samples, filters, padding=(height // 2, width // 2))
    return scores[..., : samples.shape[-2], : samples.shape[-1]]


def _soft_rectified(scores: Tensor, floor: float) -> Tensor:
    """CELU: positive scores are unchanged. Negative ones follow an exponential with slope 1 at 0 and limit -floor."""
    positive = scores > 0
    # Large scores are replaced first, because their exponential and its gradient would be infinite.
    return torch.where(positive, scores, floor * torch.expm1(scores.masked_fill(positive, 0) / floor))


def _dot(left: Tensors, right: Tensors) -> Tensor:
    return sum((a * b).sum() for a, b in zip(left, right, strict=True))


def conjugate_gradients(
    product: Callable[[Tensors], Tensors],
    residual: Tensors,
    iterations: int,
    precondition: Callable[[Tensors], Tensors],
    rule: Rule,
) -> Tensors:
    """Solve product(x) = residual approximately, from x = 0.

    Args:
        product: a symmetric positive definite linear map.
        residual: right-hand side.
        iterations: number of steps.
        precondition: an approximate inverse of the map.
        rule: formula for the share of the last direction in the new one.

    Returns:
        x.
    """
    x = tuple(torch.zeros_like(part) for part in residual)
    direction = last_residual = last_rho = None
    for _ in range(iterations):
        preconditioned = precondition(residual)
        rho = _dot(residual, preconditioned)
        if direction is None:
            direction = preconditioned
        else:
            new = rho if rule == "fletcher_reeves" else rho - _dot(last_residual, preconditioned)
            beta = (new / last_rho).clamp(min=0)
            direction = tuple(z + beta * p for z, p in zip(preconditioned, direction, strict=True))
        mapped = product(direction)
        curvature = _dot(direction, mapped)
        if curvature <= 0:
            break  # The residual is zero up to rounding errors.
        alpha = rho / curvature
        last_residual, last_rho = residual, rho
        x = tuple(part + alpha * p for part, p in zip(x, direction, strict=True))
        residual = tuple(part - alpha * q for part, q in zip(residual, mapped, strict=True))
    return x


def _gauss_newton_step(
    residuals: Callable[..., Tensors],
    variables: Tensors,
    iterations: int,
    diagonal: Tensors,
    rule: Rule,
) -> Tensors:
    """One Gauss-Newton step on a sum of squared residuals, by conjugate gradients preconditioned with a diagonal."""
    with torch.enable_grad():
        variables = tuple(variable.detach().requires_grad_() for variable in variables)
        now = residuals(*variables)
        # J^T c is linear in the cotangents c, and its gradient with respect to c gives the product with J.
        cotangents = tuple(torch.zeros_like(part, requires_grad=True) for part in now)
        transposed = torch.autograd.grad(now, variables, cotangents, create_graph=True)

    def times_transposed(vector):
        return torch.autograd.grad(now, variables, vector, retain_graph=True)

    def times_jacobian(vector):
        return torch.autograd.grad(transposed, cotangents, vector, retain_graph=True)

    right = tuple(-part for part in times_transposed(tuple(part.detach() for part in now)))
    step = conjugate_gradients(
        lambda vector: times_transposed(times_jacobian(vector)),
        right,
        iterations,
        lambda vector: tuple(part / value for part, value in zip(vector, diagonal, strict=True)),
        rule,
    )
    return tuple(variable.detach() + part for variable, part in zip(variables, step, strict=True))


def learn_first(
    samples: Tensor,
    labels: Tensor,
    sample_weights: Tensor,
    filters: Tensor,
    projection: Tensor,
    steps: int = 6,
    conjugate_iterations: int = 10,
    filter_decay: float = 0.1,
    projection_decay: float = 1e-4,
    floor: float = 0.05,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Learn the filter and the projection together on the first frame's samples.

    The loss is sum_i w_i |phi(P x_i * F) - y_i|^2 + filter_decay |F|^2 + projection_decay |P|^2.

    Args:
        samples (N, C, H, W): normalised features x.
        labels (N, 1, H, W): target scores y.
        sample_weights (N,): weights w.
        filters (1, D, h, w): initial F.
        projection (D, C, 1, 1): initial P.
        steps: number of Gauss-Newton steps.
        conjugate_iterations: conjugate gradient steps in each of them.
        filter_decay, projection_decay: weight decay of F and of P.
        floor: phi maps negative scores to values above -floor.

    Returns:
        Filter, projection, and the losses before the first step and after each step.
    """
    roots = sample_weights.sqrt().view(-1, 1, 1, 1)

    def residuals(f, p):
        scores = filter_scores(F.conv2d(samples, p), f)
        error = roots * (_soft_rectified(scores, floor) - labels)
        return error, filter_decay**0.5 * f, projection_decay**0.5 * p

    def loss(variables):
        return sum(part.square().sum() for part in residuals(*variables)).detach()

    variables = filters, projection
    diagonal = filters.new_tensor(filter_decay), filters.new_tensor(projection_decay)
    losses = [loss(variables)]
    for _ in range(steps):
        variables = _gauss_newton_step(residuals, variables, conjugate_iterations, diagonal, "fletcher_reeves")
        losses.append(loss(variables))
    return *variables, losses


def update_filter(
    samples: Tensor,
    labels: Tensor,
    sample_weights: Tensor,
    filters: Tensor,
    conjugate_iterations: int = 5,
    filter_decay: float = 0.1,
    floor: float = 0.05,
    rule: Rule = "polak_ribiere",
) -> Tensor:
    """Update the filter by one Gauss-Newton step on the samples in memory.

    Args:
        samples (N, D, H, W): projected features.
        labels, sample_weights, filter_decay, floor: see `learn_first`.
        filters (1, D, h, w): the current filter.
        conjugate_iterations: conjugate gradient steps.
        rule: see `conjugate_gradients`.

    Returns:
        (1, D, h, w).
    """
    roots = sample_weights.sqrt().view(-1, 1, 1, 1)

    def residuals(f):
        return roots * (_soft_rectified(filter_scores(samples, f), floor) - labels), filter_decay**0.5 * f

    diagonal = (filters.new_tensor(filter_decay),)
    return _gauss_newton_step(residuals, (filters,), conjugate_iterations, diagonal, rule)[0]
