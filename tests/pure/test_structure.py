"""Which file may import which: the arrows of the house, types included."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import kit

ROOT = Path(kit.__file__).parent
WINGS = {"s2", "kimberlite", "synap", "claude", "amdahl"}
SHARED = {"live", "plots", "engines"}
LAYERS = {"wire": 1, "client": 2, "explore": 3}
"""The rooms of a wing, the lowest first; what stands beside them, as types and errors, is below all of them."""


@cache
def imports() -> dict[str, set[str]]:
    """Return the modules of the package, each with those that it imports, anywhere in it."""
    paths = {_name(path): path for path in ROOT.rglob("*.py")}
    return {name: _imported(name, path, paths) - {name} for name, path in paths.items()}


def _name(path: Path) -> str:
    parts = ["kit", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            for _ in range(node.level - 1):
                package = package.rpartition(".")[0]
            base = ".".join(filter(None, (package if node.level else "", node.module)))
            for one in node.names:
                found.add(f"{base}.{one.name}" if f"{base}.{one.name}" in known else base)
    return found & known.keys()


def room(name: str) -> str:
    """Return the folder of the package that a module is in; of a file at the top, its own name."""
    return name.split(".")[1] if "." in name else ""


def reached(start: str) -> set[str]:
    """Return all that a module reaches by imports."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for other in imports()[waiting.pop()] - seen:
            seen.add(other)
            waiting.append(other)
    return seen


def test_no_two_files_import_each_other():
    """Packages themselves are let off: they list the names of their modules."""
    packages = {name for name in imports() if (ROOT.parent / name.replace(".", "/")).is_dir()}
    circles = {frozenset((name, *(one for one in reached(name) if name in reached(one)))) for name in imports()}
    assert [sorted(one) for one in circles if len(one - packages) > 1] == []


@pytest.mark.parametrize("wing", sorted(WINGS))
def test_a_wing_imports_no_other_and_not_the_lab(wing):
    for name, found in imports().items():
        if room(name) == wing:
            assert not {one for one in found if room(one) in WINGS - {wing} | {"lab"}}, name


LOOPS = {"kit/synap/client/following.py": "asks again and again, as long as it is followed: no pause between tries"}
"""Modules with operations that wait by themselves, and why."""


def test_operations_wait_and_tell_the_time_by_the_clock_of_their_client():
    for path in sorted([*ROOT.glob("*/client/**/*.py"), ROOT / "core/http/operations.py"]):
        text, name = path.read_text(), path.relative_to(ROOT.parent).as_posix()
        if ("Operation[" in text or "Walk[" in text) and name not in LOOPS:
            assert not re.findall(r"\b(?:time\.monotonic|time\.sleep|asyncio\.sleep|datetime\.now)\((?!0\))", text), (
                name
            )


def test_one_place_decides_whether_a_call_is_tried_again():
    users = {_name(path) for path in ROOT.rglob("*.py") if "pause_before_retry" in path.read_text()}
    assert users == {"kit.core.http.retry", "kit.core.http.operations"}


def layer(name: str) -> int | None:
    """Return how high a module of a wing stands; None for others, and for the wing's own list of names."""
    parts = name.split(".")
    return LAYERS.get(parts[2], 0) if len(parts) > 2 and parts[1] in WINGS else None


def test_arrows_of_a_wing_point_down():
    for name, found in imports().items():
        here = layer(name)
        if here is not None:
            assert not {one for one in found if room(one) == room(name) and (layer(one) or 0) > here}, name


def test_the_lab_knows_what_is_on_the_wire_and_no_client():
    for name, found in imports().items():
        if room(name) == "lab" and name not in (
            "kit.lab.lab",
            "kit.lab.demo_writer",
        ):  # these two give clients to users
            assert not {one for one in found if (layer(one) or 0) > LAYERS["wire"]}, name


def test_what_all_share_knows_no_service():
    for name, found in imports().items():
        if room(name) == "core":
            assert not {one for one in found if room(one) in WINGS | {"lab", "magics", "front"}}, name
        if room(name) in SHARED:
            assert not {one for one in found if room(one) in WINGS | {"lab"}}, name


def test_private_names_of_others_are_left_alone():
    """Of httpx only what it documents is used."""
    for path in (ROOT / "core").rglob("*.py"):
        for private in ("_transport", "_pool", "_mounts", "_network_backend", "_transport_for_url"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and node.attr == private:
                    assert isinstance(node.value, ast.Name) and node.value.id == "self", f"{path.name}:{node.lineno}"
