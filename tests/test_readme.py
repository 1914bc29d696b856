"""The README's commands and examples are what they say."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def command(name):
    """As a reader finds it: the block below the marker."""
    return re.search(rf"<!-- command: {name} -->\n```bash\n(.*?)```", README, re.S)[1]


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("notebooks", ["-m venv .venv", '".[lab]"', "/kit lab"]),
        ("tests", ["-m venv .venv-test", '".[test]"', "-m pytest"]),
    ],
)
def test_a_command_is_one_line_and_complete(name, steps):
    lines = command(name).splitlines()
    assert len(lines) == 1
    parts = lines[0].split(" && ")
    assert len(parts) == len(steps)
    for part, step in zip(parts, steps, strict=True):
        assert step in part
    assert "://" not in lines[0]


@pytest.mark.skipif(os.name != "posix", reason="the checks are a POSIX script")
@pytest.mark.parametrize("name", ["notebooks", "tests"])
def test_what_is_checked_is_what_is_written(name):
    found = subprocess.run(["bash", ROOT / ".ci/command", name], capture_output=True, text=True, check=True).stdout
    assert found == command(name)


@pytest.mark.skipif(os.name != "posix", reason="the checks are a POSIX script")
def test_a_command_that_is_not_there():
    done = subprocess.run(["bash", ROOT / ".ci/command", "nothing"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "nothing" in done.stderr


def test_each_service_has_its_row():
    from kit.front import EXPLORERS

    for name in EXPLORERS:
        assert f"`kit.{name}`" in README


def test_python_examples_parse():
    for block in re.findall(r"```python\n(.*?)```", README, re.S):
        ast.parse(block)


@pytest.mark.lab
def test_the_first_example_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    block = re.search(r"```python\n(.*?)```", README, re.S)[1]
    *before, last = block.strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(before), names)
    try:
        frame = eval(last, names)
        assert list(frame.columns) == ["channel", "n"]
        assert frame["n"].sum() >= 50_000
    finally:
        names["lab"].close()
