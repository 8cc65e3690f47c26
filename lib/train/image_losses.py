"""Distances of images (B, 3, H, W) in [0, 1], each (B,): finite and with finite gradients for constant images too."""

import torch
import torch.nn.functional as F

WINDOW = 7  # px, of SSIM
DARKEST = 1e-3  # squared length from which a colour counts as one
PLACE = 32  # px: side of the places whose exposure is judged
CELL = 4  # px: side of those whose tones are compared
APART = (1, 2, 4, 8)  # cells from one to the other
LIMIT = 0.01  # brightness is this far from 0 and 1 at least, where its log-odds are taken


def charbonnier(first, second, epsilon=1e-3):
    """Mean of a distance that is quadratic near 0 and linear beyond."""
    return ((first - second).square() + epsilon**2).sqrt().mean(dim=(1, 2, 3))


def ssim(first, second):
    """Structural similarity (Wang et al. 2004) over uniform windows, mean over channels and places; 1 for equal."""
    mean_first, mean_second, *moments = (
        F.avg_pool2d(image, WINDOW, 1) for image in (first, second, first.square(), second.square(), first * second)
    )
    product = mean_first * mean_second
    squares = mean_first.square() + mean_second.square()
    covariance, variances = moments[2] - product, moments[0] + moments[1] - squares
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))).mean(dim=(1, 2, 3))


def colour(first, second):
    """Mean of 1 - the cosine of the pixels' colours; black has any colour."""
    dot = (first * second).sum(dim=1) + DARKEST
    lengths = (first.square().sum(dim=1) + DARKEST) * (second.square().sum(dim=1) + DARKEST)
    return (1 - dot / lengths.sqrt()).mean(dim=(1, 2))


def psnr(first, second):
    """Peak signal-to-noise ratio, dB; at most 100."""
    return -10 * torch.log10((first - second).square().mean(dim=(1, 2, 3)).clamp(min=1e-10))


def exposure(image, wanted):
    """Mean distance of the brightness of places of 32 px to `wanted` (Zero-DCE, arXiv:2001.06826, 3.3)."""
    places = F.avg_pool2d(image.amax(dim=1, keepdim=True), min(PLACE, *image.shape[2:]))
    return (places - wanted).abs().mean(dim=(1, 2, 3))


def order(image, before):
    """Mean loss of contrast between cells of 4 px that are 1 to 8 cells apart; 0 where contrasts only grow.

    The spatial consistency of Zero-DCE, of one side and over larger distances: what is brighter stays so, at least as
    much.
    """
    now, then = (F.avg_pool2d(each.amax(dim=1, keepdim=True), CELL) for each in (image, before))
    total, count = 0.0, 0
    for dim in (2, 3):
        for cells in APART:
            if cells < now.shape[dim]:
                change, wanted = (_steps(each, dim, cells) for each in (now, then))
                lost = F.relu(wanted.abs() - wanted.sign() * change)
                total, count = total + lost.mean(dim=(1, 2, 3)), count + 1
    return total / max(count, 1)


def smoothness(image, before):
    """Mean squared step, from one cell of 4 px to the next, of what was added to the log-odds of brightness."""
    now, then = (torch.logit(F.avg_pool2d(each.amax(dim=1, keepdim=True), CELL), LIMIT) for each in (image, before))
    return sum(_steps(now - then, dim, 1).square().mean(dim=(1, 2, 3)) for dim in (2, 3))


def constancy(image):
    """Sum of the squared differences between the channels' means: the grey world of Zero-DCE, equation 6."""
    means = image.mean(dim=(2, 3))
    return (means - means.roll(1, dims=1)).square().sum(dim=1)


def _steps(cells, dim, count):
    """Differences of cells that are `count` apart along a dimension."""
    length = cells.shape[dim] - count
    return cells.narrow(dim, count, length) - cells.narrow(dim, 0, length)
