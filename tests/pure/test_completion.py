"""Names to complete: asked for once in a while, never waited for long, never an error."""

import threading
import time

from kit.core import completion
from kit.core.completion import Names


def test_a_listing_is_kept_for_a_while():
    asked = []
    names = Names(lambda: asked.append(1) or ["a", "b"])
    assert names.get() == ["a", "b"]
    assert names.get() == ["a", "b"]
    assert len(asked) == 1
    names.forget()
    assert names.get() == ["a", "b"]
    assert len(asked) == 2


def test_a_slow_listing_is_there_the_next_time(monkeypatch):
    monkeypatch.setattr(completion, "PATIENCE", 0.05)
    go = threading.Event()
    names = Names(lambda: [str(go.wait(5))])
    started = time.monotonic()
    assert names.get() == []
    assert time.monotonic() - started < 1
    go.set()
    time.sleep(0.2)
    assert names.get() == ["True"]


def test_an_error_gives_what_was_known():
    answers = [["a"], RuntimeError("down")]

    def fetch():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    names = Names(fetch)
    assert names.get() == ["a"]
    names.forget()
    assert names.get() == ["a"]


def test_a_listing_that_was_under_way_when_names_changed_is_not_kept():
    names, go = ["old"], threading.Event()

    def fetch():
        listed = list(names)
        go.wait(5)
        return listed

    completing = Names(fetch)
    thread = threading.Thread(target=completing.get)
    thread.start()
    time.sleep(0.1)
    names.append("new")
    completing.forget()
    go.set()
    thread.join()
    assert completing.get() == ["old", "new"]
