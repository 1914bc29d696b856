"""Every public name says in its first line what the caller gets, and is used in an example that runs.

Examples are those of docstrings, which the tests run (see tests/examples.py). What an example would not make clearer is
let off by kind (exceptions, enumerations, records of plain fields); all else that has none is listed with the test
that uses it.
"""

from __future__ import annotations

import dataclasses
import doctest
import enum
import importlib
import inspect
import pkgutil
import re
from functools import cache
from pathlib import Path
from typing import Any, is_typeddict

import pytest

import kit
from kit.front import EXPLORERS

ROOT = Path(__file__).parents[2]

USED_IN = {
    "kit.LiveView": ("tests/browser/test_live.py", ".live("),
    "kit.s2.AppendSession": ("tests/lab/test_s2_append.py", "append_session("),
    "kit.s2.BatchSubmitTicket": ("tests/lab/test_s2_append.py", ".submit("),
    "kit.s2.Producer": ("tests/lab/test_s2_append.py", "producer("),
    "kit.s2.RecordSubmitTicket": ("tests/lab/test_s2_append.py", "producer.submit("),
    "kit.s2.ReadSession": ("tests/lab/test_s2_client.py", "read_session("),
    "kit.s2.S2Basin": ("tests/lab/test_s2_client.py", "basin"),
    "kit.s2.S2Stream": ("tests/lab/test_s2_client.py", "stream"),
    "kit.synap.Subscription": ("tests/lab/test_synap_client.py", "pubsub.subscribe("),
}
"""Names that no example uses by name, as other calls give them: a test that runs what they are, and the call in it."""

EXPLORED = (
    "kit.s2.explore.explorer:S2Explorer",
    "kit.s2.explore.explorer:Basin",
    "kit.s2.explore.handle:Stream",
    "kit.kimberlite.explore.explorer:Kimberlite",
    "kit.kimberlite.explore.explorer:Stream",
    "kit.synap.explore.explorer:Synap",
    "kit.synap.explore.explorer:Room",
    "kit.claude.explore.explorer:Claude",
    "kit.amdahl.explore.explorer:Amdahl",
    "kit.amdahl.explore.sessions:Session",
    "kit.lab.lab:Lab",
    "kit.live.feed.feed:Feed",
    "kit.live.view:LiveView",
)


def load(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


def public() -> list[tuple[str, Any]]:
    """The names of the front door and of the wings, with what they are."""
    found = []
    for module in ("kit", *(f"kit.{service}" for service in EXPLORERS)):
        held = importlib.import_module(module)
        found += [(f"{module}.{name}", getattr(held, name)) for name in held.__all__ if name != "__version__"]
    return [(name, value) for name, value in found if not inspect.ismodule(value)]


def methods() -> list[tuple[str, Any]]:
    """The public methods of explorers and handles."""
    return [
        (f"{where.rpartition(':')[2]}.{name}", value)
        for where in EXPLORED
        for name, value in inspect.getmembers(load(where))
        if not name.startswith("_") and (callable(value) or isinstance(value, property))
    ]


@cache
def examples() -> str:
    """The code of all examples in docstrings."""
    lines = []
    for module in pkgutil.walk_packages(kit.__path__, "kit."):
        if not module.name.endswith("__main__"):
            for test in doctest.DocTestFinder().find(importlib.import_module(module.name)):
                lines += [example.source for example in test.examples]
    return "\n".join(lines)


@cache
def shown() -> str:
    """The code of all notebooks, which run in the lab's tests."""
    import nbformat

    cells = [cell for path in (ROOT / "notebooks").glob("*.ipynb") for cell in nbformat.read(path, as_version=4).cells]
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def plain(value: Any) -> bool:
    """What an example would not make clearer: errors, choices, records of fields."""
    if not inspect.isclass(value):
        return not callable(value)
    if issubclass(value, BaseException | enum.Enum) or is_typeddict(value):
        return True
    return dataclasses.is_dataclass(value)


@pytest.mark.parametrize(("name", "value"), public() + methods(), ids=lambda one: one if isinstance(one, str) else "")
def test_its_first_line_says_what_it_gives(name, value):
    if not callable(value) and not isinstance(value, property):
        return  # a constant is told where it is defined
    text = inspect.getdoc(value) or ""
    first = text.splitlines()[0] if text else ""
    assert first, f"{name} has no docstring"
    assert re.search(r"[.?:](\s|$)", first), f"{name}: the first line is no sentence: {first!r}"
    generated = f"{value.__name__}(" if hasattr(value, "__name__") else "("
    assert not first.startswith(generated), f"{name} has only the docstring that a dataclass makes"


@pytest.mark.parametrize(("name", "value"), public(), ids=lambda one: one if isinstance(one, str) else "")
def test_it_is_in_an_example_that_runs(name, value):
    if plain(value):
        return
    short = name.rpartition(".")[2]
    own = ">>> " in (inspect.getdoc(value) or "")
    if name in USED_IN:
        assert not own, f"{name} has an example; take it out of USED_IN"
        test, call = USED_IN[name]
        assert call in (ROOT / test).read_text()
        return
    assert own or re.search(rf"\b{short}\b", examples() + shown()), (
        f"{name} is in no example; write one, or say in USED_IN where"
    )


@pytest.mark.parametrize("name", sorted({name for name, value in methods() if callable(value)}))
def test_a_verb_is_in_an_example_or_a_notebook(name):
    from tests.lab.test_notebook_verbs import WITHOUT

    verb = name.rpartition(".")[2]
    if {verb, name} & WITHOUT.keys():
        return
    assert re.search(rf"\.{verb}\b", examples() + shown())


def test_what_is_let_off_is_public():
    assert USED_IN.keys() <= {name for name, _ in public()}
