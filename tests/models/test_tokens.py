"""The Token Enhancer: nothing at first, and then all of it learns."""

import torch

from lib import config
from lib.models.lunar.build import build_network
from lib.models.lunar.tokens import TokenEnhancer


def learned(seed=0):
    torch.manual_seed(seed)
    enhancer = TokenEnhancer(dim=96, heads=3, hidden=64)
    for parameter in enhancer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return enhancer


def test_at_first_a_network_answers_as_without_it():
    network = build_network(config.load("lunar", "tiny_tokens")).eval()
    features = torch.randn(2, network.backbone.embed_dim, 16, 16)
    assert torch.equal(network.token_enhancer(features), features)


def test_suppression_shrinks_what_the_gate_closes_on():
    enhancer, features = TokenEnhancer(dim=96, heads=3, hidden=64), torch.randn(2, 96, 8, 8)
    torch.nn.init.constant_(enhancer.suppression, 0.5)
    with torch.no_grad():
        gate = torch.sigmoid(enhancer.gate(features.movedim(1, -1))).movedim(-1, 1)
        torch.testing.assert_close(enhancer(features), features * (1 - 0.5 * (1 - gate)))


def test_all_of_it_learns_and_every_cell_sees_every_other():
    enhancer = learned()
    features = torch.randn(1, 96, 8, 8, requires_grad=True)
    enhancer(features)[0, :, 0, 0].square().sum().backward()
    assert all(parameter.grad.any() for parameter in enhancer.parameters())
    assert features.grad.abs().sum(dim=1).all()
