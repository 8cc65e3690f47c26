"""Configuration: values, inheritance, overrides. Mistakes are in tests/reliability/test_configuration.py."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib import config
from lib.config.read import read_yaml
from lib.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Write experiments/lunar/<name>.yaml in a temporary folder."""
    monkeypatch.setattr(config, "EXPERIMENTS", tmp_path)
    (tmp_path / "lunar").mkdir()

    def write(text, name="test"):
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "lunar" / f"{name}.yaml").write_bytes(data)
        return tmp_path / "lunar" / f"{name}.yaml"

    return write


@pytest.mark.parametrize(
    "path", sorted(EXPERIMENTS.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_every_shipped_experiment_loads(path):
    config.load(path.parent.name, path.stem)


@pytest.mark.parametrize("name", ["baseline", "tiny"])
def test_the_smoke_budget_of_a_query(name):
    """Clips, with a query, in one stage, from nothing but a trunk; and of the pairs before them neither."""
    cfg = config.load("lunar", name, budget="smoke")
    assert cfg.MODEL.QUERY.ENABLE and cfg.DATA.SEARCH.NUMBER > 1 and cfg.TEST.WINDOW == "expected"
    trunk = cfg.MODEL.BACKBONE.TYPE == "lite0"
    assert cfg.DATA.TRAIN.DATASETS_NAME == ["lunar_demo"]
    started = (cfg.MODEL.PRETRAIN_FILE, cfg.TRAIN.FREEZE)
    assert started == (("package", ["backbone.patch_embed.trunk"]) if trunk else ("", []))
    assert cfg.DATA.ABSENT == 0 and cfg.TRAIN.EPOCH <= 5
    pairs = config.load("lunar", f"{name}_pairs", budget="smoke")
    assert not pairs.MODEL.QUERY.ENABLE and pairs.DATA.SEARCH.NUMBER == 1 and pairs.TEST.WINDOW == "blend"


@pytest.mark.parametrize("script", ["dimp", "mkdnet"])
def test_the_smoke_budget_trains_the_network_that_tracks(script):
    whole, smoke = (config.load(script, "lite", budget=budget).MODEL for budget in (None, "smoke"))
    assert smoke == whole


def test_values_inheritance_and_overrides(experiment):
    experiment("TEST: {MIN_BOX: 2, WINDOW: none}\nDATA: {SEARCH: {SIZE: 320}}\n", "base")
    experiment("_BASE_: base.yaml\nTEST: {WINDOW: mult}\n")
    cfg = config.load(
        "lunar",
        "test",
        ["TEST.WINDOW_INFLUENCE=1e-3", "MODEL.BACKBONE.CE_LOC=[3, 6]", "MODEL.BACKBONE.ATTENTION=joint"],
    )
    assert cfg.TEST.MIN_BOX == 2 and cfg.TEST.WINDOW == "mult" and cfg.DATA.SEARCH.SIZE == 320
    assert cfg.TEST.WINDOW_INFLUENCE == 0.001, "1e-3 is a number, which plain PyYAML denies"
    assert cfg.MODEL.BACKBONE.CE_LOC == [3, 6]


def test_unknown_names():
    with pytest.raises(UserError, match="did you mean tiny"):
        config.load("lunar", "tinny")
    with pytest.raises(UserError, match="did you mean lunar"):
        config.load("lunr", "tiny")


def test_every_key_says_what_it_means():
    from lib import registry

    for script in registry.scripts():
        for name, kind, _, meaning in config.keys(registry.schema(script)):
            assert meaning and kind, name


@pytest.mark.parametrize(
    "command",
    [
        ["tracking/test.py", "--help"],
        ["tracking/test.py", "lunar", "tinny"],
        ["tracking/test.py", "lunar", "tiny", "--set", "TEST.MINBOX=2"],
        ["tracking/analysis_results.py", "--help"],
        ["tracking/video_demo.py", "--help"],
        ["tracking/profile_model.py", "--config", "tinny"],
    ],
    ids=" ".join,
)
def test_help_and_mistakes_do_not_import_torch(command):
    """They answer in a fraction of a second because torch, which takes seconds, is not imported."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-X", "importtime", *command], cwd=ROOT, capture_output=True, text=True)
    print(f"{time.perf_counter() - began:.2f} s")
    assert done.returncode == (0 if "--help" in command else 2)
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert not imported & {"torch", "timm", "matplotlib", "torchvision"}
    errors = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert len(errors) == (0 if "--help" in command else 1)


def test_lines_are_remembered(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("A:\n  B: 1\n\n  C: {D: 2}\n")
    settings, lines = read_yaml(path)
    assert settings == {"A": {"B": 1, "C": {"D": 2}}}
    assert {name: line for name, (_, line) in lines.items()} == {"A": 1, "A.B": 2, "A.C": 4, "A.C.D": 4}


def test_paths_from_argument_environment_file(tmp_path, monkeypatch):
    import lib.config.paths as module

    monkeypatch.setattr(module, "LOCAL", tmp_path / "local.yaml")
    monkeypatch.delenv("LUNAR_DATA", raising=False)
    assert module.paths().data == ROOT / "data"
    (tmp_path / "local.yaml").write_text("data: /from/file\n")
    assert module.paths().data == Path("/from/file")
    monkeypatch.setenv("LUNAR_DATA", "/from/environment")
    assert module.paths().data == Path("/from/environment")
    assert module.paths(data="/from/argument").data == Path("/from/argument")
    (tmp_path / "local.yaml").write_text("dat: /x\n")
    with pytest.raises(UserError, match=r"local.yaml:1: expected a folder for one of data, output, pretrained"):
        module.paths()


def test_no_key_has_two_limits_of_one_kind():
    """Pydantic keeps the last of them, which is that of a type such as Count."""
    from lib import registry
    from lib.config.sections import Section

    def fields(section):
        for name, field in section.model_fields.items():
            yield name, field
            if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
                yield from fields(field.annotation)

    for script in registry.scripts():
        for name, field in fields(registry.schema(script)):
            kinds = [type(limit) for limit in field.metadata]
            assert len(kinds) == len(set(kinds)), f"{script} {name}"


@pytest.mark.parametrize(
    ("script", "name", "change"),
    [
        ("dimp", "lite", "TRAIN.BATCH_SIZE=1"),
        ("mkdnet", "lite", "TRAIN.BATCH_SIZE=1"),
        ("atom", "default", "TRAIN.BATCH_SIZE=1"),
        ("dimp", "lite", "TEST.MEMORY=15"),
    ],
)
def test_too_few(script, name, change):
    """Batch norms of the IoU-Net, and the samples of the first frame, need several."""
    with pytest.raises(UserError, match=f"{change.partition('=')[0]}: input should be greater than or equal to"):
        config.load(script, name, [change])
