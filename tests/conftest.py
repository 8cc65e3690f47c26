"""Every test runs on one thread: with other work on the machine torch's default is many times slower."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import logging
import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# The modules whose tests are marked `unit`: light, and without processes.
UNIT = {
    "test_tree.py",
    "test_api.py",
    *(f"analysis/test_{name}.py" for name in ("ablation", "draw", "metrics", "presence", "results", "statistics")),
    *(f"analysis/test_{name}.py" for name in ("strips", "tables")),
    *(f"data/test_{name}.py" for name in ("geometry", "region", "test_sets", "training_sets")),
    *(f"models/test_{name}.py" for name in ("averaging", "haze")),
    *(f"reliability/test_{name}.py" for name in ("fuzz", "image_files")),
    *(f"train/test_{name}.py" for name in ("losses", "sampler")),
}
SHARED = ROOT.parent / "shared" / "data"
sys.path.insert(0, str(ROOT))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        name = item.path.relative_to(ROOT / "tests").as_posix() if item.path.is_relative_to(ROOT / "tests") else ""
        if name in UNIT and not item.get_closest_marker("soak"):
            item.add_marker("unit")


@pytest.fixture(autouse=True)
def a_unit_test_starts_no_process(request, monkeypatch):
    if not request.node.get_closest_marker("unit"):
        return
    popen = subprocess.Popen.__init__

    def start(self, words, *args, **kwargs):  # others are needed to look for a library or a font
        assert sys.executable not in list(map(str, words)), "a unit test starts no Python"
        popen(self, words, *args, **kwargs)

    def refuse(self):
        raise AssertionError("a unit test starts no process")

    monkeypatch.setattr(subprocess.Popen, "__init__", start)
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", refuse)


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real video beside the checkout; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real data in {SHARED}, which is not here")
    return SHARED


@pytest.fixture(autouse=True)
def logging_as_it_was():
    """Commands log to the standard output of their process; here that is another one in the next test."""
    yield
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if type(handler) is not logging.StreamHandler]


@pytest.fixture
def save_network():
    """Write a tiny ONNX network whose answer is the brightness of each pixel: save_network(path) -> path.

    shape: of its input. axis: the one that it takes the mean over. scale: what it multiplies the mean by.
    """
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from onnx import TensorProto, helper

    def save(path, shape=(1, 3, 320, 320), axis=1, scale=1.0):
        nodes = [
            helper.make_node("ReduceMean", ["image"], ["mean"], axes=[axis], keepdims=1),
            helper.make_node("Mul", ["mean", "scale"], ["map"]),
        ]
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in
                (("image", shape), ("map", None))]  # fmt: skip
        constants = [helper.make_tensor("scale", TensorProto.FLOAT, [1], [scale])]
        graph = helper.make_graph(nodes, "brightness", ends[:1], ends[1:], constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
        return path

    return save


@pytest.fixture
def small_tracker():
    """Build a LunarTracker with a small random network: small_tracker(*overrides) -> LunarTracker."""
    import torch

    from lib import config
    from lib.test.tracker.lunar import LunarTracker
    from tests.networks import make_lunar

    def network(cfg):
        torch.manual_seed(0)
        data, backbone = cfg.DATA, cfg.MODEL.BACKBONE
        return make_lunar(
            embed_dim=32,
            depth=2,
            num_heads=2,
            head_channels=32,
            template_size=data.TEMPLATE.SIZE,
            search_size=data.SEARCH.SIZE,
            num_templates=data.TEMPLATE.NUMBER,
            attention=backbone.ATTENTION,
            head_stride=cfg.MODEL.HEAD.STRIDE,
        )

    def build(*overrides):
        cfg = config.load("lunar", "vit_tiny", ["DATA.SEARCH.SIZE=128", "DATA.TEMPLATE.SIZE=64", *overrides])
        return LunarTracker(cfg, network=network(cfg))

    return build


@pytest.fixture
def command():
    """Run a command line of tracking/ in this process: command("test.py", "lunar", "tiny") -> exit code."""
    import runpy

    def run(script, *words):
        return runpy.run_path(str(ROOT / "tracking" / script))["main"]([str(word) for word in words])

    return run
