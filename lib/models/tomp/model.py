"""The network of ToMP (arXiv:2203.11192)."""

import math

import torch
from torch import Tensor, nn

from ..parts.filters import InstanceL2Norm, apply_filter
from ..parts.lite_features import LiteFeatures
from ..parts.resnet import ResNet, drop_unused
from ..parts.transformer import Tokens, Transformer

LAYER = "layer3"
# Released checkpoints store the query's weights a second time under this name.
ALIAS = "head.filter_predictor.query_embed_fg_decoder.weight"


def position_encoding(channels: int, rows: int, columns: int, resolution: int) -> Tensor:
    """Encode cell positions by sines and cosines of linearly spaced frequencies.

    Args:
        channels: C, a multiple of 4.
        rows, columns: size of the map, cells.
        resolution: side of the largest map for which the highest frequency is not aliased, cells.

    Returns:
        (C, rows, columns): for each frequency the sine in x and in y, then the cosines likewise.
    """
    depth = channels // 4
    frequency = math.pi * resolution / depth * torch.arange(1, depth + 1)
    x = ((torch.arange(columns) + 0.5) / columns * frequency[:, None])[:, None].expand(-1, rows, -1)
    y = ((torch.arange(rows) + 0.5) / rows * frequency[:, None])[:, :, None].expand(-1, -1, columns)
    phase = torch.stack([x, y], dim=1).flatten(0, 1)
    return torch.cat([phase.sin(), phase.cos()])


def ltrb_map(boxes_xywh: Tensor, cells: int, stride: int, size: int) -> Tensor:
    """Distances from each cell's centre to the sides of a box.

    Args:
        boxes_xywh (..., 4): boxes, crop px.
        cells: side of the map, cells.
        stride: px per cell. The centre of cell i is at (i + 0.5) stride.
        size: side of the crop, px.

    Returns:
        (..., 4, cells, cells): left, top, right, bottom, in crop sides. Distances outside the box are negative.
    """
    centre = (torch.arange(cells, device=boxes_xywh.device, dtype=boxes_xywh.dtype) + 0.5) * stride
    x, y, width, height = (part[..., None, None] for part in boxes_xywh.unbind(-1))
    across, down = centre.expand(cells, cells), centre[:, None].expand(cells, cells)
    return torch.stack([across - x, down - y, x + width - across, y + height - down], dim=-3) / size


def box_at(ltrb: Tensor, cell: tuple[int, int], stride: int, size: int) -> list[float]:
    """The box that a cell predicts.

    Args:
        ltrb (4, H, W): distances in crop sides; see `ltrb_map`.
        cell: row and column.
        stride: px per cell.
        size: side of the crop, px.

    Returns:
        Box xywh, crop px.
    """
    left, top, right, bottom = (ltrb[:, cell[0], cell[1]].double() * size).tolist()
    return [(cell[1] + 0.5) * stride - left, (cell[0] + 0.5) * stride - top, left + right, top + bottom]


def clip_box(box_xywh: list[float], image_size: tuple[int, int], min_box: float) -> list[float]:
    """Clip a box to an image.

    Args:
        box_xywh: image px.
        image_size: (H, W).
        min_box: smallest width and height, image px. The reference uses 10, which is too large for tiny targets.

    Returns:
        Box xywh, image px.
    """
    clipped = []
    for start, extent, length in zip(box_xywh[:2], box_xywh[2:], reversed(image_size), strict=True):
        begin = min(max(start, 0.0), length - min_box)
        end = min(max(start + extent, begin + min_box), float(length))
        clipped.append((begin, end - begin))
    return [clipped[0][0], clipped[1][0], clipped[0][1], clipped[1][1]]


