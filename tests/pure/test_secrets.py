"""A secret is seen nowhere."""

import copy
import io
import logging
import pickle
import traceback

import pytest

from kit.amdahl import AmdahlClient, AsyncAmdahlClient
from kit.claude import ClaudeClient
from kit.core.errors import KitError
from kit.core.faces import state_of
from kit.core.secrets import Secret, hidden, masked, without_password

KEY = "amdhl_0123456789abcdef"


def clean(text: object) -> bool:
    # Not even a prefix: four characters of it in a row give it away.
    return not any(KEY[i : i + 6] in str(text) for i in range(len(KEY) - 6))


def test_every_way_of_showing_it():
    secret = Secret(KEY)
    for shown in (
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>40}",
        f"{secret!r}",
        f"{[secret]} {{1: {secret}}}",
    ):
        assert clean(shown)
        assert "<secret>" in shown
    assert clean(vars(type(secret)))
    assert clean(dir(secret))


def test_logs_and_tracebacks():
    secret = Secret(KEY)
    stream = io.StringIO()
    logging.getLogger("kit.test").addHandler(logging.StreamHandler(stream))
    logging.getLogger("kit.test").error("with %s and %r", secret, secret)
    try:
        raise KitError(f"failed with {secret}")
    except KitError as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        stream.write("".join(shown.format()))
    assert clean(stream.getvalue())


def test_pickling_is_refused_and_copying_shares():
    secret = Secret(KEY)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps({"key": secret})
    assert copy.deepcopy([secret])[0] is secret
    assert copy.copy(secret) is secret


def test_it_is_a_value_all_the_same():
    assert Secret(KEY).reveal() == KEY
    assert Secret(Secret(KEY)) == Secret(KEY) != Secret("other")
    assert len({Secret(KEY), Secret(KEY)}) == 1
    assert Secret(KEY)
    assert not Secret("")
    with pytest.raises(AttributeError):
        Secret(KEY).value = 1


@pytest.mark.parametrize("bad", [KEY + "\n", KEY + "é", " " + KEY, KEY + "\x00"])
def test_a_key_that_cannot_travel_is_refused_without_being_shown(bad):
    with pytest.raises(KitError) as caught:
        Secret(bad)
    assert clean(caught.value)


@pytest.mark.parametrize("face", [AmdahlClient, AsyncAmdahlClient])
def test_a_client_shows_nothing(face):
    client = face("http://127.0.0.1:1", KEY)
    driver = state_of(client).driver
    for shown in (client, client.__dict__, driver, driver.settings, driver._headers, driver._base):
        assert clean(repr(shown))


def test_verbose_tracebacks_of_a_failed_call_hold_no_key():
    """IPython's verbose mode prints the locals of every frame; ours and the transport's must not hold the key."""
    client = AmdahlClient("http://127.0.0.1:9", KEY)
    with pytest.raises(KitError) as caught:
        client.get("/me")
    error = caught.value
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert error.__context__ is None
    assert clean(shown)
    assert not [name for name in frames if name.endswith(("connections.py", "http1.py", "core/http.py"))]


def test_whatever_is_given_as_a_credential_is_hidden_without_an_error():
    import numpy as np
    import pandas as pd

    for value in (np.array(["a", "b"]), pd.Series(["x", "y"]), pd.NA, object(), b"", 0):
        secret = hidden(value)
        assert secret is not None and secret.unfit.startswith("a credential must be a str")
    assert hidden("") is None and hidden(None) is None and hidden(Secret("k")) == Secret("k")


@pytest.mark.parametrize(
    "address",
    [
        "https://me:secret@host/?next=http://x",
        "me:secret@https://host",
        "me:secret://x@host",
        "https://me:sec//ret@host",
        "https://me:secret@host/a@b?c=d://e",
        "me:secret//x@host",
        b"http://me:secret@host",
    ],
)
def test_a_password_in_an_address_is_hidden_wherever_slashes_stand(address):
    for text in (str(masked(address)), str(masked([address])), without_password(address)):
        assert "...@" in text and "sec" not in text and "ret" not in text
    with pytest.raises(KitError) as refused:
        ClaudeClient(address)  # type: ignore[arg-type]
    assert "sec" not in str(refused.value)
