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
