"""Losses of heat maps: numbers of TrackNetV3's and WASB's code, and what deep supervision adds up."""

import pytest
import torch

from lib.train import heatmap_losses


def load(shared_data, name):
    path = shared_data / "parity" / name
    if not path.is_file():
        pytest.skip(f"needs {path}, which is not here")
    return torch.load(path, weights_only=True)


def test_weighted_bce_equals_tracknetv3(shared_data):
    data = load(shared_data, "tracknetv3.pt")["wbce"]
    for label, expected in (("label", "mean"), ("label_mixup", "mean_mixup")):
        assert heatmap_losses.weighted_bce(data["pred"], data[label]).item() == pytest.approx(data[expected], abs=1e-6)
    samples = [heatmap_losses.weighted_bce(*pair).item() for pair in zip(data["pred"], data["label"], strict=True)]
    assert samples == pytest.approx(data["per_sample"].tolist(), abs=1e-6)


def test_losses_equal_wasb(shared_data):
    data = load(shared_data, "wasb.pt")["loss"]
    for kind, values in data["values"].items():
        for label, name in (("label", "binary"), ("label_soft", "soft")):
            found = heatmap_losses.wasb_loss(data["logits"], data[label], kind.removeprefix("hm_")).item()
            assert found == pytest.approx(values[name], abs=1e-6), (kind, name)
    with pytest.raises(ValueError, match="found 'mse'"):
        heatmap_losses.wasb_loss(data["logits"], data["label"], "mse")


def test_logits_and_probabilities_give_one_loss_and_a_gradient_where_they_saturate():
    torch.manual_seed(0)
    logits, labels = 3 * torch.randn(2, 3, 5, 6), torch.rand(2, 3, 5, 6)
    found = heatmap_losses.weighted_bce_with_logits(logits, labels)
    assert found.item() == pytest.approx(heatmap_losses.weighted_bce(logits.sigmoid(), labels).item(), rel=1e-5)
    sure = torch.tensor([-40.0], requires_grad=True)
    heatmap_losses.weighted_bce_with_logits(sure, torch.ones(1)).backward()
    assert sure.grad.item() == pytest.approx(-1)


def test_deep_supervision_adds_the_sides_with_their_weights():
    torch.manual_seed(0)
    fused, labels = torch.randn(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    sides = fused[:, None].expand(-1, 4, -1, -1, -1)
    one = heatmap_losses.weighted_bce_with_logits(fused, labels)
    assert heatmap_losses.deep_supervision(fused, sides, labels).item() == pytest.approx(2.4 * one.item())


def test_mix_blends_images_and_labels_alike():
    images, labels = torch.arange(2.0).reshape(2, 1, 1), torch.arange(2.0).reshape(2, 1)
    blended = heatmap_losses.mix(images, labels, torch.tensor([0.75, 1.0]), torch.tensor([1, 0]))
    assert [part.flatten().tolist() for part in blended] == [[0.25, 1.0], [0.25, 1.0]]
