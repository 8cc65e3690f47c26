"""The discriminator of adversarial training: classifies which of two networks made a feature vector."""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """Three linear layers that predict whether a feature vector comes from the teacher.

    The keys are those of MKDNet's release. The release ends with a sigmoid; here the loss contains it.

    Args:
        inputs: length of a feature vector.
        width: width of the two hidden layers.
        spectral: use spectral normalisation (arXiv:1802.05957), which keeps the discriminator from winning too early.

    Source: Zhu et al., MKDNet, arXiv:2202.05659.
    """

    def __init__(self, inputs: int, width: int = 256, spectral: bool = False) -> None:
        super().__init__()
        sizes = ((inputs, width), (width, width), (width, 1))
        first, second, last = (spectral_norm(nn.Linear(*each)) if spectral else nn.Linear(*each) for each in sizes)
        self.model = nn.Sequential(first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2), last)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (..., inputs) to logits (...). A logit above zero stands for the teacher."""
        return self.model(features)[..., 0]
