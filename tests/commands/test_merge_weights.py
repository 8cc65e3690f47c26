"""tracking/merge_weights.py as a user meets it."""

import pytest
import torch

from lib.models.parts.weights import load_state, save_weights


def write(path, **state):
    save_weights(path, {name: torch.as_tensor(value) for name, value in state.items()})
    return path


def test_the_mean_of_weights(tmp_path, command, capsys):
    files = [
        write(
            tmp_path / f"{seed}.safetensors", w=[1.0 * seed, 2.0], half=torch.tensor([seed], dtype=torch.half), n=seed
        )
        for seed in (1, 2, 6)
    ]
    out = tmp_path / "out.safetensors"
    assert command("merge_weights.py", out, *files) == 0
    assert "3 tensors" in capsys.readouterr().out
    found, _ = load_state(out)
    assert found["w"].tolist() == [3.0, 2.0] and found["half"].dtype == torch.half and found["half"].item() == 3
    assert found["n"].item() == 6 and not found["n"].is_floating_point()
    before = out.read_bytes()
    assert command("merge_weights.py", out, out, out) == 0
    assert all(torch.equal(value, found[name]) for name, value in load_state(out)[0].items())
    torch.save({"net": found}, tmp_path / "checkpoint.pth.tar")
    assert command("merge_weights.py", out, *files[:1], tmp_path / "checkpoint.pth.tar") == 0
    assert load_state(out)[0]["w"].tolist() == [2.0, 2.0] and out.read_bytes() != before


def test_each_tensor_from_the_first_file_that_has_it(tmp_path, command):
    files = write(tmp_path / "new.safetensors", w=[5.0]), write(tmp_path / "old.safetensors", w=[1.0, 1.0], query=[2.0])
    assert command("merge_weights.py", tmp_path / "out.safetensors", *files, "--by", "first") == 0
    assert {name: value.tolist() for name, value in load_state(tmp_path / "out.safetensors")[0].items()} == {
        "w": [5.0],
        "query": [2.0],
    }


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"w": [1.0, 2.0, 3.0]}, "w (3,), there (2,)"),
        ({"v": [1.0, 2.0]}, "v (2,), there no such tensor"),
        ({"w": [1.0, 2.0], "v": [1.0]}, "v (1,), there no such tensor"),
        ({"w": [1.0, float("nan")]}, "NaN"),
    ],
)
def test_what_cannot_be_averaged_is_one_line(tmp_path, command, capsys, state, message):
    one, other = write(tmp_path / "one.safetensors", w=[1.0, 2.0]), write(tmp_path / "other.safetensors", **state)
    out = write(tmp_path / "out.safetensors", kept=[1.0])
    assert command("merge_weights.py", out, one, other) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(other) in error and message in error
    assert list(load_state(out)[0]) == ["kept"]


def test_wrong_words(tmp_path, command, capsys):
    assert command("merge_weights.py", tmp_path / "out.pth", tmp_path / "x") == 2
    assert "ends in .safetensors" in capsys.readouterr().err
    assert command("merge_weights.py", tmp_path / "out.safetensors", tmp_path / "x") == 2
    assert "no such file" in capsys.readouterr().err
