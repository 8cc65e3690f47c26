"""The networks of DiMP (arXiv:1904.07220), PrDiMP (arXiv:2003.12565) and Super-DiMP, composed from lib.models.parts."""

import math
from typing import NamedTuple

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from ..parts.filters import FilterInitialiser, InstanceL2Norm, apply_filter
from ..parts.iounet import IoUNet, Pair, build_iou_net
from ..parts.lite_features import LiteFeatures
from ..parts.optimisers import DiMPOptimiser, HingeOptimiser, PrDiMPOptimiser
from ..parts.resnet import ResNet

FILTER_SIZE = 4
LAYER = "layer3"


class CropFeatures(NamedTuple):
    """What is computed of N search crops, whatever their targets.

    Attributes:
        layer3 (N, C, H, W): coarse features of the backbone.
        classification (N, D, H, W): what the filter sees.
        fine, coarse: what the IoU-Net sees, as `IoUNet.features` returns it.
    """

    layer3: Tensor
    classification: Tensor
    fine: Tensor
    coarse: Tensor


class Classifier(nn.Module):
    """The target classifier: classification features, an initial filter, and the optimiser of the filter.

    Args:
        feature_extractor: maps backbone features (N, C, H, W) to classification features (N, D, H, W).
        filter_initializer: maps features and boxes to initial filters.
        filter_optimizer: updates filters on samples; see lib.models.parts.optimisers.
    """

    def __init__(self, feature_extractor: nn.Module, filter_initializer: nn.Module, filter_optimizer: nn.Module):
        super().__init__()
        self.feature_extractor = feature_extractor
        self.filter_initializer = filter_initializer
        self.filter_optimizer = filter_optimizer

    def features(self, backbone_features: Tensor) -> Tensor:
        """Compute classification features of images (N, S, C, H, W) -> (N, S, D, H, W)."""
        flat = self.feature_extractor(backbone_features.flatten(0, 1))
        return flat.view(*backbone_features.shape[:2], *flat.shape[1:])

    def learn(
        self,
        features: Tensor,
        boxes: Tensor,
        target: Tensor | None = None,
        sample_weights: Tensor | None = None,
        iterations: int | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Learn filters from training frames.

        Args:
            features (N, S, D, H, W): classification features of N images of each of S sequences.
            boxes (N, S, 4): the target's boxes xywh, px.
            target: training target of the optimiser. None for the boxes; labels (N, S, H', W') for HingeOptimiser.
            sample_weights (N,) or (N, S): weights of the samples. None for equal weights.
            iterations: number of steps. None for the optimiser's number.

        Returns:
            The filters (S, D, 4, 4) before the first step and after each step, and their losses.
        """
        first = self.filter_initializer(features, boxes)
        target = boxes if target is None else target
        return self.filter_optimizer(first, features, target, sample_weights, iterations)


class DiMP(nn.Module):
    """A filter that is learned from training frames locates the target, and an IoU-Net refines its box.

    The names of the parts are those of the released checkpoints. After `lib.models.parts.resnet.drop_unused`, which
    removes the unused stages of the ResNet, a released checkpoint loads strictly.

    Args:
        feature_extractor: the backbone.
        classifier: the target classifier.
        bb_regressor: the IoU-Net.
    """

    def __init__(self, feature_extractor: ResNet | LiteFeatures, classifier: Classifier, bb_regressor: IoUNet):
        super().__init__()
        self.feature_extractor = feature_extractor
        self.classifier = classifier
        self.bb_regressor = bb_regressor

    def backbone(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the features of images (N, S, 3, H, W), normalised -> layers as (N, S, C, H/stride, W/stride)."""
        layers = self.feature_extractor(images.flatten(0, 1))
        return {name: layer.view(*images.shape[:2], *layer.shape[1:]) for name, layer in layers.items()}

    def see(self, crops: Tensor) -> CropFeatures:
        """Compute the features of search crops (N, 3, S, S), normalised."""
        layers = self.feature_extractor(crops)
        boxes = self.bb_regressor.features((layers["layer2"], layers[LAYER]))
        return CropFeatures(layers[LAYER], self.classifier.feature_extractor(layers[LAYER]), *boxes)

    def forward(
        self,
        train_images: Tensor,
        test_images: Tensor,
        train_boxes: Tensor,
        test_proposals: Tensor,
        train_target: Tensor | None = None,
    ) -> tuple[list[Tensor], Tensor]:
        """Learn filters from training images and apply them to test images of the same sequences.

        Args:
            train_images (N, S, 3, H, W): N images of each of S sequences, normalised.
            test_images (M, S, 3, H, W): other images of the same sequences.
            train_boxes (N, S, 4): the target's boxes xywh, px.
            test_proposals (M, S, P, 4): boxes xywh whose quality is predicted, px.
            train_target: see `target` of `Classifier.learn`.

        Returns:
            Scores (M, S, H', W') of the initial filter and of every iterate, and the predicted qualities (M, S, P).
        """
        scores, pooled = self.respond(train_images, test_images, train_boxes, test_proposals, train_target)
        return scores, self.bb_regressor.rate(pooled).view(test_proposals.shape[:-1])

    def respond(
        self,
        train_images: Tensor,
        test_images: Tensor,
        train_boxes: Tensor,
        test_proposals: Tensor,
        train_target: Tensor | None = None,
    ) -> tuple[list[Tensor], Pair]:
        """As `forward`, but return the pooled features of `pool_boxes` instead of the qualities."""
        train, test = self.backbone(train_images), self.backbone(test_images)
        filters, _ = self.classifier.learn(self.classifier.features(train[LAYER]), train_boxes, train_target)
        test_features = self.classifier.features(test[LAYER])
        scores = [apply_filter(test_features, iterate) for iterate in filters]
        return scores, pool_boxes(self.bb_regressor, train, test, train_boxes, test_proposals)


def pool_boxes(
    iou_net: IoUNet, train: dict[str, Tensor], test: dict[str, Tensor], train_boxes: Tensor, proposals: Tensor
) -> Pair:
    """Pool features in boxes of test images. The first training image of each sequence is the reference.

    Args:
        iou_net: the network.
        train: backbone layers (N, S, C, H, W) of the training images.
        test: backbone layers (M, S, C, H, W) of the test images.
        train_boxes (N, S, 4): the target's boxes xywh, px.
        proposals (M, S, P, 4): boxes xywh, px.

    Returns:
        Result of IoUNet.pooled for the M S test images: (M S, P, C, 5, 5) and (M S, P, C, 3, 3).
    """
    reference = train["layer2"][0], train["layer3"][0]
    modulation = iou_net.modulation(reference, train_boxes[0])
    features = iou_net.features((test["layer2"].flatten(0, 1), test["layer3"].flatten(0, 1)))
    images = proposals.shape[0]
    modulation = tuple(vector.repeat(images, 1, 1, 1) for vector in modulation)
    return iou_net.pooled(modulation, features, proposals.flatten(0, 1))


def compose(
    backbone: ResNet | LiteFeatures, optimiser: nn.Module, width: int, block: bool, box_width: int, zero_filter: bool
) -> DiMP:
    """Build a DiMP from its backbone and the optimiser of its filter.

    Args:
        backbone: the backbone.
        optimiser: the optimiser of the filter.
        width: channels of the filter.
        block: add a residual block before the convolution of the filter's features.
        box_width: channels of the IoU-Net.
        zero_filter: start training with a zero filter.
    """
    channels, strides = backbone.channels, backbone.strides
    norm = InstanceL2Norm(math.sqrt(1 / (width * FILTER_SIZE**2)))
    own = [BasicBlock(channels[LAYER], channels[LAYER])] if block else []
    head = nn.Sequential(*own, nn.Conv2d(channels[LAYER], width, 3, padding=1, bias=False), norm)
    initialiser = FilterInitialiser(width, FILTER_SIZE, strides[LAYER], zero=zero_filter)
    classifier = Classifier(head, initialiser, optimiser)
    return DiMP(backbone, classifier, build_iou_net(channels, strides, box_width))


def _on_resnet(depth, optimiser, zero_filter=False):
    return compose(ResNet(depth), optimiser, 256 if depth == 18 else 512, depth == 18, 256, zero_filter)


def dimp_optimiser(stride: int, sigma: float) -> DiMPOptimiser:
    """The optimiser of DiMP and Super-DiMP with its initial values; sigma in cells."""
    return DiMPOptimiser(
        iterations=5,
        stride=stride,
        step_length=0.9,
        weight_decay=0.1,
        min_weight_decay=1e-3,
        sigma=sigma,
        bins=100,
        bin_width=0.1,
        mask_factor=3.0,
    )


def prdimp_optimiser(stride: int, sigma: float) -> PrDiMPOptimiser:
    """The optimiser of PrDiMP with its initial values; sigma in cells."""
    return PrDiMPOptimiser(
        iterations=5,
        stride=stride,
        step_length=1.0,
        weight_decay=0.05,
        min_weight_decay=0.05,
        sigma=sigma,
        damping=0.05,
    )


def simple_optimiser() -> HingeOptimiser:
    """The optimiser of Super-DiMP-simple with its initial values. It takes labels."""
    return HingeOptimiser(iterations=5, weight_decay=0.1, threshold=0.05, leak=0.1)


def dimp(depth: int) -> DiMP:
    """Build DiMP-18 or DiMP-50, for crops of 288 px with search factor 5."""
    return _on_resnet(depth, dimp_optimiser(16, sigma=18 / 5 / 4))


def super_dimp() -> DiMP:
    """Build Super-DiMP, a DiMP-50 for crops of 352 px with search factor 6."""
    return _on_resnet(50, dimp_optimiser(16, sigma=22 / 6 / 4))


def super_dimp_simple() -> DiMP:
    """Build Super-DiMP with an optimiser that takes labels. KeepTrack is based on this network."""
    return _on_resnet(50, simple_optimiser())


def prdimp(depth: int) -> DiMP:
    """Build PrDiMP-18 or PrDiMP-50."""
    return _on_resnet(depth, prdimp_optimiser(16, sigma=0.9), zero_filter=True)
