"""`kit lab`, from the first page to Ctrl-C, as somebody at the screen sees it."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kit.lab import notebook_copies
from kit.lab.services import NAMES
from tests.home import living_in

from .conftest import KitLab, Notebook


def test_jupyterlab_opens_on_copies_of_the_notebooks(jupyter, page, screenshot):
    page.goto(jupyter.page)
    page.locator("#jupyterlab-splash").wait_for(state="detached")
    source = notebook_copies.shipped()
    shipped = sorted(path.name for path in source.glob("*.ipynb"))
    for name in shipped:
        page.locator(".jp-DirListing-item", has_text=name).wait_for()
        assert (jupyter.notebooks / name).read_bytes() == (source / name).read_bytes()
    assert shipped
    page.locator(".jp-NotebookPanel").wait_for()  # the first is open already
    assert page.locator(".lm-TabBar-tab.jp-mod-current", has_text="00-tour.ipynb").count() == 1
    page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for()
    screenshot("first-page")
    assert page.locator(".jp-Dialog, .jp-toast-button").count() == 0  # nobody is asked anything


def test_a_notebook_joins_the_lab_that_runs(jupyter, notebook, screenshot):
    opened = notebook(
        "import kit; lab = kit.Lab()", "lab.joined", "lab.status()", "import os; os.environ['AMDAHL_URL']"
    )
    opened.run()
    screenshot("joined")
    assert opened.output(0).inner_text() == ""
    assert opened.output(1).inner_text().endswith("True")
    rows = opened.output(2).locator("table tbody tr")
    assert rows.count() == len(NAMES)
    for row, name in zip(rows.all(), NAMES, strict=True):
        assert re.search(rf"{name}\s+\w+://127\.0\.0\.1:\d+\s+up\s+\d", row.inner_text())
    url = re.search(r"http://127\.0\.0\.1:\d+", opened.output(3).inner_text())[0]
    assert url in opened.output(2).inner_text()
    assert url in "".join(jupyter.said)


# The others run from a clean kernel in tests/lab/test_notebooks.py; these show what wants a page.
@pytest.mark.parametrize("name", ["00-tour", "06-live", "08-your-own-services"])
def test_a_notebook_of_the_package_runs_to_its_end(notebook, screenshot, name):
    path = notebook_copies.shipped() / f"{name}.ipynb"
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    opened = notebook(*("".join(cell["source"]) for cell in cells)).run(120)
    screenshot(name)
    kinds = [output["output_type"] for cell in opened.save()["cells"] for output in cell["outputs"]]
    assert "error" not in kinds
    assert len(kinds) >= len(cells) / 2


def test_the_tour_has_live_data_on_the_screen(notebook, screenshot):
    """As somebody sees it who runs the cells and has not come to the last one."""
    document = json.loads((notebook_copies.shipped() / "00-tour.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code"]
    assert "close()" in cells[-1]
    opened = notebook(*cells[:-1]).run(120)
    view = next(opened.output(n) for n, cell in enumerate(cells) if ".live(" in cell)
    view.locator(".kit-live-state", has_text="live").first.wait_for()
    newest = view.locator(".kit-live-rows tbody tr").first
    # What is scrolled away is not laid out, and has no text in this sense.
    newest.scroll_into_view_if_needed()
    opened._until(lambda: newest.inner_text() != "", 10)
    before = newest.inner_text()
    opened._until(lambda: newest.inner_text() != before, 30)
    screenshot("live")


def test_a_cell_typed_by_hand(notebook, page):
    opened = notebook("import kit")
    opened.cell(0).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("; print(6 * 7, kit.Lab().status().state.tolist())")
    page.keyboard.press("Shift+Enter")
    opened.wait()
    assert opened.output(0).inner_text().strip() == f"42 {['up'] * len(NAMES)}"


def test_an_expected_failure_is_short_in_a_cell(notebook, screenshot):
    opened = notebook("import kit", "kit.Lab('nothing')").run()
    screenshot("failure")
    shown = opened.output(1).inner_text().strip().splitlines()
    assert shown[0] == "cell, line 1: kit.Lab('nothing')"
    assert shown[1] == "InputError: no service is called 'nothing'"
    assert len(shown) == 3


def test_what_is_saved_holds_no_token(jupyter, notebook):
    opened = notebook("import kit; lab = kit.Lab()", "lab", "lab.status()").run()
    saved = str(opened.save())
    assert "up" in saved
    assert jupyter.token not in saved


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_interrupt_ends_everything(chromium, tmp_path):
    command = KitLab(tmp_path / "home")
    page = chromium.new_page()
    # A kernel in the middle of a cell must not hold it up for long, nor live on.
    opened = Notebook(command, page, "import time", "time.sleep(600)")
    opened.start().wait_for("busy")
    page.close()
    running = living_in(command.home)
    assert sum("ipykernel" in line for line in running) >= 1
    assert sum("kit.lab.process" in line for line in running) == 1
    ports = [urlsplit(url).port for url in re.findall(r"http://[\w.]+:\d+", "".join(command.said))]
    assert len(ports) >= 2

    started = time.monotonic()
    assert command.interrupt() == 0
    assert time.monotonic() - started < 20
    _wait_until_gone(command)
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
    assert "Traceback" not in "".join(command.said)
    assert list((command.home / "run" / "kit").iterdir()) == []  # neither a description nor a log stays


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_killed_command_leaves_nothing_running(tmp_path):
    command = KitLab(tmp_path / "home")
    command.child.send_signal(signal.SIGKILL)
    command.child.wait(10)
    _wait_until_gone(command)


def test_a_changed_notebook_is_kept(tmp_path):
    """Between two runs of the command: the user's work stays, and the rest is there again."""
    home = tmp_path / "home"
    folder = home / "data" / "kit" / "notebooks"
    folder.mkdir(parents=True)
    (folder / "mine.ipynb").write_text("{}")
    command = KitLab(home)
    assert command.interrupt() == 0
    assert (folder / "mine.ipynb").read_text() == "{}"
    source = notebook_copies.shipped()
    assert {path.name for path in source.glob("*.ipynb")} <= {path.name for path in Path(folder).iterdir()}


def _wait_until_gone(command: KitLab) -> None:
    deadline = time.monotonic() + 30
    while left := living_in(command.home):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
