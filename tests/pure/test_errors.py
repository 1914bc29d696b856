"""Errors: the tree, the words, and what a notebook shows of them."""

import copy
import pickle

import pytest

from kit.amdahl import AmdahlError
from kit.core import errors


def test_the_tree_follows_what_a_caller_can_catch():
    assert issubclass(errors.InputError, ValueError)
    assert issubclass(errors.Silent, TimeoutError)
    assert issubclass(errors.Unreachable, ConnectionError)
    for name in ("InputError", "SetupError", "TransportError", "Unreachable", "Lost", "Silent", "AnswerError"):
        assert issubclass(getattr(errors, name), errors.KitError)
    assert errors.Unreachable("x").maybe_received is False
    assert errors.Lost("x").maybe_received is True


def test_the_reference_signature_and_text():
    error = AmdahlError(404, "not_found", "no such page", {"a": 1})
    assert str(error) == "[404 not_found] no such page"
    assert (error.status, error.code, error.message, error.body) == (404, "not_found", "no such page", {"a": 1})
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (str(twin), twin.code, twin.body) == (str(error), error.code, error.body)


def test_a_cell_shows_a_short_message():
    from IPython.testing.globalipapp import start_ipython

    shell = start_ipython()
    shown = []
    original, shell._showtraceback = shell._showtraceback, lambda kind, value, lines: shown.append("\n".join(lines))
    try:
        shell.run_cell("from kit.amdahl import AmdahlClient\nAmdahlClient('http://127.0.0.1:9', 'k').get('/me')\n")
    finally:
        shell._showtraceback = original
    (text,) = shown
    assert "Unreachable: amdahl: GET http://127.0.0.1:9/api/platform/v1/me: could not connect" in text
    assert "line 2: AmdahlClient('http://127.0.0.1:9', 'k').get('/me')" in text
    assert len(text.splitlines()) <= 4
    assert "httpx" not in text


def test_a_hint_is_part_of_the_text():
    error = errors.SetupError("no key", hint="set it")
    assert str(error) == "no key\n  set it"
    with pytest.raises(errors.KitError, match="set it"):
        raise error
