"""Rules that hold for the whole tree: who may import whom, what is never called, what the lock must satisfy."""

import ast
import re

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    tomllib = None
from pathlib import Path

import pytest

from lib import registry

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted([*ROOT.glob("lib/**/*.py"), *ROOT.glob("tracking/*.py")])

# room -> rooms it must not import
CLOSED = {
    "lib/config": ("lib.data", "lib.models", "lib.train", "lib.test", "lib.vis"),
    "lib/data": ("lib.models", "lib.train", "lib.test", "lib.export", "lib.vis"),
    "lib/models": ("lib.config", "lib.data", "lib.train", "lib.test", "lib.export", "lib.vis", "lib.registry"),
    "lib/export": ("lib.config", "lib.train", "lib.test", "lib.vis", "lib.registry", "lib.models.lunar"),
    "lib/train": ("lib.test",),
    "lib/test": ("lib.train",),
}


def imports(tree, package):
    """Full names of the modules that a file imports. package: of the file, as in "lib.data"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            yield module
            yield from (f"{module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_keeps_the_rules(path):
    tree = ast.parse(path.read_text())
    place = path.relative_to(ROOT).as_posix()
    if place.startswith("lib/"):  # installed, the package is called lunar_tracking
        absolute = [name for name in imports(tree, "") if name.partition(".")[0] == "lib"]
        assert not absolute, f"{place}: imports within lib are relative"
    for room, others in CLOSED.items():
        if place.startswith(f"{room}/"):
            for name in imports(tree, place.rpartition("/")[0].replace("/", ".")):
                excepted = path.name == "build.py" and name.startswith("lib.config.paths")  # where weights are
                assert excepted or not name.startswith(others), f"{place} imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{place}:{node.lineno}: bare except"
            assert not (
                len(node.body) == 1 and isinstance(node.body[0], ast.Pass) and "Exception" in ast.dump(node.type)
            )
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            where = f"{place}:{node.lineno}: {name}"
            if place.startswith(("lib/models/", "lib/test/", "lib/export/")):
                assert name != "hasattr", f"{where}: a contract's class says what there is"
            assert name not in ("eval", "exec", "os.system", "pickle.load", "pickle.loads", "np.load"), where
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert keywords.get("shell") != "True", where
            if name == "torch.load":
                assert keywords.get("weights_only") == "True", where
            if name == "yaml.load":
                assert keywords.get("Loader") == "_Loader", where


# Files that are a family's own. `enhancer` is a family and also a part of others, so its name may stand anywhere.
FAMILIES = tuple(name for name in registry.FAMILIES if name != "enhancer")
OWN = re.compile(
    r"lib/(registry\.py|config/{0}\.py|models/{0}/.*|train/(actors|data)/{0}(_\w+)?\.py|test/tracker/{0}(_\w+)?\.py)".format(
        f"({'|'.join((*FAMILIES, 'ball'))})"  # the families that find a ball share all their files
    )
)
# What may name a family elsewhere: (pattern of files, pattern of the line, why).
ALLOWED = (
    (r"lib/.*", r"\"lunar: ", "messages begin with the name of the command, which is the package's"),
    (r"lib/(cli|__main__|commands/__init__)\.py", r"lunar [{N\[C]", "`lunar NAME` is the command"),
    (r"lib/test/follow/(video|first_boxes)\.py", r'cv2\.\w+\("lunar"', "the title of a window"),
    (r"lib/test/analysis/plots\.py", "svg.hashsalt", "any constant text"),
    (r"lib/(data/benchmarks/entries|commands/test)\.py", "(?i)lunar", "a benchmark is called lunar"),
    (r"lib/test/evaluation/selection\.py", "make some with", "an example in a hint"),
    (r"lib/test/analysis/enhancer_words\.py", "such as opencv/mil", "an example in a message"),
    (r"lib/(test/analysis/report|commands/analysis_results|api)\.py", '"stark"', "a rule of counting frames"),
    (r"lib/test/analysis/metrics\.py", r"\bstark\b", "the same rule"),
    (r"lib/__init__\.py", "load_tracker", "an example of the public API"),
    (r"lib/test/analysis/point_metrics\.py", "tracknetv3", "a rule is called like the code that it is from"),
    (r"lib/commands/track\.py", "FAMILY:CONFIG", "the tracker of those who name none"),
)


def families_named(path):
    """Lines of a file, outside the examples of its help, that name a family: by a word, a module or a class."""
    text = path.read_text()
    examples = [
        range(node.lineno, node.end_lineno + 1)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXAMPLES"
    ]
    words = [name for name in FAMILIES if name != "identity"]  # which is an English word as well
    titles = [name.title() for name in words]
    pattern = re.compile(
        rf"(?<![-\w])({'|'.join(words)})(?![-\w])"
        rf"|\b({'|'.join(titles)})([A-Z]\w*|\b(?! Tracking))|\b\w+({'|'.join(titles)})\b"
        rf"|\.({'|'.join(FAMILIES)}) import"
    )
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.search(line) and not any(number in lines for lines in examples):
            yield number, line


def test_a_family_is_named_only_in_its_places():
    """So that a new family changes no file of another one."""
    wrong = []
    for path in FILES:
        place = path.relative_to(ROOT).as_posix()
        allowed = [text for file, text, _ in ALLOWED if re.fullmatch(file, place)]
        if not OWN.fullmatch(place):
            found = [each for each in families_named(path) if not any(re.search(text, each[1]) for text in allowed)]
            wrong += [f"{place}:{number}: {line.strip()}" for number, line in found]
    assert not wrong, "\n".join(wrong)


def requirement(line):
    match = re.match(r"([\w.-]+)\s*(.*)", line)
    return match[1].lower(), match[2].strip()


@pytest.mark.skipif(tomllib is None, reason="reads pyproject.toml with tomllib, which Python 3.10 lacks")
def test_one_set_of_ranges_and_a_lock_within_them():
    lines = [line for line in (ROOT / "requirements.in").read_text().splitlines() if line and not line.startswith("#")]
    ranges = dict(map(requirement, lines))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = dict(map(requirement, project["dependencies"] + extras["train"] + extras["dev"]))
    assert declared == ranges
    lock = (ROOT / "requirements.lock").read_text()
    locked = {}
    for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", lock, re.MULTILINE):
        locked.setdefault(name.lower(), []).append(tuple(map(int, re.findall(r"\d+", version)[:3])))
    for name, limits in ranges.items():
        assert name in locked, f"{name} is not in the lock"
        for operator, limit in re.findall(r"(>=|<|==)([\d.]+)", limits):
            bound = tuple(map(int, limit.split(".")))
            for version in locked[name]:
                assert {">=": version >= bound, "<": version < bound, "==": version == bound}[operator], (name, version)
    assert "://" not in lock and lock.count("--hash=sha256:") > 1000
    assert "requirements.lock" in (ROOT / "Dockerfile").read_text(), "the image installs the same lock"
