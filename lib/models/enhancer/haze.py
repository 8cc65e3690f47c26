"""Low light as haze: one step of the haze diffusion, forward and backward, in closed form (spec enhancer.md, 2).

Invert a night image and it is haze: `y = t s + (1 - t) b` with a transmission t, the clean image s and a veil b (one
minus the airlight). A diffusion whose mean decays towards the airlight,

    q(x_k | x_{k-1}) = N(A + t_k (x_{k-1} - A), sigma^2 (1 - t_k^2)),        x = 1 - u, A = 1 - b

is that haze, step by step, with noise; run backwards without randomness (DDIM, eta = 0) each step is the formula of
dehazing. The transmission has the form of the dark channel prior with a learned weight, so that a step of optical depth
tau moves the log-odds of the brightness V by tau: depths add, [0, 1] is never left, lamps (V = 1) and black stay.

Images are (..., 3, H, W) in [0, 1]; veils are (..., 3, 1, 1). A step is given by its attenuation exp(-tau), which
broadcasts against the images: 1 changes nothing, and that of two steps together is the product of theirs.
"""

import torch


def brightness(images, veil=0.0):
    """Largest channel above the veil: (..., 3, H, W) -> (..., 1, H, W) in [0, 1]."""
    return ((images - veil) / (1 - veil)).amax(dim=-3, keepdim=True).clamp(min=0)


def transmission(value, attenuation):
    """Share of light that a step lets through where its darker image has brightness `value`.

    1 - (1 - attenuation) (1 - value): the dark channel prior (He et al. 2009) with the weight 1 - attenuation.
    """
    return torch.addcmul(value, attenuation, 1 - value)


def dehaze(images, attenuation, veil=0.0, value=None):
    """One step backwards, towards the clean image: spec (R2). What is below the veil stays.

    value: the images' brightness above the veil, where it is known already.
    """
    value = brightness(images, veil) if value is None else value
    below = images.clamp(max=veil)
    return torch.addcdiv(below, images - below, transmission(value, attenuation))


def haze(images, attenuation, veil=0.0):
    """One step forwards, into the dark: the exact inverse of `dehaze`, for an attenuation common to the channels."""
    below = images.clamp(max=veil)
    through = attenuation / transmission(1 - brightness(images, veil), attenuation)
    return below + (images - below) * through


def residual_share(step, total, least=1e-6):
    """Share r_k of the noise that is left after step k: sqrt((1 - T_{k-1}^2) / (1 - T_k^2)), T_{k-1} = total / step.

    step: transmission t_k. total: T_k, the product of t_k and those still to come. least: added above and below, so
    that there is a gradient where nothing was lost (T_k = 1).
    """
    return torch.sqrt((1 - (total / step) ** 2 + least) / (1 - total**2 + least))


def posterior(dark, clean, step, before, sigma):
    """Mean and variance of x_{k-1} given x_k = `dark` and x_0 = `clean`, both less the airlight (spec 2.3).

    step: t_k. before: T_{k-1}, the product of those still to come. sigma: of the noise in full darkness.
    """
    total = step * before
    rest = 1 - total**2
    mean = (step * (1 - before**2) * dark + before * (1 - step**2) * clean) / rest
    return mean, sigma**2 * (1 - step**2) * (1 - before**2) / rest
