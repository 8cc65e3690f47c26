"""F13: configurations that are wrong in every way known, each answered by one line, at once, and without torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lib import config
from lib.errors import UserError

ROOT = Path(__file__).resolve().parents[2]

# name -> (the file, or {file: its text} with test.yaml; the line to be named, None where there is none; words)
WRONG = {
    "unknown key": ("TEST:\n  MINBOX: 2\n", 2, "unknown key TEST.MINBOX (did you mean TEST.MIN_BOX?)"),
    "unknown section": ("TESTS:\n  MIN_BOX: 2\n", 1, "unknown key TESTS (did you mean TEST?)"),
    "key in the wrong section": ("MODEL:\n  SEARCH_FACTOR: 4\n", 2, "did you mean TEST.SEARCH_FACTOR?"),
    "key in lower case": ("test: {min_box: 2}\n", 1, "did you mean TEST?"),
    "no blank after the colon": ("TEST: {MIN_BOX:2}\n", 1, "unknown key TEST.MIN_BOX:2 (did you mean TEST.MIN_BOX?)"),
    "unknown key of 120 letters": (f"TEST:\n  {'x' * 120}: 2\n", 2, "unknown key TEST.xxx"),
    "wrong type": ("TEST:\n  MIN_BOX: two\n", 2, "TEST.MIN_BOX: input should be a valid number"),
    "text for a list": ("MODEL:\n  BACKBONE:\n    CE_LOC: all\n", 3, "MODEL.BACKBONE.CE_LOC"),
    "wrong item of a list": ("MODEL:\n  BACKBONE:\n    CE_LOC: [3, x]\n", 3, "MODEL.BACKBONE.CE_LOC"),
    "value for a section": ("TEST: 3\n", 1, "TEST: input should be a valid dictionary"),
    "section for a value": ("TEST: {MIN_BOX: {A: 1}}\n", 1, "TEST.MIN_BOX: input should be a valid number"),
    "nothing for a section": ("TEST:\n", 1, "TEST: input should be a valid dictionary"),
    "date for a number": ("TEST:\n  MIN_BOX: 2024-05-05\n", 2, "TEST.MIN_BOX: input should be a valid number"),
    "long text for a number": (f"TEST: {{MIN_BOX: {'x' * 900_000}}}\n", 1, "found 'xxx"),
    "digits without end": (f"TEST: {{MIN_BOX: {'1' * 5000}}}\n", 1, "not a valid int"),
    "negative": ("TEST:\n  MIN_BOX: -1\n", 2, "greater than 0"),
    "negative size": ("DATA: {SEARCH: {SIZE: -256}}\n", 1, "greater than"),
    "no number": ("TEST:\n  MIN_BOX: .nan\n", 2, "finite"),
    "infinite": ("TEST:\n  MIN_BOX: .inf\n", 2, "finite"),
    "overflow": ("TEST:\n  MIN_BOX: 1e400\n", 2, "finite"),
    "not among the choices": ("TEST: {WINDOW: hann}\n", 1, "'blend', 'mult', 'none' or 'expected'"),
    "crop no multiple of the patch": (
        "TEST: {MIN_BOX: 1}\nDATA:\n  SEARCH:\n    SIZE: 250\n",
        4,
        "DATA.SEARCH.SIZE 250 is not a multiple of MODEL.BACKBONE.STRIDE 16",
    ),
    "huge crop": ("DATA: {SEARCH: {SIZE: 16000}}\n", 1, "less than or equal to 4096"),
    "stride of the head": ("MODEL: {HEAD: {STRIDE: 7}}\n", 1, "MODEL.HEAD.STRIDE 7: expected 16 or 8"),
    "elimination one way": ("MODEL:\n  BACKBONE:\n    CE_LOC: [3]\n", 2, "needs ATTENTION: joint"),
    "window of a query that is not there": ("TEST: {WINDOW: expected}\n", 1, "expected needs MODEL.QUERY.ENABLE"),
    "stage B with a query": (
        "MODEL: {QUERY: {ENABLE: true}}\nTRAIN: {FEATURE_WEIGHT: 1}\n",
        2,
        "TRAIN.FEATURE_WEIGHT (stage B of the enhancer) is for a network without MODEL.QUERY",
    ),
    "repeated section": ("TEST: {MIN_BOX: 1}\nTEST: {WINDOW: none}\n", 2, "TEST is given twice"),
    "repeated key": ("TEST:\n  MIN_BOX: 1\n  MIN_BOX: 1\n", 3, "TEST.MIN_BOX is given twice"),
    "tab": ("TEST:\n\tMIN_BOX: 2\n", 2, "not YAML"),
    "uneven indent": ("TEST:\n  MIN_BOX: 2\n WINDOW: none\n", 3, "not YAML"),
    "unclosed bracket": ("TEST: {MIN_BOX: 2\n", 2, "not YAML"),
    "unclosed quote": ("TEST: {WINDOW: 'none}\n", 2, "not YAML"),
    "list": ("- 1\n- 2\n", 1, "expected `KEY: value` lines"),
    "bare word": ("lunar\n", 1, "expected `KEY: value` lines"),
    "HTML": ("<!DOCTYPE html>\n<html><body>404</body></html>\n", 1, "expected `KEY: value` lines"),
    "JSON with a comment": ('{"TEST": {"MIN_BOX": 1}} // or 2\n', 1, "not YAML"),
    "two documents": ("TEST: {MIN_BOX: 1}\n---\nTEST: {MIN_BOX: 2}\n", 2, "not YAML"),
    "number for a key": ("1: 2\n", 1, "expected a name before the colon, found 1"),
    "list for a key": ("? [a]\n: 1\n", 1, "expected a name"),
    "merge key": ("TEST:\n  <<: {MIN_BOX: 2}\n", 2, "not YAML"),
    "alias": ("TEST: &a {MIN_BOX: 2}\nDATA: *a\n", 2, "aliases (*name) are not allowed"),
    "bomb of anchors": (
        "a: &a [x, x]\n" + "".join(f"{k}: &{k} [{', '.join(['*' + chr(ord(k) - 1)] * 9)}]\n" for k in "bcdefghijkl"),
        2,
        "aliases (*name) are not allowed",
    ),
    "anchor of itself": ("TEST: &a {MIN_BOX: *a}\n", 1, "aliases (*name) are not allowed"),
    "Python object": ("TEST: !!python/object/apply:os.system ['true']\n", 1, "not YAML"),
    "impossible date": ("TEST:\n  MIN_BOX: 2001-99-99\n", 2, "not a valid timestamp"),
    "half a number": ("TEST: {MIN_BOX: 0x_}\n", 1, "not a valid int"),
    "wrong tag": ("TEST: {MIN_BOX: !!bool x}\n", 1, "not a valid bool"),
    "escape of no character": ('TEST: {WINDOW: "\\UFFFFFFFF"}\n', 1, "an escape that stands for no character"),
    "line break in a key": ('"A\\nB": 1\n', 1, "unknown key A\\nB"),
    "terminal's commands in a key": ('"A\\e[2J": 1\n', 1, "unknown key A\\x1b[2J"),
    "NUL": ("TEST:\n  MIN_BOX: \0\n", 2, "unexpected character '\\x00'"),
    "binary": (b"TEST:\n  MIN_BOX: \x80\x81\x82", 2, "is not UTF-8"),
    "UTF-16": ("TEST: {MIN_BOX: 2}\n".encode("utf-16"), 1, "is not UTF-8"),
    "10 MB": (b"# " + b"x" * 10_000_000, None, "is no configuration"),
    "5000 levels deep": ("{a: " * 5000, None, "nested too deeply"),
    "missing base": ({"test": "_BASE_: bse.yaml\n", "base": ""}, 1, "no file 'bse.yaml' beside this one (did you mean"),
    "base that no file can be": (f"TEST: {{MIN_BOX: 1}}\n_BASE_: {'a' * 300}\n", 2, "_BASE_: no file 'aaa"),
    "base that is a list": ("_BASE_: [a.yaml]\n", 1, "_BASE_: no file"),
    "base that is nothing": ("_BASE_:\n", 1, "_BASE_: no file None"),
    "base that is a folder": ("_BASE_: ..\n", 1, "_BASE_: no file '..'"),
    "base of itself": ("_BASE_: test.yaml\n", 1, "leads back to itself: test.yaml -> test.yaml"),
    "circle of bases": (
        {"test": "_BASE_: b.yaml\n", "b": "TEST: {MIN_BOX: 1}\n_BASE_: test.yaml\n"},
        ("b", 2),
        "leads back to itself: test.yaml -> b.yaml -> test.yaml",
    ),
    "mistake in the base": ({"test": "_BASE_: b.yaml\n", "b": "TEST:\n  MINBOX: 2\n"}, ("b", 2), "unknown key"),
    "budgets that are a number": ("BUDGETS: 3\n", 1, "BUDGETS.<name>: expected KEY: value lines, found 3"),
    "row of an ablation without keys": ("ABLATION:\n  a: 3\n", 2, "ABLATION.a: expected KEY: value lines, found 3"),
}
OVERRIDES = {
    "TEST.MINBOX=2": "unknown key TEST.MINBOX (did you mean TEST.MIN_BOX?)",
    "SEARCH.SIZE=3": "did you mean DATA.SEARCH?",
    "TEST.MIN_BOX": "expected KEY=VALUE",
    "TEST..MIN_BOX=1": "expected KEY=VALUE",
    "=": "expected KEY=VALUE",
    "TEST.MIN_BOX=": "TEST.MIN_BOX",
    "TEST.MIN_BOX=0": "greater than 0, found 0",
    "TEST.MIN_BOX=two": "input should be a valid number",
    "TEST.MIN_BOX=2001-99-99": "input should be a valid number",
    "TEST.MIN_BOX=!!bool x": "input should be a valid number",
    "TEST.MIN_BOX=" + "[" * 1500: "input should be a valid number",
    'TEST.MIN_BOX="\\UFFFFFFFF"': "input should be a valid number",
    "TEST.MIN_BOX.X=3": "input should be a valid number",
    "TEST=3": "input should be a valid dictionary",
    "_BASE_=x": "unknown key _BASE_",
    "A\nB=3": "unknown key A\\nB",
}


def answer(folder, text, overrides=()):
    """The message for lunar/test.yaml in `folder`, written from one of WRONG."""
    for name, content in text.items() if isinstance(text, dict) else [("test", text)]:
        path = folder / "lunar" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    config.EXPERIMENTS = folder
    try:
        config.load("lunar", "test", overrides)
    except UserError as error:
        return str(error)
    return "accepted"


def answer_all(folder):
    """Print as JSON what every case is answered, and which heavy packages were imported for it."""
    files = {name: answer(Path(folder) / str(k), case[0]) for k, (name, case) in enumerate(WRONG.items())}
    flags = {text: answer(Path(folder) / "flags", "", [text]) for text in OVERRIDES}
    heavy = sorted({"torch", "timm", "torchvision", "cv2", "matplotlib"} & set(sys.modules))
    print(json.dumps({"files": files, "flags": flags, "heavy": heavy}))


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What a process of its own, which can tell whether torch was imported, answers to all cases."""
    folder = tmp_path_factory.mktemp("configurations")
    code = "import sys; from tests.reliability import test_configuration; test_configuration.answer_all(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_the_corpus_is_as_large_as_promised():
    assert len(WRONG) >= 40 and len(WRONG) + len(OVERRIDES) >= 80


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_one_line_with_file_and_line(answers, name):
    folder, all_answers = answers
    _, line, words = WRONG[name]
    message = all_answers["files"][name]
    file, line = line if isinstance(line, tuple) else ("test", line)
    place = folder / str(list(WRONG).index(name)) / "lunar" / f"{file}.yaml"
    assert message.startswith(f"{place}:{line}: " if line else f"{place}: ")
    assert words in message
    assert message.isprintable() and len(message) < len(str(place)) + 300


@pytest.mark.parametrize("text", OVERRIDES)
def test_a_wrong_override_is_one_line_that_repeats_it(answers, text):
    message = answers[1]["flags"][text]
    assert message.startswith(f"--set {text[:6]}".replace("\n", "\\n")) and OVERRIDES[text] in message
    assert message.isprintable()


def test_torch_is_not_imported_for_it(answers):
    assert answers[1]["heavy"] == []


@pytest.mark.parametrize(
    "name", ["tinny", "../lunar/tiny", "", ".", "..", "a" * 300, "a\0b", "a\nb", "/etc/passwd", "-h"]
)
def test_names_of_no_configuration(name):
    with pytest.raises(UserError, match="^no configuration .* of lunar.*; there are: ") as error:
        config.load("lunar", name)
    assert str(error.value).isprintable()
