"""Weights files: those of others load exactly, hostile ones run nothing, damaged ones end in one line."""

import argparse
import functools
import importlib
import os
import pickle
import subprocess
import sys
import types
import zipfile
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import safetensors.torch
import torch
from easydict import EasyDict

from lib.errors import UserError
from lib.models.parts.weights import initialise_backbone, load_state, load_weights, save_weights
from tests.networks import make_lunar

SMALL = {"embed_dim": 48, "depth": 2, "num_heads": 3, "head_channels": 16, "template_size": 64, "search_size": 128}


def build(**options):
    return make_lunar(**(SMALL | options)).eval()


def ostrack_state(model, seed=0):
    """Random weights under OSTrack's names, with the two tensors that it carries along unused."""
    generator = torch.Generator().manual_seed(seed)
    state = {
        name: torch.rand(value.shape, generator=generator) if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    dim = model.backbone.embed_dim
    return {"backbone.cls_token": torch.ones(1, 1, dim), "backbone.pos_embed": torch.ones(1, 197, dim)} | state


@pytest.fixture
def settings():
    """An object of a class that only the training program had, as OSTrack pickles it."""
    module = types.ModuleType("lib_of_ostrack")
    sys.modules["lib_of_ostrack"] = module
    module.Settings = type("Settings", (), {"__module__": "lib_of_ostrack"})
    module.scale = lambda x: x
    module.scale.__module__, module.scale.__qualname__ = "lib_of_ostrack", "scale"
    made = module.Settings()
    made.epoch, made.function = 300, module.scale
    yield made
    sys.modules.pop("lib_of_ostrack", None)


def ostrack():
    return build(position="separate", token_types=False)


def test_ostrack_checkpoint_loads_exactly(tmp_path, settings):
    model = ostrack()
    state = ostrack_state(model)
    path = tmp_path / "OSTrack_ep0300.pth.tar"
    content = {
        "epoch": 300,
        "net": state,
        "settings": settings,
        "stats": OrderedDict(train=OrderedDict(Loss=np.float64(1.5), curve=np.arange(3))),
        "cfg": EasyDict(A=EasyDict(B=1)),
        "counts": defaultdict(int, a=1),
        "args": argparse.Namespace(lr=1e-4),
    }
    torch.save(content, path)
    sys.modules.pop("lib_of_ostrack")
    report = load_weights(model, path)
    assert report.complete and len(report.matched) == len(model.state_dict())
    assert {"backbone.cls_token", "backbone.pos_embed", "epoch", "lib_of_ostrack.Settings"} <= set(report.ignored)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert "\n" not in str(report) and str(path) in str(report)
    assert "lib_of_ostrack" not in sys.modules


@pytest.mark.parametrize("wrap", ["bare", "model", "state_dict", "teacher", "module.", "safetensors", "old format"])
def test_kinds_of_file(tmp_path, wrap):
    model = ostrack()
    state = {name: value for name, value in ostrack_state(model).items() if "num_batches" not in name}
    path = tmp_path / "weights.pth"
    if wrap == "safetensors":
        safetensors.torch.save_file(state, path)  # told by its content, not by its name
    elif wrap == "module.":
        torch.save({"net": {"module." + name: value for name, value in state.items()}}, path)
    else:
        content = state if wrap in ("bare", "old format") else {wrap: state, "epoch": 3}
        torch.save(content, path, _use_new_zipfile_serialization=wrap != "old format")
    loaded, ignored = load_state(path)
    assert loaded.keys() == state.keys() and all(torch.equal(loaded[name], state[name]) for name in state)
    assert ignored == ([] if wrap in ("bare", "old format", "safetensors", "module.") else ["epoch"])


WRAPPED = {
    "compiled": lambda state: {"net": {f"_orig_mod.{name}": value for name, value in state.items()}},
    "Lightning": lambda state: {"state_dict": {f"model.{name}": value for name, value in state.items()}, "epoch": 3},
    "compiled in DataParallel": lambda state: {"model": {f"module._orig_mod.{n}": v for n, v in state.items()}},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer_state_dict": {}},
    "ema": lambda state: {"ema": state, "epoch": 3},
    "params": lambda state: {"params": state},
    "params_ema": lambda state: {"params_ema": state, "params": {n: v * 0 for n, v in state.items()}},
    "nested": lambda state: {"ema": {"module": state, "decay": 0.9}},
    "averaged": lambda state: {"n_averaged": torch.tensor(5), **{f"module.{n}": v for n, v in state.items()}},
}


@pytest.mark.parametrize("wrap", WRAPPED)
def test_what_other_programs_wrap_a_state_dict_in(tmp_path, wrap):
    state = {name: value for name, value in ostrack_state(ostrack()).items() if "num_batches" not in name}
    torch.save(WRAPPED[wrap](state), tmp_path / "w.pth")
    loaded, _ = load_state(tmp_path / "w.pth")
    assert loaded.keys() == state.keys() and all(torch.equal(loaded[name], state[name]) for name in state)


def test_a_pickled_model_is_called_one(tmp_path, settings):
    torch.save({"model": settings}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="holds no tensors but lib_of_ostrack.Settings.*state_dict"):
        load_state(tmp_path / "w.pth")


def test_lunar_starts_from_ostrack(tmp_path):
    """Only positions, types and the fine stem are new; types start at zero, so nothing is added."""
    torch.save({"net": ostrack_state(ostrack())}, tmp_path / "w.pth.tar")
    model = build(head_stride=8)
    report = load_weights(model, tmp_path / "w.pth.tar", strict=False)
    assert {".".join(name.split(".")[:2]) for name in report.missing} == {
        "backbone.pos_embed",
        "backbone.type_embed",
        "box_head.stem",
        "box_head.lateral",
    }
    assert set(report.unexpected) == {"backbone.pos_embed_z", "backbone.pos_embed_x"} and not report.mismatched
    assert not model.backbone.type_embed.any()
    with pytest.raises(UserError, match="missing"):
        load_weights(build(head_stride=8), tmp_path / "w.pth.tar")


def test_mismatches_are_reported_and_strict_leaves_the_model_alone(tmp_path):
    model = ostrack()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = ostrack_state(model)
    state["box_head.conv5_ctr.weight"] = torch.ones(7, 2, 1, 1)
    state["query.weight"] = torch.ones(3)
    torch.save({"net": state}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w.pth.*1 unexpected \(query.weight\).*mismatched.*\(7, 2, 1, 1\) for"):
        load_weights(model, tmp_path / "w.pth")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    report = load_weights(model, tmp_path / "w.pth", strict=False)
    assert report.unexpected == ("query.weight",) and not report.missing
    assert report.mismatched == ("box_head.conv5_ctr.weight (7, 2, 1, 1) for (1, 2, 1, 1)",)


def test_other_networks_and_nan_are_refused_even_when_not_strict(tmp_path):
    torch.save({"layer1.weight": torch.ones(3)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="another network"):
        load_weights(ostrack(), tmp_path / "w.pth", strict=False)
    state = ostrack_state(ostrack())
    state["backbone.norm.bias"][3] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(UserError, match="backbone.norm.bias holds NaN"):
        load_weights(ostrack(), tmp_path / "nan.pth", strict=False)


# ---- hostile files


class Call:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def hostile_objects(canary):
    """Each would create the file `canary` if what it pickles were run."""
    touch, code = f"touch {canary}", f"open({str(canary)!r}, 'w').close()"
    command = ["touch", str(canary)]
    rebuild = torch._tensor._rebuild_from_type_v2
    return {
        "os.system": Call(os.system, touch),
        "os.popen": Call(os.popen, touch),
        "os.mkdir": Call(os.mkdir, str(canary)),
        "os.execvp": Call(os.execvp, "touch", command),
        "builtins.eval": Call(eval, code),
        "builtins.exec": Call(exec, code),
        "builtins.open": Call(open, str(canary), "w"),
        "builtins.getattr": Call(getattr, "text", "upper"),
        "builtins.map": Call(list, Call(map, os.system, [touch])),
        "importlib": Call(importlib.import_module, "antigravity"),
        "subprocess.Popen": Call(subprocess.Popen, command),
        "subprocess.check_output": Call(subprocess.check_output, command),
        "nested": Call(print, Call(eval, code), Call(len, Call(eval, "[1]"))),
        "nested in a list": [1, {"a": (Call(os.system, touch),)}],
        "pickle.loads": Call(pickle.loads, pickle.dumps(Call(os.system, touch))),
        "functools.partial": Call(functools.partial, os.system, touch),
        "compile": Call(exec, Call(compile, code, "x", "exec"), {}),
        "shutil": Call(importlib.import_module("shutil").copy, __file__, str(canary)),
        "runpy": Call(importlib.import_module("runpy").run_path, str(canary)),
        "numpy through a stand-in": Call(np.save, str(canary), 1),
        "torch.save": Call(torch.save, {}, str(canary)),
        "torch.load": Call(torch.load, str(canary)),
        "torch rebuild of eval": Call(rebuild, eval, torch.Tensor, (code,), {}),
        "torch rebuild of torch.save": Call(rebuild, torch.save, torch.Tensor, ({}, str(canary)), {}),
    }


NAMES = list(hostile_objects("canary"))
HARMLESS_BY_STAND_IN = {"numpy through a stand-in", "torch.save", "torch.load"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["zip", "old format", "plain pickle", "in the state dict"])
def test_hostile_files_run_nothing(tmp_path, name, kind):
    canary, path = tmp_path / "canary", tmp_path / "w.pth.tar"
    hostile = hostile_objects(canary)[name]
    content = {"net": {"a": torch.ones(2)}, "settings": hostile}
    if kind == "in the state dict":
        content = {"net": {"a": torch.ones(2), "b": hostile}}
    if kind == "plain pickle":
        path.write_bytes(pickle.dumps(hostile))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind != "old format")
    modules = set(sys.modules)
    searched = kind in ("zip", "in the state dict") or kind == "old format" and not name.startswith("torch")
    if name in HARMLESS_BY_STAND_IN and searched:
        state, ignored = load_state(path)
        assert list(state) == ["a"] and any("torch" in entry or "numpy" in entry for entry in ignored)
    else:
        with pytest.raises(UserError) as error:
            load_state(path)
        assert "\n" not in str(error.value) and str(path) in str(error.value)
    assert not canary.exists()
    assert "antigravity" not in set(sys.modules) - modules


def test_hand_written_opcodes_run_nothing(tmp_path):
    """Names put on the stack by other opcodes than GLOBAL, which the search beforehand does not see."""
    canary = tmp_path / "canary"
    touch = f"touch {canary}".encode()
    corpus = [
        b"cposix\nsystem\n(S'" + touch + b"'\ntR.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c" + bytes([len(touch)]) + touch + b"\x85R.",
        b"\x80\x02(S'" + touch + b"'\niposix\nsystem\n.",
        b"\x80\x02cbuiltins\neval\n(X\x01\x00\x00\x001oR.",
        b"\x80\x02c__builtin__\neval\nq\x00X\x01\x00\x00\x001q\x01\x85q\x02Rq\x03.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(ttR.",
        b"\x80\x02cshadow.thing\nmake\n(tR(tR.",  # calls what a stand-in returned
        b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cshadow.thing\nmake\ncshadow.thing\nkind\n(t}tR.",
    ]
    for number, data in enumerate(corpus):
        for zipped in (False, True):
            path = tmp_path / f"{number}.pth"
            if zipped:
                torch.save({"a": torch.ones(2)}, path)
                with zipfile.ZipFile(path) as source:
                    members = {name: source.read(name) for name in source.namelist()}
                with zipfile.ZipFile(path, "w") as target:
                    for name, value in members.items():
                        target.writestr(name, data if name.endswith("data.pkl") else value)
            else:
                path.write_bytes(data)
            with pytest.raises(UserError):
                load_state(path)
    assert not canary.exists()


# ---- damaged files


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>not found</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"\x00\x01\x02garbage" * 20, "not a weights file"),
        (b"PK\x03\x04" + b"\x00" * 100, "damaged"),
        (b"\x80\x02garbage", "damaged"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{not json at all", "damaged"),
    ],
)
def test_files_that_are_no_weights(tmp_path, data, message):
    path = tmp_path / "w.pth.tar"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message) as error:
        load_state(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["zip", "old format", "safetensors"])