class FilterPredictor(nn.Module):
    """Predicts the filters from the labelled training frames and the test frame.

    Args:
        width: channels C of the features.
        heads, encoder_layers, decoder_layers, hidden: of the transformer.
        resolution: side of the feature map, cells, for the position encoding.
        mark_test: add a learned vector to the test frame's tokens.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        encoder_layers: int,
        decoder_layers: int,
        hidden: int,
        resolution: int,
        mark_test: bool = True,
    ):
        super().__init__()
        self.transformer = Transformer(width, heads, hidden, encoder_layers, decoder_layers, dropout=0.1)
        self.box_encoding = nn.Sequential(
            nn.Conv1d(4, width // 4, 1), nn.BatchNorm1d(width // 4), nn.ReLU(inplace=True),
            nn.Conv1d(width // 4, width, 1), nn.BatchNorm1d(width), nn.ReLU(inplace=True),
            nn.Conv1d(width, width, 1),
        )  # fmt: skip
        self.query_embed_fg = nn.Embedding(1, width)
        if mark_test:
            self.query_embed_test = nn.Embedding(1, width)
        self.mark_test, self.resolution = mark_test, resolution

    def forward(
        self, train: Tensor, test: Tensor, labels: Tensor, ltrb: Tensor, ignored_frames: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Predict a filter for each sequence.

        Args:
            train (N, S, C, H, W): features of the training frames.
            test (S, C, H, W): features of the test frame.
            labels (N, S, H, W): score labels of the training frames.
            ltrb (N, S, 4, H, W): their box maps.
            ignored_frames (N, S): bool, true for training frames that a sequence does not attend to. None for none.

        Returns:
            Filters (S, C, 1, 1) and the encoded test features (S, C, H, W).
        """
        frames, sequences, channels, rows, columns = train.shape
        cells = rows * columns

        def tokens(maps):
            return maps.flatten(-2).movedim(0, 1).transpose(-1, -2).flatten(1, 2)

        foreground = self.query_embed_fg.weight
        # The batch norms of the box encoding were trained on all frames of a sequence in one row.
        boxes = ltrb.permute(1, 2, 0, 3, 4).flatten(2)
        marked = tokens(train) + tokens(labels[:, :, None]) * foreground + self.box_encoding(boxes).transpose(1, 2)
        latest = test.flatten(2).transpose(1, 2)
        if self.mark_test:
            latest = latest + self.query_embed_test.weight
        positions = position_encoding(channels, rows, columns, self.resolution).to(train)
        positions = positions.flatten(1).T.repeat(frames + 1, 1).expand(sequences, -1, -1)
        ignored = None
        if ignored_frames is not None:
            whole = torch.cat([ignored_frames, ignored_frames.new_zeros(1, sequences)])
            ignored = whole.T.repeat_interleave(cells, dim=1)
        query = foreground.expand(sequences, 1, -1)
        decoded, encoded = self.transformer(Tokens(torch.cat([marked, latest], dim=1), positions, ignored), query)
        features = encoded.features[:, -cells:].transpose(1, 2).reshape(sequences, channels, rows, columns)
        return decoded.transpose(1, 2)[..., None], features


