"""Progress bars: where somebody looks, and nowhere else."""

import io
import sys

import pytest

import kit
from kit.core import progress


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    monkeypatch.delenv("KIT_PROGRESS", raising=False)
    yield
    kit.progress(None)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_silent_where_nobody_looks(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert not progress.wanted()
    with progress.bar(10) as bar:
        bar.update(10)
    assert sys.stderr.getvalue() == ""


def test_shown_in_a_terminal_with_its_total(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert progress.wanted()
    with progress.bar(10, what="read") as bar:
        assert bar.total == 10
        bar.update(3)
        assert bar.n == 3


def test_one_switch_and_one_variable(monkeypatch):
    kit.progress(False)
    assert not progress.wanted()
    kit.progress(True)
    assert progress.wanted()
    kit.progress(None)
    monkeypatch.setenv("KIT_PROGRESS", "0")
    assert not progress.wanted()
    monkeypatch.setenv("KIT_PROGRESS", "1")
    assert progress.wanted()


def test_a_bar_is_drawn_once_it_takes_a_while_and_leaves_nothing(monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    kit.progress(True)
    with progress.bar(10, what="read") as bar:
        bar.update(3)
        assert "read" in sys.stderr.getvalue()
        bar.set_postfix_str("words")
        bar.n = 7
        assert bar._drawn.n == 7
    bar.close()
    assert sys.stderr.getvalue().endswith("\r")


def test_a_bar_in_a_notebook_is_text_whatever_it_is_called():
    html = progress.bar_html(1, 3, 1.0, "<b>x", "row", "<script>")
    assert "<b>" not in html and "<script>" not in html and 'aria-valuenow="33"' in html
    assert progress.bar_html(0, None, 0, "", "B", "").count("%") == 0


def test_a_quick_thing_makes_nothing(monkeypatch):
    kit.progress(True)
    with progress.bar(10) as bar:
        bar.update(10)
        assert bar._drawn is None and bar.n == 10


@pytest.mark.parametrize("word", ["0", "no", "No", "OFF", "False"])
def test_the_variable_turns_bars_off_however_it_is_written(monkeypatch, word):
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setenv("KIT_PROGRESS", word)
    assert not progress.wanted()
    monkeypatch.setenv("KIT_PROGRESS", "1")
    assert progress.wanted()