def test_truncated_anywhere(tmp_path, kind):
    path = tmp_path / "w.pth"
    state = {"a": torch.arange(300.0), "b": torch.ones(3, 4)}
    if kind == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    for cut in range(0, len(whole), len(whole) // 50):
        path.write_bytes(whole[:cut])
        with pytest.raises(UserError):
            load_state(path)


def test_missing_empty_and_odd_contents(tmp_path):
    for place in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(UserError, match="no such file"):
            load_state(place)
    for number, content in enumerate([{}, {"epoch": 3}, [torch.ones(3)], torch.ones(3), {1: torch.ones(2)}]):
        torch.save(content, tmp_path / f"{number}.pth")
        with pytest.raises(UserError, match="no tensors|not a state dict"):
            load_state(tmp_path / f"{number}.pth")


# ---- image pre-training


def vit_state(model, grid, patch=16, prefix_rows=1, layer_scale=False):
    """Random ViT weights as image pre-training saves them."""
    generator = torch.Generator().manual_seed(3)
    state = {
        name: torch.rand(value.shape, generator=generator)
        for name, value in model.backbone.state_dict().items()
        if name.startswith(("blocks.", "norm.", "patch_embed.")) and (layer_scale or ".ls" not in name)
    }
    dim = model.backbone.embed_dim
    state["patch_embed.proj.weight"] = torch.rand(dim, 3, patch, patch, generator=generator)
    state["pos_embed"] = torch.rand(1, prefix_rows + grid**2, dim, generator=generator)
    state["cls_token"] = torch.rand(1, 1, dim, generator=generator)
    return state


def bicubic(table, grid, side):
    image = table.unflatten(1, (grid, grid)).permute(0, 3, 1, 2)
    image = torch.nn.functional.interpolate(image, (side, side), mode="bicubic", align_corners=False)
    return image.flatten(2).transpose(1, 2)


@pytest.mark.parametrize("position", ["shared", "separate"])
def test_mae(tmp_path, position):
    model = build(position=position)
    state = vit_state(model, grid=14)
    state |= {"mask_token": torch.ones(1, 1, 48), "decoder_blocks.0.norm1.weight": torch.ones(8)}
    torch.save({"model": state}, tmp_path / "mae.pth")
    report = initialise_backbone(model, tmp_path / "mae.pth")
    assert torch.equal(model.backbone.patch_embed.proj.weight, state["patch_embed.proj.weight"])
    assert torch.equal(model.backbone.blocks[1].mlp.fc2.weight, state["blocks.1.mlp.fc2.weight"])
    table = state["pos_embed"][:, 1:]
    if position == "separate":
        assert (model.backbone.pos_embed_z - bicubic(table, 14, 4)).abs().max() < 1e-6
        assert (model.backbone.pos_embed_x - bicubic(table, 14, 8)).abs().max() < 1e-6
    else:
        assert (model.backbone.pos_embed - bicubic(table, 14, 8)).abs().max() < 1e-6
    assert report.missing == ("type_embed",) and not report.mismatched
    assert {"cls_token", "mask_token", "decoder_blocks.0.norm1.weight"} <= set(report.ignored)


def test_dinov2_with_registers(tmp_path):
    model = build(patch_size=14, template_size=56, search_size=112, register_tokens=4, layer_scale=True)
    state = vit_state(model, grid=37, patch=14, layer_scale=True)
    state["register_tokens"] = torch.rand(1, 4, 48)
    torch.save(state, tmp_path / "dinov2.pth")
    report = initialise_backbone(model, tmp_path / "dinov2.pth")
    assert torch.equal(model.backbone.reg_token, state["register_tokens"])
    assert torch.equal(model.backbone.blocks[0].ls1.gamma, state["blocks.0.ls1.gamma"])
    assert report.missing == ("type_embed",)
    without = build(patch_size=14, template_size=56, search_size=112)
    with pytest.raises(UserError, match="ls1.gamma"):
        initialise_backbone(without, tmp_path / "dinov2.pth")


def test_timm_without_class_row_and_with_another_patch(tmp_path):
    model = build()
    state = vit_state(model, grid=8, patch=14, prefix_rows=0)
    safetensors.torch.save_file(state, tmp_path / "vit.safetensors")
    initialise_backbone(model, tmp_path / "vit.safetensors")
    assert torch.equal(model.backbone.pos_embed, state["pos_embed"])
    assert model.backbone.patch_embed.proj.weight.shape == (48, 3, 16, 16)


def test_backbones_that_do_not_fit(tmp_path):
    torch.save({"stem.weight": torch.ones(3)}, tmp_path / "cnn.pth")
    with pytest.raises(UserError, match="no image pre-training of a ViT"):
        initialise_backbone(build(), tmp_path / "cnn.pth")
    for other, message in ({"embed_dim": 96}, "another network"), ({"depth": 3}, "another ViT"):
        torch.save(vit_state(build(**other), grid=14), tmp_path / "other.pth")
        with pytest.raises(UserError, match=message):
            initialise_backbone(build(), tmp_path / "other.pth")


@pytest.mark.parametrize(
    "notes", [{}, {"epoch": 3, "seed": 1, "made": 'ä "q"\n', "options": '{"a": 1}', "by": "us", "x": ""}]
)
def test_equal_weights_are_equal_files(tmp_path, notes):
    state = {"b": torch.arange(6.0).view(2, 3).t(), "a": torch.tensor([float("inf"), -0.0]), "n": torch.tensor(7)}
    files = [tmp_path / f"{number}.safetensors" for number in range(8)]
    for file in files:
        save_weights(file, state, **notes)
    assert len({file.read_bytes() for file in files}) == 1
    found, _ = load_state(files[0])
    assert set(found) == set(state) and all(torch.equal(found[name], state[name]) for name in state)
    with safetensors.safe_open(files[0], "pt") as file:
        assert (file.metadata() or {}) == {name: str(text) for name, text in notes.items()}
