"""What the documents promise: links lead somewhere, command lines exist with their flags, the tutorial runs."""

import argparse
import contextlib
import importlib
import inspect
import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

import lib
from lib import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "data/README.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("pretrained/*.md"),
    ]
)
COMMANDS = re.compile(r"^(?:python )?((?:tracking|docs/recipes|lib/test/utils)/\w+\.py|lunar \w+)\b *(.*)$")


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def prose(text):
    """A page without its code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def anchors(text):
    """The places in a page that a link may name, as GitHub makes them of its headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def shown(text):
    """The command lines in the code of a page, continuation lines joined, without their remarks."""
    blocks = re.findall(r"```(?:bash|sh)?\n(.*?)```", text, re.DOTALL)
    blocks += ["\n".join(re.findall(r"^    (.*)$", text, re.MULTILINE)), "\n".join(re.findall(r"`([^`\n]+)`", text))]
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        found = COMMANDS.match(re.sub(r"\s+#\s.*$", "", line.strip().removeprefix("$ ")))
        if found and found[2] and "<" not in found[2]:
            yield found[1], shlex.split(found[2].replace("...", ""))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_named_files_exist(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.exists(), f"{name_of(page)}: {target}"
        assert not anchor or anchor in anchors(place.read_text()), f"{name_of(page)}: {target}"
    for name in re.findall(r"`((?:tests|lib|tracking|experiments|docs)/[\w/.]*\w)`", text):
        if not re.search(r"/X\b|<|mine.yaml|data_specs", name):  # what a reader is to make, and OSTrack's own folder
            assert (ROOT / name).exists(), f"{name_of(page)}: {name}"


class Parsed(Exception):  # noqa: N818 -- no error: it ends a command once its flags are read
    pass


@pytest.fixture(scope="module")
def parse():
    """parse(command, words): read the flags of a command line as it does itself, and run nothing.

    Returns None if they are accepted, else what is wrong.
    """
    mains = {}

    def main_of(command):
        if command not in mains:
            if command.startswith("lunar "):
                module, _ = cli.SUBCOMMANDS[command.removeprefix("lunar ")]
                mains[command] = importlib.import_module(f"lib.commands.{module}").main
            else:
                mains[command] = runpy.run_path(str(ROOT / command))["main"]
        return mains[command]

    def run(command, words):
        known_args, wrong, depth = argparse.ArgumentParser.parse_known_args, [], []

        def strict(parser, args=None, namespace=None):
            depth.append(parser)  # the parsers of subcommands go on as they are
            _, unknown = known_args(parser, args, namespace)
            wrong.extend(f"unknown words {unknown}" for _ in unknown[:1])
            raise Parsed

        def tolerant(parser, args=None, namespace=None):
            found = known_args(parser, args, namespace)
            if not depth:  # the command itself passes on what it does not know
                raise Parsed
            return found

        def error(parser, message):
            wrong.append(message)
            raise Parsed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(argparse.ArgumentParser, "parse_args", strict)
            patch.setattr(argparse.ArgumentParser, "parse_known_args", tolerant)
            patch.setattr(argparse.ArgumentParser, "error", error)
            patch.setattr(sys, "argv", [command, *words])
            with contextlib.suppress(Parsed):
                main = main_of(command)
                main(*[words] if inspect.signature(main).parameters else [])
                wrong.append("read no flags")
        return wrong[0] if wrong else None

    return run


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_command_lines_are_accepted(page, parse):
    for command, words in shown(page.read_text()):
        known = (ROOT / command).is_file() if "/" in command else command.removeprefix("lunar ") in cli.SUBCOMMANDS
        assert known, f"{name_of(page)}: there is no {command}"
        wrong = parse(command, words)
        assert wrong is None, f"{name_of(page)}: {command} {shlex.join(words)}: {wrong}"


def test_every_command_is_in_some_document():
    text = "".join(page.read_text() for page in PAGES)
    for script in ROOT.glob("tracking/*.py"):
        assert name_of(script) in text, script


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_tutorial_runs(monkeypatch, capsys, tmp_path):
    """Its code, cell after cell. Installed, the package is called lunar_tracking."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setitem(sys.modules, "lunar_tracking", lib)
    notebook = json.loads((ROOT / "docs/tutorial.ipynb").read_text())
    scope = {"__name__": "__main__"}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, "stored without answers"
            exec(compile("".join(cell["source"]), cell["id"], "exec"), scope)
    out = capsys.readouterr().out
    assert "frame: expected dtype uint8, found float64" in out
    scores = {name: float(value) for name, value in re.findall(r"^(\w+).* AUC (\S+) ", out, re.MULTILINE)}
    assert scores["lunar"] > 85 > 50 > scores["still"]
