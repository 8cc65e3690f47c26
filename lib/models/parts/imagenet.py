"""Normalisation of images for networks that were pre-trained on ImageNet."""

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """Subtract a mean from each colour channel and divide by a standard deviation.

    It has no parameters and adds no keys to a state dict.

    Args:
        mean (3): of R, G, B in [0, 1].
        std (3): of R, G, B in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalise images.

        Args:
            images (..., 3, H, W): RGB, uint8 or float in [0, 1].

        Returns:
            (..., 3, H, W) float.
        """
        flat = images.flatten(0, -4).contiguous().to(self.mean.dtype)
        if images.dtype == torch.uint8:
            flat = flat / 255
        # Batch norm with fixed statistics is (x - mean) / std in one pass.
        return functional.batch_norm(flat, self.mean, self.std**2, eps=0).view(images.shape)
