"""A real JupyterLab with the lab running, and a real Chromium to look at it.

def test_something(notebook):
    page = notebook("import kit", "kit.Lab().status()").run()
    assert "up" in page.output(-1).inner_text()
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.home import own_environment

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# Nothing of it reaches beyond this machine.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Every cell is in the page, wherever the view is scrolled to, and nothing is saved unless a test does.
SETTINGS = {
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}

DARK = {"@jupyterlab/apputils-extension:themes": {"theme": "JupyterLab Dark"}}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _in_browser(item):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(180))
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no chromium on the path"))
    items.sort(key=lambda item: not _in_browser(item))  # first, as they take longest: short ones fill the end


def _in_browser(item: pytest.Item) -> bool:
    return Path(__file__).parent in item.path.parents


@dataclass
class KitLab:
    """The `kit lab` command as a user runs it, in a home of its own."""

    home: Path
    arguments: tuple[str, ...] = ("--no-browser", "--port", "0")
    said: list[str] = field(default_factory=list)
    dark: bool = False

    def __post_init__(self) -> None:
        self.environment = own_environment(self.home, SETTINGS | DARK if self.dark else SETTINGS)
        self.notebooks = self.home / "data" / "kit" / "notebooks"
        self.child = subprocess.Popen(
            [sys.executable, "-m", "kit", "lab", *self.arguments],
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # As on a terminal of its own: what interrupts it does not interrupt the tests.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + 120
        while not any("To stop" in line for line in self.said):
            if self.child.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError("kit lab did not start:\n" + "".join(self.said))
            time.sleep(0.05)

    @property
    def page(self) -> str:
        """The address that the command tells, with the token."""
        found = re.search(r"JupyterLab +(http\S+)", "".join(self.said))
        assert found, self.said
        return found[1]

    @property
    def url(self) -> str:
        """Where JupyterLab is, without path and token."""
        parts = urlsplit(self.page)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def token(self) -> str:
        return self.page.rpartition("token=")[2]

    def api(self, path: str) -> Any:
        """What the Jupyter server's own API answers."""
        with urllib.request.urlopen(f"{self.url}/api/{path}?token={self.token}", timeout=10) as answer:
            return json.load(answer)

    def interrupt(self) -> int:
        """Ctrl-C; the exit status."""
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGINT)
        status = self.child.wait(60)
        self._reader.join(10)
        return status

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()
        self._reader.join(10)

    def _listen(self) -> None:
        assert self.child.stdout is not None
        with self.child.stdout as lines:
            for line in lines:
                self.said.append(line)


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KitLab]:
    """`kit lab`, running; it has `url`, `token`, and `notebooks`, the folder that JupyterLab shows."""
    command = KitLab(tmp_path_factory.mktemp("kit-lab"))
    yield command
    command.interrupt()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser, from Playwright's side.

    Not for the whole session: as long as Playwright runs, this thread has a running event loop, and tests elsewhere
    that start one of their own would fail.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """An empty page of a browser that remembers nothing."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def screenshot(page: Any, tmp_path: Path) -> Callable[[str], Path]:
    """Keeps what the page shows, among the test's temporary files."""

    def keep(name: str) -> Path:
        path = tmp_path / f"{name}.png"
        page.screenshot(path=path)
        return path

    return keep


class Notebook:
    """A notebook open in JupyterLab, in a browser."""

    def __init__(self, jupyter: KitLab, page: Any, *cells: str) -> None:
        self.page = page
        self.path = jupyter.notebooks / f"test-{uuid.uuid4().hex[:8]}.ipynb"
        self.path.write_text(json.dumps(_document(cells)))
        # A workspace of its own: what another test left open is not opened again.
        page.goto(f"{jupyter.url}/lab/workspaces/{self.path.stem}/tree/{self.path.name}?token={jupyter.token}")
        self.panel = page.locator(".jp-NotebookPanel")
        # The page says "idle" before there is a kernel, and drops what is run before it is connected to one.
        self._until(lambda: self._kernel_connected(jupyter), 60)
        page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for()
        self.wait_for("idle")

    def run(self, timeout: float = 60) -> Notebook:
        """Runs all cells through the menu and waits until they are done, or one has failed."""
        return self.start().wait(timeout)

    def start(self) -> Notebook:
        """Sets all cells running; the first of them has begun."""
        before = self._prompts()[0]
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        self._until(lambda: self._prompts()[0] != before, 30)
        return self

    def wait(self, timeout: float = 60) -> Notebook:
        """Until no cell waits or runs and the kernel is idle."""
        self._until(lambda: not any("*" in prompt for prompt in self._prompts()), timeout)
        return self.wait_for("idle", timeout)

    def wait_for(self, status: str, timeout: float = 60) -> Notebook:
        """Until the kernel is "idle", or "busy"."""
        self.panel.locator(f'.jp-Notebook-ExecutionIndicator[data-status="{status}"]').wait_for(timeout=timeout * 1000)
        return self

    def cell(self, index: int) -> Any:
        """A code cell, counted from 0; -1 is the last."""
        return self.panel.locator(".jp-CodeCell").nth(index)

    def output(self, index: int) -> Any:
        """What a code cell shows below itself."""
        return self.cell(index).locator(".jp-OutputArea").first

    def outputs(self) -> list[str]:
        """The text below each code cell."""
        return [cell.locator(".jp-OutputArea").first.inner_text() for cell in self.panel.locator(".jp-CodeCell").all()]

    def save(self) -> dict[str, Any]:
        """Saves it, as a user would, and gives the file's content."""
        before = self.path.stat().st_mtime_ns
        self.page.keyboard.press("Control+s")
        saved: list[dict[str, Any]] = []

        def whole() -> bool:
            # It is written in place: for a moment there is a part of it, or nothing.
            try:
                saved[:] = [json.loads(self.path.read_text())] if self.path.stat().st_mtime_ns != before else []
            except ValueError:
                return False
            return bool(saved)

        self._until(whole, 30)
        return saved[0]

    def close(self) -> None:
        """Shuts its kernel down and takes the file away."""
        self.page.get_by_role("menuitem", name="Kernel", exact=True).click()
        self.page.get_by_role("menuitem", name="Shut Down Kernel", exact=True).click()
        self.page.locator('.jp-Notebook-ExecutionIndicator[data-status="unknown"]').wait_for(timeout=20_000)
        self.path.unlink(missing_ok=True)

    def _kernel_connected(self, jupyter: KitLab) -> bool:
        kernels = [each["kernel"] for each in jupyter.api("sessions") if each["path"] == self.path.name]
        return any(kernel["connections"] and kernel["execution_state"] == "idle" for kernel in kernels)

    def _prompts(self) -> list[str]:
        found: list[str] = self.panel.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()
        return found

    def _until(self, done: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not done():
            if time.monotonic() > deadline:
                self.page.screenshot(path=self.path.with_suffix(".png"))
                raise AssertionError(
                    f"not within {timeout} s, see {self.path.with_suffix('.png')}; the cells show {self.outputs()}"
                )
            self.page.wait_for_timeout(50)  # Playwright's own pause: events of the page go on being handled


def _document(cells: tuple[str, ...]) -> dict[str, Any]:
    return {
        "cells": [
            {
                "cell_type": "code",
                "id": f"c{n}",
                "metadata": {},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
            for n, source in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


@pytest.fixture
def notebook(jupyter: KitLab, page: Any) -> Iterator[Callable[..., Notebook]]:
    """Opens a notebook with the given code cells; see `Notebook`."""
    opened: list[Notebook] = []

    def open_(*cells: str) -> Notebook:
        opened.append(Notebook(jupyter, page, *cells))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()
