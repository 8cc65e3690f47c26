"""The network of STARK: it maps template and search crops to one box (arXiv:2103.17154)."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from ..parts.corner_head import CornerHead, attended_map
from ..parts.imagenet import IMAGENET_MEAN, IMAGENET_STD, Normalise
from ..parts.transformer import Tokens, Transformer


class StarkOutput(NamedTuple):
    """Output for B search crops, float32.

    Attributes:
        boxes_xyxy (B, 4): corners in crop sides.
        logits (B,): whether the target is in the crop, before the sigmoid; None without a classification head.
        top_left, bottom_right (B, 1, H, H): scores of the corners' cells before the softmax.
    """

    boxes_xyxy: Tensor
    logits: Tensor | None
    top_left: Tensor
    bottom_right: Tensor


class Perceptron(nn.Module):
    """Linear layers with ReLU between them.

    Args:
        widths: of the input, of each hidden layer, and of the output.
    """

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """(..., widths[0]) -> (..., widths[-1])."""
        *hidden, last = self.layers
        for layer in hidden:
            x = functional.relu(layer(x))
        return last(x)


class CropEncoder(nn.Module):
    """The part that STARK and STTrack share: backbone and bottleneck turn crops into tokens.

    Args:
        backbone: from normalised images (B, 3, H, W) to (B, backbone.channels, H / 16, W / 16).
        dim: width C of the tokens.
        image_mean, image_std (3): of R, G, B in [0, 1], by which images are normalised for the backbone.
    """

    def __init__(
        self, backbone: nn.Module, dim: int, image_mean: tuple[float, ...], image_std: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.normalise = Normalise(image_mean, image_std)
        self.backbone = nn.ModuleList([backbone])  # a list, because the released keys begin with "backbone.0."
        self.bottleneck = nn.Conv2d(backbone.channels, dim, 1)

    def encode(self, images: Tensor, padding: Tensor) -> Tokens:
        """Compute the tokens of crops. Tokens of a template can be kept as long as the template is used.

        Args:
            images (B, 3, H, W): RGB, uint8 or float in [0, 1]; H and W are multiples of 16 px.
            padding (B, h, w): bool, true beyond the border of the image; see Tokens.of_map.
        """
        return self.tokens(self.backbone[0](self.normalise(images)), padding)

    def tokens(self, features: Tensor, padding: Tensor) -> Tokens:
        """Compute the tokens of backbone features (B, channels, H / 16, W / 16). padding: see `encode`."""
        return Tokens.of_map(self.bottleneck(features), padding)


class Stark(CropEncoder):
    """Encoder of all template and search tokens, decoder with one query, and corner head.

    Tracking calls `encode` for each template and each search crop, and `track` for each frame. Training calls
    `forward`, which does both. The module keeps no state between calls. The keys are those of the released checkpoints
    (STARK-S50, ST50, ST101), which load unchanged.

    Args:
        backbone: from normalised images (B, 3, H, W) to (B, backbone.channels, H / 16, W / 16); a FrozenResNet, of
            "resnet50" (S50, ST50) or "resnet101" (ST101) in the releases.
        dim: width C of the tokens; 256 in the releases.
        heads: attention heads; 8.
        feedforward: width of the transformer's hidden layers; 2048.
        encoder_layers, decoder_layers: 6 each.
        dropout: share of values set to zero while training; 0.1.
        head_channels: width of the corner head; 256.
        half_cell: see CornerHead. False for the released checkpoints.
        classify: whether there is a classification head (STARK-ST).
        image_mean, image_std (3): of R, G, B in [0, 1], by which images are normalised for the backbone.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        dim: int = 256,
        heads: int = 8,
        feedforward: int = 2048,
        encoder_layers: int = 6,
        decoder_layers: int = 6,
        dropout: float = 0.1,
        head_channels: int = 256,
        half_cell: bool = True,
        classify: bool = False,
        image_mean: tuple[float, ...] = IMAGENET_MEAN,
        image_std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        super().__init__(backbone, dim, image_mean, image_std)
        self.transformer = Transformer(dim, heads, feedforward, encoder_layers, decoder_layers, dropout)
        self.query_embed = nn.Embedding(1, dim)
        self.box_head = CornerHead(dim, head_channels, half_cell)
        self.cls_head = Perceptron(dim, dim, dim, 1) if classify else None

    def track(self, templates: Sequence[Tokens], search: Tokens) -> StarkOutput:
        """Find the target in a search crop.

        Args:
            templates: tokens of the first frame's template and, in STARK-ST, of the online template.
            search: tokens of a square search crop.
        """
        query = self.query_embed.weight.expand(len(search.features), 1, -1)
        found, memory = self.transformer(Tokens.concatenate([*templates, search]), query)
        count = search.features.shape[1]
        box = self.box_head(attended_map(memory.features[:, -count:], found))
        logits = None if self.cls_head is None else self.cls_head(found).flatten().float()
        return StarkOutput(box.boxes_xyxy, logits, box.top_left, box.bottom_right)

    def forward(
        self, templates: Tensor, template_padding: Tensor, search: Tensor, search_padding: Tensor
    ) -> StarkOutput:
        """`encode` all crops, then `track`.

        Args:
            templates (B, T, 3, Z, Z): RGB, uint8 or float in [0, 1].
            template_padding (B, T, z, z): bool, true beyond the border of the image.
            search (B, 3, S, S): RGB, uint8 or float in [0, 1].
            search_padding (B, s, s): bool, true beyond the border of the image.
        """
        seen = [
            self.encode(image, padding)
            for image, padding in zip(templates.unbind(dim=1), template_padding.unbind(dim=1), strict=True)
        ]
        return self.track(seen, self.encode(search, search_padding))
