"""What a run without a reader keeps: the messages that a kernel sends, and the page that nbconvert makes of them."""

import json
import os
import re
import subprocess
import sys

import pytest
from jupyter_client.manager import start_new_kernel

pytestmark = pytest.mark.lab
WIDGET = "application/vnd.jupyter.widget-view+json"


class Messages:
    """A kernel, and what it shows, by the name under which it was shown."""

    def __init__(self):
        self.manager, self.client = start_new_kernel()

    def run(self, code):
        shown = {}

        def take(message):
            content = message["content"]
            assert message["msg_type"] != "error", content
            if message["msg_type"] in ("display_data", "update_display_data") and content["transient"]:
                shown.setdefault(content["transient"]["display_id"], []).append(content["data"])

        self.client.execute_interactive(code, timeout=60, output_hook=take)
        return list(shown.values())

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel():
    messages = Messages()
    yield messages
    messages.close()


def test_a_bar_leaves_an_empty_place_and_no_widget(kernel):
    (bar,) = kernel.run(
        "import time, threading\nfrom kit.core import progress\n"
        "with progress.bar(100, what='<b>read') as bar:\n"
        "    def work():\n"
        "        for _ in range(20):\n            time.sleep(0.05); bar.update(5)\n"
        "    thread = threading.Thread(target=work); thread.start(); thread.join()"
    )
    assert not any(WIDGET in data for data in bar)
    assert "%" in bar[0]["text/html"] and "&lt;b&gt;read" in bar[0]["text/html"] and len(bar) >= 3
    assert all(data["text/plain"] == "" for data in bar)
    assert bar[-1] == {"text/html": "", "text/plain": ""}


def test_a_stopped_view_leaves_a_picture_and_nothing_beside_it(kernel):
    first = kernel.run(
        "import kit, threading, time\ngo = threading.Event()\n"
        "def rows():\n    time.sleep(0.1); yield [{'n': n} for n in range(7)]; go.wait(20)\n"
        "view = kit.LiveView(kit.Feed(rows()))\nview"
    )
    widget, picture = first
    assert WIDGET in widget[-1] and widget[-1]["text/plain"] == ""
    # The first picture has the first rows, though they came a moment after the view was shown.
    assert "7</b> rows" in picture[0]["text/html"] and "was live" in picture[0]["text/html"]
    widget, picture = kernel.run("view._stop(); view.close()")[:2][::-1]
    assert widget[-1] == {"text/html": "", "text/plain": ""}
    assert ">closed</span>" in picture[-1]["text/html"] and picture[-1]["text/plain"].startswith("<LiveView")


def test_waiting_for_rows_leaves_a_picture_of_them(kernel):
    kernel.run(
        "go = threading.Event()\ndef rows():\n    yield [{'n': 1}]; go.wait(20); yield [{'n': n} for n in range(9)]\n"
        "    time.sleep(20)\nview = kit.LiveView(kit.Feed(rows()))\nview"
    )
    shown = kernel.run("go.set(); view.wait(10, timeout=10);")
    assert any("10</b> rows" in data["text/html"] for one in shown for data in one)
    kernel.run("view._stop()")


def test_a_notebook_that_is_run_without_a_reader_shows_rows_and_claims_nothing(tmp_path):
    cells = [
        "import kit, time\ndef rows():\n    yield [{'n': n} for n in range(7)]\n    time.sleep(60)\nfeed = kit.Feed(rows())",
        "kit.LiveView(feed, title='numbers')",
        "kit.LiveView(feed).wait(7);",
    ]
    document = {
        "cells": [
            {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": one, "outputs": [], "execution_count": None}
            for n, one in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path = tmp_path / "run.ipynb"
    path.write_text(json.dumps(document))
    done = subprocess.run(
        [sys.executable, "-m", "nbconvert", "--execute", "--to", "html", "--stdout", str(path)],
        capture_output=True, text=True, timeout=120, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    page = done.stdout
    assert "7</b> rows" in page and ">was live</span>" in page and "as of 20" in page
    body = page.partition("</head>")[2]
    assert not re.search(r'kit-live-state">live<', body) and "LiveView of" not in body