class _Projected(nn.Module):
    """Applies a linear layer to a filter, and the result to the features."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, features: Tensor, filters: Tensor) -> Tensor:
        """Features (S, C, H, W) and filters (S, C, 1, 1) -> scores (S, H, W)."""
        return apply_filter(features[None], self.linear(filters.flatten(1))[..., None, None])[0]


class BoxRegressor(_Projected):
    """Predicts a box in every cell: the features are multiplied by the filter's scores, convolutions predict the box.

    Args:
        width: channels C of the features.
    """

    def __init__(self, width: int):
        super().__init__(width)
        layers = []
        for _ in range(4):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(1, width), nn.ReLU(inplace=True)]
        self.tower = nn.Sequential(*layers)
        self.bbreg_layer = nn.Conv2d(width, 4, 3, padding=1)

    def forward(self, features: Tensor, filters: Tensor) -> Tensor:
        """Features (S, C, H, W) and filters (S, C, 1, 1) -> ltrb (S, 4, H, W) in crop sides, positive."""
        attended = super().forward(features, filters)[:, None] * features
        return self.bbreg_layer(self.tower(attended)).exp()


class ToMPHead(nn.Module):
    """All parts of ToMP after the backbone.

    Args:
        inputs: channels of the backbone's features.
        width: channels C of the head's features.
        heads, encoder_layers, decoder_layers, hidden, resolution, mark_test: see FilterPredictor.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        heads: int = 8,
        encoder_layers: int = 6,
        decoder_layers: int = 6,
        hidden: int = 2048,
        resolution: int = 18,
        mark_test: bool = True,
    ):
        super().__init__()
        convolution = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.feature_extractor = nn.Sequential(convolution, InstanceL2Norm(math.sqrt(1 / width)))
        self.filter_predictor = FilterPredictor(
            width, heads, encoder_layers, decoder_layers, hidden, resolution, mark_test
        )
        self.classifier = _Projected(width)
        self.bb_regressor = BoxRegressor(width)

    def forward(
        self, train: Tensor, test: Tensor, labels: Tensor, ltrb: Tensor, box_frames: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Locate the target in a test frame.

        Args:
            train (N, S, C, H, W): head features of the training frames.
            test (S, C, H, W): head features of the test frame.
            labels (N, S, H, W): score labels of the training frames.
            ltrb (N, S, 4, H, W): their box maps.
            box_frames: None in training, where one filter gives both outputs. In tracking, the number of training
                frames with a given box. A second filter, which attends only to these frames, then predicts the box.

        Returns:
            Scores (S, H, W), and boxes ltrb (S, 4, H, W) in crop sides.
        """
        if box_frames is None:
            filters, features = self.filter_predictor(train, test, labels, ltrb)
            return self.classifier(features, filters), self.bb_regressor(features, filters)
        frames, sequences = train.shape[:2]
        ignored = torch.zeros(frames, 2 * sequences, dtype=torch.bool, device=train.device)
        ignored[box_frames:, sequences:] = True
        filters, features = self.filter_predictor(
            train.repeat(1, 2, 1, 1, 1), test.repeat(2, 1, 1, 1), labels.repeat(1, 2, 1, 1),
            ltrb.repeat(1, 2, 1, 1, 1), ignored,
        )  # fmt: skip
        scores = self.classifier(features[:sequences], filters[:sequences])
        return scores, self.bb_regressor(features[sequences:], filters[sequences:])


class ToMP(nn.Module):
    """The backbone and the head. The names of the parts are those of the released checkpoints.

    Args:
        feature_extractor: the backbone.
        head: all other parts.
    """

    def __init__(self, feature_extractor: ResNet | LiteFeatures, head: ToMPHead):
        super().__init__()
        self.feature_extractor = feature_extractor
        self.head = head
        self.stride = feature_extractor.strides[LAYER]

    def see(self, crops: Tensor) -> tuple[Tensor]:
        """Compute what the head sees of search crops (N, 3, S, S), normalised: see `features`."""
        return (self.features(crops),)

    def features(self, images: Tensor) -> Tensor:
        """Compute the head's features of images (..., 3, H, W), normalised -> (..., C, H/stride, W/stride)."""
        layer = self.feature_extractor(images.flatten(0, -4))[LAYER]
        features = self.head.feature_extractor(layer)
        return features.view(*images.shape[:-3], *features.shape[1:])

    def forward(
        self, train_images: Tensor, test_images: Tensor, labels: Tensor, ltrb: Tensor, box_frames: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Locate the target in test images (S, 3, H, W) by training images (N, S, 3, H, W). See `ToMPHead.forward`."""
        return self.head(self.features(train_images), self.features(test_images), labels, ltrb, box_frames)


def tomp(depth: int, mark_test: bool = True) -> ToMP:
    """Build ToMP-50 or ToMP-101. mark_test: see FilterPredictor."""
    backbone = ResNet(depth)
    return ToMP(backbone, ToMPHead(backbone.channels[LAYER], 256, mark_test=mark_test))


def released_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove duplicate and unused tensors from the state dict of a released checkpoint."""
    return {key: value for key, value in drop_unused(state).items() if key != ALIAS}
