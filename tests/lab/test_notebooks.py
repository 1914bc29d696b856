"""Every notebook runs from a clean kernel, and is stored so that it reads well without one."""

import nbformat
import pytest

from .. import notebooks

pytestmark = pytest.mark.lab

PATHS = sorted(notebooks.FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_it_runs_from_top_to_bottom(path):
    ran = notebooks.run(path)
    stored = nbformat.read(path, as_version=4)
    kinds = [
        [sorted({output.output_type for output in cell.get("outputs", [])}) for cell in notebooks.stilled(book).cells]
        for book in (ran, stored)
    ]
    assert kinds[0] == kinds[1], "run `python -m tests.notebooks` to store the output anew"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_is_stored_small_still_and_without_secrets(path):
    assert path.stat().st_size < 200_000
    text = path.read_text()
    assert "widget-state" not in text
    assert notebooks.WIDGETS not in text
    assert "amdhl_" not in text
    stored = nbformat.read(path, as_version=4)
    assert stored.cells[0].cell_type == "markdown"
    assert any(cell.get("outputs") for cell in stored.cells)
    assert stored == notebooks.stilled(nbformat.read(path, as_version=4))
