"""The networks of TrackNet V1 and V3 and WASB: names of the released checkpoints, numbers of the reference code."""

import re

import pytest
import torch

from lib.models.ball.hrnet import WasbHRNet
from lib.models.ball.tracknet import InpaintNet, TrackNetV1, TrackNetV3, input_channels
from tests.models.recipe import hash_tensor, hash_unit, recipe_network

NETWORKS = {
    "tracknetv3_tracknet": TrackNetV3,
    "tracknetv3_inpaintnet": InpaintNet,
    "wasb_hrnet": WasbHRNet,
    "tracknet_v1_port": TrackNetV1,
}


def parity(shared_data, name):
    path = shared_data / "parity" / name
    if not path.is_file():
        pytest.skip(f"needs {path}, which is not here")
    return torch.load(path, weights_only=True)


def test_the_recipe_of_the_fixtures():
    expected = [-1.200893707353211, -1.497449583650583, -0.47469937775425036, -0.14758079041227041]
    assert hash_unit("abc", 4) == pytest.approx(expected, abs=3e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_names_and_shapes_are_those_of_the_released_checkpoint(shared_data, name):
    path = shared_data / "parity" / f"keys_{name}.txt"
    if not path.is_file():
        pytest.skip(f"needs {path}, which is not here")
    rows = [line.split(" | ") for line in path.read_text().splitlines() if not line.startswith("#")]
    expected = {row[0]: tuple(map(int, re.findall(r"\d+", row[1]))) for row in rows}
    with torch.device("meta"):
        found = {key: tuple(value.shape) for key, value in NETWORKS[name]().state_dict().items()}
    assert found == expected


@pytest.mark.parametrize(
    ("network", "parameters"), [(TrackNetV3, 11341000), (InpaintNet, 520610), (WasbHRNet, 1481427)]
)
def test_number_of_parameters(network, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in network().parameters()) == parameters


def test_input_channels():
    assert [input_channels(8, mode) for mode in ("", "subtract", "subtract_concat", "concat")] == [24, 8, 32, 27]


@torch.inference_mode()
def test_tracknetv3_equals_the_reference(shared_data):
    data = parity(shared_data, "tracknetv3.pt")
    network = recipe_network(TrackNetV3(), "tracknetv3", data["tracknet"]["mult"])
    out = network(hash_tensor("tracknetv3/input", (1, 27, 32, 64), 12**-0.5, 0.5))
    assert (out - data["tracknet"]["out"]).abs().max() < 2e-5


@torch.inference_mode()
def test_inpaintnet_equals_the_reference(shared_data):
    data = parity(shared_data, "tracknetv3.pt")["inpaint"]
    network = recipe_network(InpaintNet(), "inpaintnet")
    out = network(data["coor"] * (1 - data["mask"]), data["mask"])
    assert (out - data["out"]).abs().max() < 1e-5


@torch.inference_mode()
def test_wasb_equals_the_reference(shared_data):
    data = parity(shared_data, "wasb.pt")["hrnet"]
    network = recipe_network(WasbHRNet(), "wasb", data["mult"])
    assert (network(hash_tensor("wasb/input", (1, 9, 32, 64))) - data["logits"]).abs().max() < 5e-5


@torch.inference_mode()
def test_tracknetv1_scores_every_grey_level_of_every_pixel():
    assert TrackNetV1().eval()(torch.zeros(1, 9, 8, 16)).shape == (1, 256, 8, 16)
