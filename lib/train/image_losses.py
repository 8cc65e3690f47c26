"""Distances of images (B, 3, H, W) in [0, 1], each (B,): finite and with finite gradients for constant images too."""

import torch
import torch.nn.functional as F

WINDOW = 7  # px, of SSIM
DARKEST = 1e-3  # squared length from which a colour counts as one


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
