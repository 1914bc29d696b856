"""Plots of feeds: what came, by the time at which it came, and plots that repaint themselves."""

import subprocess
import sys
import threading
import time

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

import kit
from kit import plots
from kit.plots.figure import Margins, bundle
from kit.plots.throughput_plot import _throughput

pytestmark = pytest.mark.lab
WIDGET = "application/vnd.jupyter.widget-view+json"


def subtitle(panel):
    return next(text.get_text().replace("\n", " ") for text in panel.texts if text.get_gid() == "subtitle")


@pytest.fixture
def ticking():
    """A feed that begins with a thousand rows at once, and gets two each tenth of a second."""
    stop = threading.Event()

    def rows():
        yield [{"n": n} for n in range(1000)]
        while not stop.wait(0.1):
            yield [{"n": 1}, {"n": 2}]

    with kit.Feed(rows()) as feed:
        feed.wait(1090, timeout=20)
        yield feed
        stop.set()


def test_what_was_there_before_and_what_is_not_over_are_no_spike_and_no_crash(ticking):
    ax = plots.throughput(ticking)
    (line,) = ax.lines
    values = [int(value) for value in line.get_ydata()]
    assert values and all(4 <= value <= 40 for value in values), values
    assert "in the first second left out" in subtitle(ax) and "rows" in subtitle(ax)
    assert ax.get_ylabel() == "rows per second"
    assert plots.throughput(ticking, every="2s", how="rate").get_ylabel() == "rows/s"
    assert plots.throughput(ticking, "bytes").get_ylabel() == "bytes per second"


def test_a_feed_that_stands_still_is_a_line_at_zero():
    with kit.Feed([{"n": 1}, {"n": 2}]) as feed:
        feed.wait(2, timeout=20)
        time.sleep(0.1)
        assert feed.ended
        ended = plots.throughput(feed)  # nothing more is known than what came
        assert ended._repr_mimebundle_()[0]["image/png"]
    silent = threading.Event()

    def one():
        yield [{"n": 1}]
        silent.wait(20)

    with kit.Feed(one()) as feed:
        feed.wait(1, timeout=20)
        time.sleep(4.2)
        assert list(plots.throughput(feed).lines[0].get_ydata())[-2:] == [0, 0]
        silent.set()


def test_a_plot_made_anew_keeps_its_edges():
    times = pd.date_range("2025-11-01", periods=40, freq="s", tz="UTC")
    margins, boxes = Margins(), []
    for scale in (1.0, 123_456.0, 1.0, 10.0):
        frame = pd.DataFrame({"time": times, "total": scale})
        ax = _throughput(
            frame, None, None, "light", margins, what="total", every="1s", how=None, by=None, time=None, title=None
        )
        boxes.append(ax.get_position().bounds)
    assert boxes[1] == boxes[2] == boxes[3]


def test_a_quick_picture_has_the_size_of_a_good_one():
    ax = plots.throughput(pd.DataFrame({"time": pd.date_range("2025-11-01", periods=40, freq="s", tz="UTC")}))
    (quick, size), (good, same) = bundle(ax, quick=True), bundle(ax)
    assert size == same and quick["text/plain"] == good["text/plain"]


def test_in_a_terminal_a_live_plot_is_said_once_and_leaves_the_prompt_alone():
    code = """
import time, threading, kit
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.user_ns["kit"] = kit
def rows():
    for n in range(25):
        yield [{"n": n}]
        time.sleep(0.1)
shell.user_ns["feed"] = kit.Feed(rows())
shell.run_cell("feed.wait(1, timeout=10); kit.plots.throughput(feed, live=True)").raise_error()
print("prompt")
time.sleep(2.5)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    before, prompt, after = done.stdout.partition("prompt\n")
    assert before.count("<plot:") == 1 and "It repaints itself in a notebook" in before, done.stdout
    assert prompt and not after.strip()


@pytest.mark.parametrize("plot", [plots.throughput, lambda feed, **more: plots.over_time(feed, "n", time="at", **more)])
def test_plots_of_a_feed_can_be_live(plot):
    def rows():
        for n in range(3):
            yield pd.DataFrame({"at": [pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(seconds=n)], "n": [n]})

    with kit.Feed(rows()) as feed:
        feed.wait(3, timeout=20)
        assert hasattr(plot(feed, live=True), "_ipython_display_")


@pytest.mark.parametrize(("server", "kinds"), [("", [WIDGET, "image/png"]), ("voila/0.5", [WIDGET])])
def test_where_outputs_come_too_late_a_live_plot_is_a_widget(server, kinds):
    source = f"""
import os, time
os.environ["SERVER_SOFTWARE"] = {server!r}
import kit
def rows():
    for n in range(20):
        yield [{{"n": n}}]
        time.sleep(0.1)
feed = kit.Feed(rows())
feed.wait(1)
kit.plots.throughput(feed, live=True)
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    listens, *shown = [one.data for one in notebook.cells[0].outputs if one.output_type == "display_data"]
    assert "kit-page-listens" in listens["text/html"]
    # Beside a picture stands a widget without anything to see, by which a page tells whether the plot is on the screen.
    assert len(shown) == len(kinds) and all(kind in one for kind, one in zip(kinds, shown, strict=True))
