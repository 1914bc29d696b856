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


def test_what_is_linked_is_there_and_every_notebook_is_linked():
    linked = set(re.findall(r"\]\((?!https?:|#)([^)#]+)\)", README))
    assert {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")} <= linked
    for target in linked:
        assert (ROOT / target).is_file(), target


def test_pictures_are_small():
    for name in re.findall(r"!\[[^]]+\]\((tests/[^)]+)\)", README):
        assert (ROOT / name).stat().st_size < 200_000, name


def test_names_in_the_reference_tables_are_there():
    import importlib

    page = (ROOT / "notebooks" / "reference.md").read_text()
    for wing, name in set(re.findall(r"`kit\.(s2|kimberlite|synap|claude|amdahl)\.(\w+)`", page)):
        assert name in importlib.import_module(f"kit.{wing}").__all__
    for wing, names in re.findall(r"`from kit\.(\w+) import ([\w, ]+)`", page):
        for name in names.split(", "):
            assert name in importlib.import_module(f"kit.{wing}").__all__


def test_verbs_in_the_reference_tables_are_there():
    import importlib

    from kit.front import EXPLORERS

    page = (ROOT / "notebooks" / "reference.md").read_text()
    short = {"s2": "S2Explorer", "k": "Kimberlite", "syn": "Synap", "c": "Claude", "a": "Amdahl"}
    modules = dict(zip(short, EXPLORERS.values(), strict=True))
    for name, title in short.items():
        explorer = getattr(importlib.import_module(modules[name]), title)
        column = [line.split("|")[3] for line in page.splitlines() if line.count("|") == 4]
        found = {verb for cell in column for verb in re.findall(rf"`{name}\.(\w+)\(", cell)}
        assert found, name
        for verb in found - {"queues", "streams", "topics", "tables", "sessions"}:  # made with each explorer
            assert hasattr(explorer, verb), f"{name}.{verb}"


@pytest.mark.lab
def test_the_examples_of_each_service_run(tmp_path, monkeypatch):
    import kit

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    blocks = re.findall(r"<!-- example: (\w+) -->\n```python\n(.*?)```", README, re.S)
    assert [name for name, _ in blocks] == ["s2", "kimberlite", "synap", "claude", "amdahl", "across"]
    with kit.Lab(join=False) as lab:
        names: dict[str, object] = {"kit": kit, "lab": lab}
        for _, block in blocks:
            exec(block, names)
        for name in ("view", "watched", "per_city", "cities"):
            names[name].close()  # what goes on would ask a lab that is gone


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
