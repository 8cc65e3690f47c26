"""docs/coming_from_pytracking.md: each command on the right is there, each checkpoint is what its configuration wants.

That the commands know their flags is tested with those of all pages (tests/test_docs.py).
"""

import re
import runpy
from pathlib import Path

import pytest

from lib import config

ROOT = Path(__file__).resolve().parents[2]
TABLES = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs/coming_from_pytracking.md").read_text().splitlines()
    if line.startswith("| `")
]
SCRIPTS = sorted({found[1] for row in TABLES for found in re.finditer(r"`python (\S+\.py)", row[1])})
ROWS = [row for row in TABLES if len(row) == 5]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_of_each_command(script, capsys):
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / script))["main"](["--help"])
    assert ended.value.code == 0 and "usage:" in capsys.readouterr().out


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_each_configuration_asks_for_its_checkpoint(row):
    script, name = row[1].strip("`").split()
    settings = config.load(script, name)
    assert (f"`{settings.TEST.CHECKPOINT}`" in row[2] or row[2] == "the same") and settings.TEST.SOURCE
    assert row[4] == f"`{script}/{name}/`"


def test_no_configuration_is_left_out():
    released = {f"`{script} {name}`" for script in ("dimp", "atom", "tomp", "keep_track")
                for name in config.names(script) if config.load(script, name).TEST.SOURCE}  # fmt: skip
    assert {row[1] for row in ROWS} == released
