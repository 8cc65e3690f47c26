"""ResNet features for the discriminative family: torchvision's network up to its third stage."""

import torchvision
from torch import Tensor, nn

CHANNELS = {18: {"layer1": 64, "layer2": 128, "layer3": 256}}
CHANNELS[50] = CHANNELS[101] = {"layer1": 256, "layer2": 512, "layer3": 1024}
STRIDE = {"layer1": 4, "layer2": 8, "layer3": 16}
# Released checkpoints hold a complete classification network; these parts of it are never used.
UNUSED = ("layer4.", "fc.")


class ResNet(nn.Module):
    """The stem and the first three stages of a ResNet (arXiv:1512.03385).

    Its keys are torchvision's. Images are normalised by ImageNet's mean and standard deviation before.

    Args:
        depth: 18, 50 or 101.
    """

    new: tuple[str, ...] = ()  # prefixes of what image pre-training knows nothing of

    def __init__(self, depth: int):
        super().__init__()
        whole = getattr(torchvision.models, f"resnet{depth}")(weights=None)
        for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"):
            self.add_module(name, getattr(whole, name))
        self.channels, self.strides = CHANNELS[depth], STRIDE

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the features of images (B, 3, H, W) -> {"layer1": stride 4, "layer2": stride 8, "layer3": 16}."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        features = {}
        for name in ("layer1", "layer2", "layer3"):
            x = features[name] = getattr(self, name)(x)
        return features

    def published(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """torchvision's state dict of the whole network -> that of this part of it."""
        own = self.state_dict()
        counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
        return counters | drop_unused(state, "")  # older files lack the counters


def drop_unused(state: dict[str, Tensor], prefix: str = "feature_extractor.") -> dict[str, Tensor]:
    """Leave the stages that no tracker uses out of a released checkpoint.

    Args:
        state: state dict of a released network.
        prefix: where the ResNet stands in it.

    Returns:
        The state dict without the ResNet's fourth stage and classification layer.
    """
    unused = tuple(prefix + name for name in UNUSED)
    return {key: value for key, value in state.items() if not key.startswith(unused)}
