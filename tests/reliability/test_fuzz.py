"""F30: whatever bytes a parser is given, it answers or raises UserError with one line.

python -m pytest -m soak tests/reliability/test_fuzz.py     forty times as many inputs, new ones each time
"""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib import config, registry
from lib.config.read import parse_value, parse_yaml
from lib.data import textfile
from lib.errors import UserError
from lib.test.evaluation import results
from tests.reliability.test_configuration import OVERRIDES, WRONG
from tests.reliability.test_ground_truth import INVALID, VALID

FRAMES = 3


def fuzz(examples, inputs):
    """Decorate a test that takes an input: it gets so many of `inputs` (a strategy), always the same ones.

    Its twin <name>_soak, marked `soak`, gets forty times as many, new ones each time.
    """

    def decorate(test):
        def version(count, fixed):
            common = {"database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}
            return settings(max_examples=count, derandomize=fixed, **common)(given(inputs)(test))

        globals()[f"{test.__name__}_soak"] = pytest.mark.soak(version(40 * examples, fixed=False))
        return version(examples, fixed=True)

    return decorate


def changed(corpus, pieces):
    """Bytes of a corpus with up to three parts replaced by pieces of syntax or by any bytes."""
    piece = st.one_of(st.sampled_from(pieces), st.binary(max_size=4))
    change = st.tuples(st.integers(0, 400), st.integers(0, 6), piece)
    return st.builds(_change, st.sampled_from(corpus), st.lists(change, max_size=3))


def _change(data, changes):
    for place, length, piece in changes:
        place %= len(data) + 1
        data = data[:place] + piece + data[place + length :]
    return data


NUMBERS = [data for data in (*VALID.values(), *(data for data, *_ in INVALID.values())) if data is not None]
NUMBER_PIECES = [
    *b"0 1 -1 . 9.5 1e5 1e-400 1e400 nan NaN inf -nan - + _ , ; # x 0x1f 1. .5 1e E".split(),
    *(b" ", b"\t", b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\x0b", b"\x1c", b"\x85", b"\xa0", b"\xc2\xa0"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xd9\xa1", b"1" * 16, b"1" * 400),
]
TEXTS = [
    text if isinstance(text, bytes) else text.encode()
    for text in (text["test"] if isinstance(text, dict) else text for text, *_ in WRONG.values())
    if len(text) < 200
]
TEXTS += [b"TEST: {MIN_BOX: 2, WINDOW: none}\nDATA:\n  SEARCH: {SIZE: 320}\nMODEL: {BACKBONE: {CE_LOC: [3, 6]}}\n"]
YAML_PIECES = [
    *b": - , ? ! !! !!int !!bool !!float !!timestamp !!binary !!set !!omap !!null & * | > % @ ` ' \" # << = ~".split(),
    *b"{ } [ ] {} [] null true .nan .inf 1e400 0x_ 0b_ 0o9 1:99 2001-99-99 --- ... TEST MIN_BOX _BASE_ DATA".split(),
    *(b" ", b"\n", b"\t", b"\r", b": ", b"- ", b"\\x", b"\\UFFFFFFFF", b"\0", b"\xff", b"\xc2\x85", b"\xe2\x80\xa8"),
]


def one_line(error, path):
    assert str(error).isprintable() and re.match(re.escape(path) + r":(\d+:)? .", str(error))


@fuzz(1000, changed(NUMBERS, NUMBER_PIECES))
def test_ground_truth(data):
    """The fast parser and the careful one also agree on every number."""
    for columns in ((4,), (4, 8)):
        try:
            boxes = textfile.parse_boxes(data, "a.txt", columns)
        except UserError as error:
            one_line(error, "a.txt")
            continue
        assert boxes.dtype == np.float64 and boxes.shape[1] == 4 and len(boxes)
        assert (np.isfinite(boxes).all(axis=1) | np.isnan(boxes).all(axis=1)).all()
        if columns == (4,):
            np.testing.assert_array_equal(boxes, textfile._parse_slowly(data, "a.txt", columns, True))


@fuzz(300, changed(NUMBERS, NUMBER_PIECES))
def test_flags_and_times(data):
    try:
        values = textfile.parse_numbers(data, "a.txt")
    except UserError as error:
        one_line(error, "a.txt")
    else:
        assert values.ndim == 1 and len(values) and np.isfinite(values).all()


@fuzz(400, changed(NUMBERS, NUMBER_PIECES))
def test_result_files(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "result.txt"
    path.write_bytes(data)
    path.with_name("result_time.txt").write_bytes(data)
    try:
        boxes, surplus = results.read(path, FRAMES)
    except UserError as error:
        one_line(error, str(path))
    else:
        assert boxes.shape == (FRAMES, 4) and surplus >= 0
    try:
        times = results.read_companion(path, "_time", FRAMES)
    except UserError as error:
        one_line(error, str(path.with_name("result_time.txt")))
    else:
        assert times.shape == (FRAMES,)


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """The file of the configuration `lunar test`."""
    monkeypatch.setattr(config, "EXPERIMENTS", tmp_path)
    (tmp_path / "lunar").mkdir()
    return tmp_path / "lunar" / "test.yaml"


@fuzz(250, st.one_of(changed(TEXTS, YAML_PIECES), st.binary(max_size=30)))
def test_configurations(experiment, data):
    experiment.write_bytes(data)
    try:
        config.load("lunar", "test")
        config.ablation("lunar", "test")
    except UserError as error:
        one_line(error, str(experiment))


@fuzz(400, st.one_of(changed(TEXTS, YAML_PIECES).map(lambda data: data.decode(errors="replace")), st.text(max_size=30)))
def test_yaml(text):
    parse_value(text)
    try:
        values, places = parse_yaml(text, "a.yaml")
    except UserError as error:
        one_line(error, "a.yaml")
    else:
        assert set(values) <= set(places)


FLAGS = [text.encode() for text in OVERRIDES if len(text) < 100]
KEYS = [name for name, *_ in config.keys(registry.schema("lunar"))]


@fuzz(
    150,
    st.one_of(
        changed(FLAGS, YAML_PIECES).map(lambda data: data.decode(errors="replace")),
        st.builds("{}={}".format, st.sampled_from(KEYS), changed([b"1", b"[1, 2]"], YAML_PIECES).map(repr)),
    ),
)
def test_overrides(experiment, text):
    experiment.write_text("TEST: {WINDOW: none}\n")
    try:
        config.load("lunar", "test", [text])
    except UserError as error:
        assert str(error).isprintable() and str(error).startswith("--set ")
