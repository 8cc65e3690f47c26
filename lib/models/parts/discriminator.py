"""The discriminator of adversarial training: tells the features of two networks apart."""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """Three linear layers that answer whether a feature vector comes from the teacher.

    The keys are those of MKDNet's release, whose last layer ends in a sigmoid. Here the loss contains it.

    Args:
        inputs: numbers in a feature vector.
        width: of the two hidden layers.
        spectral: divide each layer's weights by their largest singular value (arXiv:1802.05957), against
            discriminators that win too early.

    Source: Zhu et al., MKDNet, arXiv:2202.05659.
    """

    def __init__(self, inputs: int, width: int = 256, spectral: bool = False) -> None:
        super().__init__()
        sizes = ((inputs, width), (width, width), (width, 1))
        first, second, last = (spectral_norm(nn.Linear(*each)) if spectral else nn.Linear(*each) for each in sizes)
        self.model = nn.Sequential(first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2), last)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (..., inputs) to logits (...); above zero means: of the teacher."""
        return self.model(features)[..., 0]
