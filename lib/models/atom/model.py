"""The network of ATOM (arXiv:1811.07628). Its classifier has no trained weights; see lib.models.atom.classifier."""

from torch import Tensor, nn

from ..dimp.model import LAYER, CropFeatures, pool_boxes
from ..parts.iounet import IoUNet, build_iou_net
from ..parts.resnet import ResNet
from .classifier import normalise_features


class ATOM(nn.Module):
    """A backbone and an IoU-Net.

    Args:
        feature_extractor: the backbone.
        bb_regressor: the IoU-Net.
    """

    def __init__(self, feature_extractor: ResNet, bb_regressor: IoUNet):
        super().__init__()
        self.feature_extractor = feature_extractor
        self.bb_regressor = bb_regressor

    def backbone(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the features of images (N, S, 3, H, W), normalised -> layers as (N, S, C, H/stride, W/stride)."""
        layers = self.feature_extractor(images.flatten(0, 1))
        return {name: layer.view(*images.shape[:2], *layer.shape[1:]) for name, layer in layers.items()}

    def see(self, crops: Tensor) -> CropFeatures:
        """Compute the features of search crops (N, 3, S, S), normalised."""
        layers = self.feature_extractor(crops)
        boxes = self.bb_regressor.features((layers["layer2"], layers[LAYER]))
        return CropFeatures(layers[LAYER], normalise_features(layers[LAYER]), *boxes)

    def forward(self, train_images: Tensor, test_images: Tensor, train_boxes: Tensor, test_proposals: Tensor) -> Tensor:
        """Predict the quality (M, S, P) of boxes in test images. Arguments: see `lib.models.dimp.DiMP.forward`."""
        train, test = self.backbone(train_images), self.backbone(test_images)
        pooled = pool_boxes(self.bb_regressor, train, test, train_boxes, test_proposals)
        return self.bb_regressor.rate(pooled).view(test_proposals.shape[:-1])


def atom() -> ATOM:
    """Build ATOM on a ResNet-18."""
    backbone = ResNet(18)
    return ATOM(backbone, build_iou_net(backbone.channels, backbone.strides, 256))
