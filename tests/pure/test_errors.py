"""Errors: the tree, the words, and what a notebook shows of them."""

import copy
import pickle
import subprocess
import sys

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
    cell = "from kit.amdahl import AmdahlClient\nAmdahlClient('http://127.0.0.1:9', 'k').get('/me')\n"
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", cell]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    text = (run.stdout + run.stderr).strip()
    assert "Unreachable: amdahl: GET http://127.0.0.1:9/api/platform/v1/me: could not connect" in text
    assert "line 2: AmdahlClient('http://127.0.0.1:9', 'k').get('/me')" in text
    assert len(text.splitlines()) <= 4
    assert "httpx" not in text


ACTING = "a\x1b[31mred\x07\u202egnp.exe\u2066\x9b1m\ud800"
SHOWN = "a\\x1b[31mred\\x07\\u202egnp.exe\\u2066\\x9b1m\\ud800"


def every_error():
    from kit.claude import ClaudeAPIError
    from kit.kimberlite.errors import NetworkError, server_error
    from kit.s2.errors import S2ClientError, S2ServerError
    from kit.synap.errors import SynapError, refusal

    named = S2ServerError("code", "gone", 404)
    named.op, named.resource = "read", ACTING
    yield from (errors.KitError("x", hint=ACTING), named, ClaudeAPIError(ACTING), AmdahlError(400, "c", ACTING))
    yield from (S2ServerError("code", ACTING, 400), S2ClientError(ACTING), server_error(5, ACTING))
    yield from (NetworkError(ACTING), SynapError(ACTING), refusal(ACTING, op="x"), errors.Lost(ACTING))


@pytest.mark.parametrize("error", [*every_error()], ids=lambda error: type(error).__name__)
def test_what_an_error_quotes_cannot_act_on_a_terminal(error):
    assert SHOWN in str(error)
    assert ACTING not in str(error)
    assert SHOWN in "\n".join(error._render_traceback_())
    assert SHOWN in str(pickle.loads(pickle.dumps(error)))


def test_what_a_user_branches_on_stays_as_it_came():
    from kit.s2 import S2ServerError

    assert S2ServerError("code", ACTING, 400).message == ACTING
    assert errors.KitError(ACTING).args == (ACTING,)


def test_reprs_and_bars_cannot_act_on_a_terminal():
    from kit.claude import ClaudeClient
    from kit.core import progress
    from kit.kimberlite.explore.explorer import Stream
    from kit.s2 import Endpoints, SyncS2
    from kit.synap.explore.explorer import Room

    line = ACTING + "\nline"
    s2 = SyncS2("token", endpoints=Endpoints("http://127.0.0.1:9", "http://127.0.0.1:9"))
    clean = line.replace("\ud800", "")
    made = [s2["basin-name"][clean], Room(None, line), Stream(None, line), ClaudeClient(project_id=line)]
    for one in made:
        assert "\\x1b[31mred\\x07\\u202egnp.exe" in repr(one)
        assert not [char for char in repr(one) if not char.isprintable()]
    progress.show(True)
    try:
        with progress.bar(3, what=line) as bar:
            assert bar._options["desc"].isprintable()
    finally:
        progress.show(None)


def test_a_hint_is_part_of_the_text():
    error = errors.SetupError("no key", hint="set it")
    assert str(error) == "no key\n  set it"
    with pytest.raises(errors.KitError, match="set it"):
        raise error


def test_what_was_interrupted_goes_to_another_process_with_what_had_come():
    error = errors.Interrupted([1, 2], "records")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (str(twin), twin.partial) == ("2 records had come: sys.last_value.partial has them", [1, 2])
