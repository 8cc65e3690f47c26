"""The pretrained trunk and the network on it: folding is exact, weights fit other crops, bad files say so."""

import pytest
import torch
from torch import nn

from lib import config
from lib.errors import UserError
from lib.export.profile import count
from lib.models.lunar.build import build_network
from lib.models.lunar.stages import stages
from lib.models.parts.efficientnet_lite import NORM_EPS, InvertedResidual, Lite0, SameConv
from lib.models.parts.weights import initialise_backbone, load_weights, save_weights

SMALL = ("DATA.SEARCH.SIZE=224", "DATA.TEMPLATE.SIZE=112")


def published(trunk, seed=0):
    """Weights of a trunk as they are published: of each convolution the weight, then its norm's four tensors."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for number, conv in enumerate(module for module in trunk.modules() if isinstance(module, nn.Conv2d)):
        scale = conv.weight[0].numel() ** -0.5
        state[f"{number}.conv.weight"] = scale * torch.randn(conv.weight.shape, generator=generator)
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"{number}.norm.{name}"] = 0.5 + torch.rand(conv.out_channels, generator=generator)
        state[f"{number}.norm.num_batches_tracked"] = torch.tensor(1)
    return state | {"classifier.weight": torch.zeros(1000, 1280)}


class Unfolded(nn.Module):
    """A convolution of the trunk with its norm beside it, of published weights."""

    def __init__(self, same, tensors):
        super().__init__()
        self.conv = SameConv(
            same.conv.in_channels,
            same.conv.out_channels,
            same.conv.kernel_size[0],
            same.conv.stride[0],
            same.conv.groups,
        )
        self.norm = nn.BatchNorm2d(same.conv.out_channels, eps=NORM_EPS).eval()
        weight, *norm = tensors
        self.conv.conv.weight.data, self.conv.conv.bias.data = weight, torch.zeros(len(weight))
        names = ("weight", "bias", "running_mean", "running_var")
        self.norm.load_state_dict(dict(zip(names, norm, strict=True)), strict=False)

    def forward(self, x):
        return self.norm(self.conv(x))


@torch.no_grad()
def test_folded_norms_compute_the_same():
    trunk = Lite0().eval()
    state = published(trunk)
    trunk.load_state_dict(trunk.folded(state))
    tensors = iter(value for value in state.values() if value.ndim)
    unfolded = Lite0().eval()
    for module in [unfolded, *(m for m in unfolded.modules() if isinstance(m, InvertedResidual))]:
        for name, child in list(module.named_children()):
            if isinstance(child, SameConv):
                setattr(module, name, Unfolded(child, [next(tensors) for _ in range(5)]))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for ours, theirs in zip(trunk(images), unfolded(images), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * theirs.abs().max())


@torch.no_grad()
def test_equals_timm():
    timm = pytest.importorskip("timm")
    reference = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(1, 2, 3)).eval()
    for module in reference.modules():  # norms that do something
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    trunk = Lite0().eval()
    trunk.load_state_dict(trunk.folded(reference.state_dict()))
    for size in (64, 128, 224):
        images = torch.randn(1, 3, size, size)
        for (stride, channels), ours, theirs in zip(
            trunk.channels.items(), trunk(images), reference(images), strict=True
        ):
            assert ours.shape == (1, channels, size // stride, size // stride)
            assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4 * theirs.abs().max())


def test_a_trunk_starts_from_a_file_and_other_files_are_refused(tmp_path):
    network = build_network(config.load("lunar", "tiny_pairs"))
    trunk = network.backbone.patch_embed.trunk
    state = published(trunk)
    torch.save(state, tmp_path / "lite0.pth")
    assert initialise_backbone(network, tmp_path / "lite0.pth").complete
    assert torch.equal(trunk.stem.conv.weight, trunk.folded(state)["stem.conv.weight"])
    torch.save(dict(list(state.items())[6:]), tmp_path / "other.pth")
    with pytest.raises(UserError, match="no EfficientNet-Lite0"):
        initialise_backbone(network, tmp_path / "other.pth")


def test_weights_of_one_crop_size_start_a_network_of_another(tmp_path):
    """Everything fits, positional tables are resampled, and a constant table stays constant."""
    tiny = build_network(config.load("lunar", "tiny_pairs"))
    nn.init.constant_(tiny.backbone.pos_embed, 0.3)
    save_weights(tmp_path / "tiny.safetensors", tiny.state_dict())
    small = build_network(config.load("lunar", "tiny_pairs", SMALL))
    with pytest.raises(UserError, match="pos_embed"):
        load_weights(small, tmp_path / "tiny.safetensors")
    assert load_weights(small, tmp_path / "tiny.safetensors", strict=False).complete
    assert torch.allclose(small.backbone.pos_embed, torch.tensor(0.3)) and small.backbone.pos_embed.shape[1] == 28**2


def test_a_larger_template_is_correlated_in_as_many_cells():
    small = build_network(config.load("lunar", "tiny_pairs", SMALL)).eval()
    templates, masks = torch.rand(2, 1, 3, 112, 112), torch.rand(2, 1, 14**2)
    state = small.encode_template(templates, masks)
    assert state.tokens.shape == (2, 64, 96) and state.keys.shape[3] == 14**2
    assert small.track(state, torch.rand(2, 3, 224, 224)).score_map.shape == (2, 1, 28, 28)


@pytest.mark.parametrize(("changes", "operations"), [((), 0.2e9), (SMALL, 0.6e9)])
def test_cost_stays_within_its_limits(changes, operations):
    cost = count(stages(build_network(config.load("lunar", "tiny_pairs", changes))))
    assert cost.parameters < 1.5e6 and cost.per_frame < operations
