"""Every notebook runs from a clean kernel, and is stored so that it reads well without one.

Against servers that take 200 ms longer for each request: KIT_NOTEBOOK_DELAY=0.2 pytest tests/lab/test_notebooks.py
"""

import copy
import os
import re
import time

import nbformat
import pytest

import kit
from kit.lab.services import NAMES

from .. import notebooks

pytestmark = pytest.mark.lab

PATHS = sorted(notebooks.FOLDER.glob("*.ipynb"))
DELAY = float(os.environ.get("KIT_NOTEBOOK_DELAY") or 0)
TOGETHER = 240
"""Seconds that all may take."""
took: dict[str, float] = {}


@pytest.fixture
def slow():
    """Where a delay is asked for: servers that have it, for the notebook to join."""
    if not DELAY:
        yield
        return
    with kit.Lab() as lab:
        assert not lab.joined
        for service in NAMES:
            lab.faults(service, "delay", count=10**9, seconds=DELAY)
        yield


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.timeout(TOGETHER)
def test_it_runs_from_top_to_bottom(path, slow):
    started = time.monotonic()
    ran = notebooks.run(path)
    took[path.stem] = time.monotonic() - started
    stored = nbformat.read(path, as_version=4)
    kinds = [
        [sorted({output.output_type for output in cell.get("outputs", [])}) for cell in notebooks.stilled(book).cells]
        for book in (ran, stored)
    ]
    assert kinds[0] == kinds[1], "run `python -m tests.notebooks` to store the output anew"


@pytest.mark.timeout(120)
def test_the_tour_runs_twice_in_one_kernel(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    book = nbformat.read(notebooks.FOLDER / "00-tour.ipynb", as_version=4)
    *cells, last = [cell for cell in book.cells if cell.cell_type == "code"]
    assert "lab.close()" in last.source
    look = nbformat.v4.new_code_cell(
        "import gc; gc.collect(); print(lab.status()['state'].eq('up').all(), view.feed.state)"
    )
    # Stopped before its last cell and run anew: the servers of the first run serve the second.
    book.cells = [copy.deepcopy(cell) for cell in (*cells, *cells, look, last, *cells, last)]
    for number, cell in enumerate(book.cells):
        cell.id = f"cell-{number}"
    notebooks.execute(book, notebooks.FOLDER)
    [looked] = [cell for cell in book.cells if cell.source == look.source]
    assert [output.text for output in looked.outputs] == ["True live\n"]


def test_all_together_are_quick():
    print({name: round(seconds, 1) for name, seconds in took.items()})
    assert sum(took.values()) < TOGETHER


def test_they_are_numbered_in_reading_order():
    assert [path.stem for path in PATHS] == [
        "00-tour",
        "01-s2",
        "02-kimberlite",
        "03-synap",
        "04-claude",
        "05-amdahl",
        "06-live",
        "07-across",
        "08-your-own-services",
        "09-find",
    ]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_its_links_lead_somewhere_and_its_beginning_says_what_may_be_missing(path):
    cells = nbformat.read(path, as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        assert (path.parent / target).is_file(), target
    first = next(cell for cell in cells if cell.cell_type == "code")
    if "kit.Lab(" in first.source:
        assert "says what to install" in cells[0].source or "pip install" in cells[0].source


@pytest.mark.parametrize("name", ["00-tour", "06-live"])
def test_a_live_view_is_stored_as_it_was_left(name):
    stored = nbformat.read(notebooks.FOLDER / f"{name}.ipynb", as_version=4)
    shown = [
        "".join(output.data["text/html"])
        for cell in stored.cells
        for output in cell.get("outputs", [])
        if "kit-live-rows" in str(output.get("data", {}).get("text/html", ""))
    ]
    assert len(shown) >= (4 if name == "06-live" else 1)
    for html in shown:
        assert html.count("<tr") >= 2
        assert "as of 20" in html


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_is_stored_small_still_and_without_secrets(path):
    assert path.stat().st_size < 200_000
    text = path.read_text()
    assert "widget-state" not in text
    assert notebooks.WIDGETS not in text
    assert "amdhl_" not in text and not re.search(r"cc_[0-9a-f]{8}", text)
    stored = nbformat.read(path, as_version=4)
    assert stored.cells[0].cell_type == "markdown"
    assert any(cell.get("outputs") for cell in stored.cells)
    assert stored == notebooks.stilled(nbformat.read(path, as_version=4))
