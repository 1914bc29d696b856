"""Every public verb is shown in a notebook: of each explorer and handle in its service's own, or by its full name."""

from __future__ import annotations

import importlib
import inspect
import re

import nbformat
import pytest

import kit
from kit.core.explorer import Explorer
from kit.core.log.log import Log

from .. import notebooks

SHOWN = {
    "01-s2": ("kit.s2.explore.explorer:S2Explorer", "kit.s2.explore.explorer:Basin", "kit.s2.explore.handle:Stream"),
    "02-kimberlite": ("kit.kimberlite.explore.explorer:Kimberlite", "kit.kimberlite.explore.explorer:Stream"),
    "03-synap": ("kit.synap.explore.explorer:Synap", "kit.synap.explore.explorer:Room"),
    "04-claude": ("kit.claude.explore.explorer:Claude",),
    "05-amdahl": (
        "kit.amdahl.explore.explorer:Amdahl",
        "kit.amdahl.explore.sessions:Session",
        "kit.amdahl.explore.sessions:Sessions",
    ),
    "06-live": ("kit.live.feed.feed:Feed", "kit.live.view:LiveView"),
}

WITHOUT = {
    "close": "labs, clients and explorers end with the kernel; `lab.close()` is in every notebook",
    "S2Explorer.tokens": "an account's tokens are for its administration, and the lab has one of its own",
    "source": "engines read it; people have `read`, `arrow` and `find`",
    "refuse": "what wrong arguments raise, and no verb",
    "Claude.browse": "the service keeps nothing to click through, and it says so",
    "to_dask": "it wants the extra [dask], which the lab does without; 07 names it",
    "Sessions.add": "`start` and `run` do it; it is for sessions that other code has started",
    "Feed.ask": "it wants Claude's service, and is shown in 04",
    "LiveView.ask": "it wants Claude's service, and is shown in 04",
    "Feed.batches": "for views, which want Arrow; `df` is for people",
    "Basin.stream": "`basin[name]` is the same, and is shown; this takes the key of encrypted basins besides",
    "Basin.delete": "what a reader made is theirs to delete; the docstring names it",
    "S2Explorer.delete_basin": "what a reader made is theirs to delete; the docstring names it",
}
"""Names that are in no notebook, and why."""


def source(name: str = "") -> str:
    """The code cells of one notebook, or of all."""
    found = []
    for path in sorted(notebooks.FOLDER.glob("*.ipynb")):
        if not name or path.stem == name:
            found += [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert found, name
    return "\n".join(found)


def load(where: str) -> type:
    module, _, name = where.partition(":")
    kind: type = getattr(importlib.import_module(module), name)
    return kind


def verbs(kind: type) -> list[str]:
    """The public methods, in order."""
    return [name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")]


CASES = [
    (notebook, where, verb)
    for notebook, kinds in SHOWN.items()
    for where in kinds
    for verb in verbs(load(where))
    if not {verb, f"{where.partition(':')[2]}.{verb}"} & WITHOUT.keys()
]


@pytest.mark.parametrize(
    ("notebook", "where", "verb"), CASES, ids=[f"{n}-{w.rpartition(':')[2]}.{v}" for n, w, v in CASES]
)
def test_a_verb_is_shown(notebook, where, verb):
    service = notebook.partition("-")[2]
    # What all handles and explorers inherit is the same everywhere, so it may be shown anywhere.
    inherited = hasattr(Log, verb) or hasattr(Explorer, verb)
    here = bool(re.search(rf"\.{verb}\b", source("" if inherited else notebook)))
    there = bool(re.search(rf"lab\.{service}(\[[^]]+\])*\.{verb}\(", source()))
    assert here or there, f"show .{verb}() in {notebook}, or say in WITHOUT why not"


@pytest.mark.parametrize("verb", [name for name in verbs(kit.Lab) if name not in WITHOUT])
def test_what_a_lab_can_do_is_shown(verb):
    assert f"lab.{verb}(" in source()


@pytest.mark.parametrize("name", sorted(set(kit.__all__) - {"__version__", "LiveView", "core"}))
def test_a_name_of_the_front_door_is_shown(name):
    # A live view is what `live` gives; `core` is no verb.
    assert re.search(rf"\bkit\.{name}\b|from kit\.{name} import", source())


@pytest.mark.parametrize("name", kit.plots.__all__)
def test_a_plot_is_shown(name):
    assert f"kit.plots.{name}(" in source()


def test_every_exception_is_a_verb_that_is_there():
    names = {verb for kinds in SHOWN.values() for where in kinds for verb in verbs(load(where))}
    full = {f"{w.partition(':')[2]}.{v}" for kinds in SHOWN.values() for w in kinds for v in verbs(load(w))}
    assert WITHOUT.keys() <= names | full
