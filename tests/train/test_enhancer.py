"""Training the enhancer alone: its losses, that it learns, and that its training goes on where it was broken off."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lib import config, registry
from lib.data import benchmarks
from lib.data.night import STRENGTHS, darken
from lib.models.enhancer import load_enhancer
from lib.train import image_losses, run_training
from lib.train.trainers.trainer import Trainer
from tests.train.test_night_pairs import sequence

SMALL = (
    "DATA.CROP=32",
    "DATA.TRAIN.SAMPLE_PER_EPOCH=24",
    "DATA.VAL.SAMPLE_PER_EPOCH=8",
    "TRAIN.BATCH_SIZE=4",
    "TRAIN.EPOCH=2",
    "TRAIN.NUM_WORKER=0",
    "TRAIN.PRINT_INTERVAL=1",
    "TRAIN.SAVE_INTERVAL=2",
    "TRAIN.SCHEDULER.WARMUP=2",
)


def actor(*overrides, name="baseline"):
    settings = config.load("enhancer", name, overrides)
    torch.manual_seed(0)
    return registry.actor("enhancer", registry.network("enhancer", settings), settings)


def batch_of(night, clean, identity=False, forced=True, real=False):
    """One pair of (H, W, 3) uint8 images as a batch."""
    images = (torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None] for image in (night, clean))
    flags = (torch.tensor([flag]) for flag in (identity, forced, real))
    return dict(zip(("night", "clean", "identity", "open", "real"), (*images, *flags), strict=True))


def textured(size=64):
    return benchmarks.load("lunar_day#day_01")[0].frames()[0][:size, :size]


def test_distances_of_images():
    torch.manual_seed(0)
    first, second = torch.rand(2, 2, 3, 16, 16)
    assert image_losses.ssim(first, first).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert (image_losses.ssim(first, second) < 0.3).all()
    # One window of one channel, written out.
    a, b = first[:1, :1, :7, :7].double(), second[:1, :1, :7, :7].double()
    covariance = ((a - a.mean()) * (b - b.mean())).mean()
    expected = (2 * a.mean() * b.mean() + 1e-4) * (2 * covariance + 9e-4)
    expected /= (a.mean() ** 2 + b.mean() ** 2 + 1e-4) * (a.var(correction=0) + b.var(correction=0) + 9e-4)
    assert image_losses.ssim(a, b).item() == pytest.approx(expected.item(), abs=1e-9)
    assert image_losses.psnr(first, first + 0.1).tolist() == pytest.approx([20, 20], abs=1e-3)
    assert image_losses.psnr(first, first).tolist() == [100, 100]
    assert image_losses.colour(first, 0.5 * first).max() < 0.02 and image_losses.colour(first, 0 * first).min() > 0.5
    assert image_losses.colour(0 * first, 0 * first).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert image_losses.charbonnier(first, first).tolist() == pytest.approx([1e-3, 1e-3])


@pytest.mark.parametrize("name", ["baseline", "curve"])
@pytest.mark.parametrize("night", [0, 3, 255])
@pytest.mark.parametrize("clean", [0, 128])
def test_flat_images_have_finite_losses_and_gradients(name, night, clean):
    """Spec property 12; at the start, and after a step that moved every weight."""
    step = actor(name=name)
    flat = [np.full((32, 32, 3), level, np.uint8) for level in (night, clean)]
    for identity in (False, True):
        loss, stats = step.batch_loss(batch_of(*flat, identity=identity))
        loss.backward()
        assert loss.isfinite() and all(value.isfinite() for value in stats.values())
        for parameter in step.network.parameters():
            if parameter.grad is not None:
                assert parameter.grad.isfinite().all()
                parameter.data += 0.01 * torch.randn_like(parameter)
                parameter.grad = None


def test_the_parts_of_the_loss():
    step = actor("MODEL.STEPS=1", "TRAIN.COLOUR_WEIGHT=0", "TRAIN.SSIM_WEIGHT=0")
    clean = textured()
    loss, stats = step.batch_loss(batch_of(clean, clean, identity=True))
    assert loss.item() == pytest.approx((stats["Loss/rec"] + 0.5 * stats["Loss/identity"]).item())
    assert stats["PSNR"] == 0  # there is no pair to restore
    loss, stats = step.batch_loss(batch_of(clean // 4, clean))
    assert loss.item() == pytest.approx(stats["Loss/rec"].item()) and stats["Loss/identity"] == 0
    assert list(stats) == ["Loss/total", "Loss/rec", "Loss/ssim", "Loss/colour", "Loss/identity", "PSNR"]


REAL = ("DATA.TRAIN.DATASETS_NAME=[night]", "DATA.NIGHT.REAL=[night]")
WITHOUT_A_DAY = ("EXPOSURE", "ORDER", "SMOOTH", "CONSTANCY", "CALIBRATION")


def test_a_real_night_counts_by_its_own_losses_alone():
    night = textured() // 6
    for name in WITHOUT_A_DAY:
        alone = [f"TRAIN.{other}_WEIGHT={3.0 * (other == name)}" for other in WITHOUT_A_DAY]
        loss, stats = actor(*REAL, *alone).batch_loss(batch_of(night, night, real=True))
        assert loss.item() == pytest.approx(3 * stats[f"Loss/{name.lower()}"].item())
        assert stats["Loss/rec"] == stats["Loss/identity"] == stats["PSNR"] == 0
    step = actor(*REAL)
    pair, real = batch_of(night, textured()), batch_of(night, night, real=True)
    both = {name: torch.cat([pair[name], real[name]]) for name in pair}
    losses = [step.batch_loss(batch)[0].item() for batch in (pair, real, both)]
    assert losses[2] == pytest.approx(losses[0] + losses[1], rel=1e-4)


def test_what_the_losses_of_real_nights_ask_for():
    dark = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.1
    assert image_losses.exposure(dark * 0 + 0.3, 0.4).tolist() == pytest.approx([0.1, 0.1], abs=1e-5)
    half = torch.cat([torch.full((1, 3, 32, 64), 0.2), torch.full((1, 3, 32, 64), 0.6)], dim=2)
    assert image_losses.exposure(half, 0.4).item() == pytest.approx(0.2, abs=1e-5), "places, not the whole"
    assert image_losses.order(dark, dark).tolist() == [0, 0]
    assert image_losses.order(3 * dark + 0.2, dark).abs().max() < 1e-7
    assert (image_losses.order(0.5 * dark, dark) > 1e-4).all() and (image_losses.order(-dark, dark) > 1e-3).all()
    value = dark.amax(dim=1, keepdim=True)
    flat = torch.full((1, 3, 64, 64), 0.1)
    lifted = torch.sigmoid(torch.logit(flat) + 1.5)
    assert image_losses.smoothness(lifted, flat).item() == pytest.approx(0, abs=1e-9)
    lifted[..., 32:] = torch.sigmoid(torch.logit(flat[..., 32:]) + 2.5)
    assert image_losses.smoothness(lifted, flat).item() == pytest.approx(1 / 15, rel=1e-3), "one step of 1 in 15"
    assert image_losses.constancy(value.expand(2, 3, 64, 64)).tolist() == pytest.approx([0, 0], abs=1e-9)
    tinted = torch.tensor([0.3, 0.2, 0.2]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    assert image_losses.constancy(tinted).item() == pytest.approx(0.02, abs=1e-5)


def test_a_closed_gate_changes_nothing():
    clean = textured()
    light = np.clip(clean.astype(int) + 60, 0, 255).astype(np.uint8)
    _, stats = actor().batch_loss(batch_of(light, light, forced=False))
    assert stats["Loss/rec"] == pytest.approx(1e-3, abs=1e-4) and stats["PSNR"] > 60


def test_validation_is_of_the_result_each_step_and_the_input():
    step = actor("MODEL.STEPS=3")
    clean = textured()
    sums = step.validate(batch_of(clean // 4, clean))
    assert step.scores == tuple(f"{n}{of}" for of in ("", "/step1", "/step2", "/input") for n in ("PSNR", "SSIM"))
    assert len(sums) == len(step.scores) + 1 and sums[-1] == 1
    images = [torch.from_numpy(image.transpose(2, 0, 1).copy())[None] / 255 for image in (clean // 4, clean)]
    assert sums[-3] == pytest.approx(image_losses.psnr(*images).item(), abs=1e-4)
    name, picture = step.picture(batch_of(clean // 4, clean))
    assert name == "val/pairs" and picture.shape == (3, 192, 64) and picture.dtype == torch.uint8
    assert picture[:, 128:].equal(torch.from_numpy(clean.transpose(2, 0, 1).copy()))


def test_one_image_is_learnt():
    """Spec property 17: 200 iterations, at least 6 dB."""
    clean = cv2.GaussianBlur(textured(), (0, 0), 0.8)
    night = darken(clean, STRENGTHS["moderate"], np.random.default_rng(0))
    step = actor()
    batch = batch_of(night, clean)
    before = step.validate(batch)[-3].item()
    optimizer = torch.optim.AdamW(step.network.parameters(), lr=5e-3)
    for _ in range(200):
        loss, _ = step.batch_loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = step.validate(batch)[0].item()
    print(f"{before:.2f} dB -> {after:.2f} dB")
    assert after >= before + 6


def train(output, *overrides, **options):
    settings = config.load("enhancer", "baseline", [*SMALL, *overrides])
    data = {"made": [sequence("a"), sequence("bb"), sequence("ir", level=40, grey=True)]}
    return run_training.run(
        run_training.Job("enhancer", "baseline", settings, data, data, Path(output), device="cpu", **options)
    )


def curve(output):
    lines = (Path(output) / "logs" / "enhancer-baseline.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


class CrashError(Exception):
    pass


def test_a_broken_training_goes_on_bit_for_bit_and_ends_in_an_enhancer(tmp_path, monkeypatch):
    assert train(tmp_path / "whole") == 0
    update = Trainer._update

    def broken(self, group):
        if self.step() == 9:
            raise CrashError
        update(self, group)

    with monkeypatch.context() as patch, pytest.raises(CrashError):
        patch.setattr(Trainer, "_update", broken)
        train(tmp_path / "broken")
    assert train(tmp_path / "broken") == 0
    assert curve(tmp_path / "broken") == curve(tmp_path / "whole")
    file = Path("checkpoints", "train", "enhancer", "baseline", "HazeDiffusion_final.safetensors")
    whole, broken = (load_enhancer(tmp_path / name / file) for name in ("whole", "broken"))
    assert whole.type == "haze_diffusion" and whole.number == 2
    assert all(a.equal(b) for a, b in zip(whole.state_dict().values(), broken.state_dict().values(), strict=True))
    scores = [one for one in curve(tmp_path / "whole") if one["event"] == "val"]
    assert len(scores) == 2 and scores[0]["PSNR/input"] == scores[1]["PSNR/input"] < scores[1]["PSNR"]


def test_the_options_of_the_configuration_are_those_of_the_file(tmp_path):
    words = ["MODEL.STEPS=3", "MODEL.CHANNELS=[8,12,16]", "MODEL.DENOISE=0", "MODEL.FORM=plain", "MODEL.GATE=[0.1,0.3]"]
    assert train(tmp_path, *words, "TRAIN.EPOCH=1", "TRAIN.EMA=0.9", "TRAIN.PRECISION=bf16") == 0
    made = load_enhancer(next(tmp_path.rglob("*_final.safetensors")))
    assert made.options == actor(*words).network.options
    assert (made.number, made.channels, made.denoise, made.form, made.low) == (3, (8, 12, 16), 0, "plain", 0.1)
