"""The exported network answers as torch's does, whatever the configuration, for batches of any size."""

import pytest
import torch

from lib import config
from lib.errors import MachineError
from lib.export import engines
from lib.export.engines import open_stages
from lib.export.graphs import digest, export, quantise_stage, recorded
from lib.models.lunar import backbone
from lib.models.lunar.build import build_network
from lib.models.lunar.stages import StagedLunar, stages

DEPTH = 3  # of the ViTs
SMALL = ("DATA.SEARCH.SIZE=128", "DATA.TEMPLATE.SIZE=64")
CONFIGURATIONS = {
    "an enhancer, two templates": (
        "tiny",
        (
            "MODEL.ENHANCER.ENABLE=true",
            "MODEL.ENHANCER.WEIGHTS=''",
            "MODEL.ENHANCER.STEPS=1",  # a second says the same of an exporter, in twice the time
            "MODEL.BACKBONE.TYPE=compact",
            "MODEL.PRETRAIN_FILE=''",
            "DATA.TEMPLATE.NUMBER=2",
            "DATA.TEMPLATE.SIZE=128",  # that of the search crop: one stage less
            "MODEL.QUERY.INJECT=token",
        ),
    ),
    "a pretrained trunk, larger crops, enhanced tokens": (
        "tiny_pairs",
        ("DATA.SEARCH.SIZE=192", "DATA.TEMPLATE.SIZE=96", "MODEL.TOKEN_ENHANCER.ENABLE=true"),
    ),
    "a ViT that attends jointly": ("vit_tiny", (*SMALL, "MODEL.BACKBONE.ATTENTION=joint")),
    "OSTrack, which eliminates": ("ostrack_256", (*SMALL, "MODEL.BACKBONE.TYPE=vit_tiny", "MODEL.BACKBONE.CE_LOC=[1]")),
}


@pytest.fixture(autouse=True)
def shallow(monkeypatch):
    """Three blocks say the same of an exporter as twelve, in a quarter of the time."""
    monkeypatch.setitem(backbone.SIZES, "vit_tiny", (192, DEPTH, 3))


def small(name):
    torch.manual_seed(0)
    network = build_network(config.load("lunar", *CONFIGURATIONS[name])).eval().requires_grad_(False)
    for parameter in network.parameters():  # also those that are nothing before training
        if not parameter.any():
            parameter.normal_(std=0.1)
    return network


def answers(network, real, count):
    """What a network says of `count` targets, over three frames where it has a query."""
    random = torch.Generator().manual_seed(count)

    def crops(*shape):
        return torch.randint(0, 60, shape, dtype=torch.uint8, generator=random)

    templates = crops(count, real.num_templates, 3, real.template_size, real.template_size)
    masks = torch.rand(count, real.num_templates, real.backbone.template_grid**2, generator=random)
    gate = torch.linspace(0, 1, count) if real.enhances else None
    with torch.inference_mode():
        template = network.encode_template(network.enhance(templates, gate), masks)
        found = [part for part in template if part is not None]
        if not real.remembers:
            search = network.enhance(crops(count, 3, real.search_size, real.search_size), gate)
            return found + list(network.track(template, search))
        state, windows = real.query.start(count), torch.tensor([[100.0, 80.0, 64.0]]).repeat(count, 1)
        for number in range(3):
            places = windows + torch.tensor([3.0 * number, 1.0, -40.0])
            search = network.enhance(crops(count, 3, real.search_size, real.search_size), gate)
            output, readout = network.readout(template, search, state, windows)
            state = network.write(state, readout, places, torch.full((count,), 0.8), windows)
            found += [*output, readout.spatial, readout.query, readout.expected, state.prior, state.memory]
    return found


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_engines_answer_as_torch(name, tmp_path):
    pytest.importorskip("onnxscript", reason="the packages that write ONNX are not installed")
    network = small(name)
    export(stages(network), tmp_path)
    for engine, package in (("onnx", "onnxruntime"), ("openvino", "openvino")):
        try:
            __import__(package)
        except ImportError:
            assert engine == "openvino", "onnxruntime is installed with the rest"
            continue
        run = StagedLunar(network, open_stages(stages(network), tmp_path, engine))
        for count in (1, 3):
            for ours, theirs in zip(answers(network, network, count), answers(run, network, count), strict=True):
                torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_int8_is_near_and_is_int8(tmp_path, caplog):
    onnx = pytest.importorskip("onnx", reason="the packages that write ONNX are not installed")
    pytest.importorskip("onnxscript", reason="the packages that write ONNX are not installed")
    network = small("a ViT that attends jointly")
    export(stages(network), tmp_path)
    runs = open_stages(stages(network), tmp_path, "onnx")
    runs["track"], inputs = recorded(runs["track"])
    answers(StagedLunar(network, runs), network, 4)
    caplog.clear()
    path = quantise_stage(tmp_path, "track", inputs)
    assert not caplog.records
    products = [node.op_type for node in onnx.load(path).graph.node]
    assert products.count("MatMulInteger") == DEPTH * 4 and products.count("QuantizeLinear") > 3
    assert path.stat().st_size < 0.35 * (tmp_path / "track.onnx").stat().st_size
    run = StagedLunar(network, open_stages(stages(network), tmp_path, "onnx", "int8"))
    for count in (1, 3):
        for ours, theirs in zip(answers(network, network, count), answers(run, network, count), strict=True):
            apart, spread = (ours - theirs).square().mean().sqrt(), (ours - ours.mean()).square().mean().sqrt()
            assert apart < 0.05 * spread


def test_what_is_computed_has_one_digest():
    first, second = small("an enhancer, two templates"), small("an enhancer, two templates")
    assert digest(stages(first)) == digest(stages(second)) != digest(stages(first), "other settings")
    second.query.modulates = False
    assert digest(stages(first)) != digest(stages(second))
    second = small("an enhancer, two templates")
    next(second.parameters()).add_(1e-6)
    assert digest(stages(first)) != digest(stages(second))


def test_what_is_missing_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    some = stages(small("an enhancer, two templates"))
    with pytest.raises(MachineError, match="export needs packages that are not installed: pip install onnx onnxscript"):
        export(some, tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MachineError, match="onnx needs packages that are not installed: pip install onnxruntime"):
        open_stages(some, tmp_path, "onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MachineError, match="int8 needs packages that are not installed: pip install onnx onnxruntime"):
        quantise_stage(tmp_path, "track", [])
    assert set(engines.NEEDED) == {"export", "int8", *engines.ENGINES}
