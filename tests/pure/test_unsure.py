"""A call that was made several times: an earlier try may have been received, whatever is known of the last one."""

import pytest

from kit.core.errors import Lost, Unreachable
from kit.core.http.operations import Pause, Request, Response, call
from kit.core.http.retry import Policy
from kit.s2 import AppendRetryPolicy, Endpoints, Retry
from kit.s2.client.transport import Transport, ask
from kit.s2.errors import S2ClientError, S2ServerError, no_side_effects
from kit.s2.settings import Compression
from kit.synap.client.connection_base import Exchange, answered
from kit.synap.errors import SynapTransportError, of_transport


def driven(operation, *outcomes):
    """Return what comes of an operation whose steps end so; pauses take no time."""
    given = iter(outcomes)
    result = failure = None
    while True:
        try:
            step = operation.send(result) if failure is None else operation.throw(failure)
        except StopIteration as done:
            return done.value
        result = failure = None
        if not isinstance(step, Pause):
            outcome = next(given)
            result, failure = (None, outcome) if isinstance(outcome, Exception) else (outcome, None)


POLICY = Policy(attempts=3, base=0)
BROKEN = Response(500, {}, b"")


@pytest.mark.parametrize(
    ("outcomes", "maybe"),
    [
        ((Unreachable("x"), Unreachable("x"), Unreachable("x")), False),
        ((Lost("x"), Unreachable("x"), Unreachable("x")), True),
        ((Unreachable("x"), Lost("x"), Unreachable("x")), True),
        ((BROKEN, Unreachable("x"), Unreachable("x")), True),
        ((Response(429, {}, b""), Unreachable("x"), Unreachable("x")), False),
    ],
)
def test_over_http(outcomes, maybe):
    with pytest.raises(Unreachable) as caught:
        driven(call(Request("PUT", "/x", safe=True), POLICY), *outcomes)
    assert caught.value.maybe_received is maybe
    assert of_transport(caught.value).maybe_received is maybe


def unreachable():
    error = SynapTransportError("x")
    error.maybe_received = False
    return error


@pytest.mark.parametrize(
    ("outcomes", "maybe"),
    [
        ((unreachable(), unreachable(), unreachable()), False),
        ((SynapTransportError("x"), unreachable(), unreachable()), True),
    ],
)
def test_over_synaprpc(outcomes, maybe):
    [found] = driven(answered([("SET", ("a", "b"))], safe=True), *outcomes)
    assert isinstance(found, SynapTransportError)
    assert found.maybe_received is maybe
    assert isinstance(next(answered([("SET", ("a", "b"))], safe=True)), Exchange)


@pytest.mark.parametrize("last", [Unreachable("x"), Response(429, {}, b'{"code": "rate_limited", "message": "x"}')])
@pytest.mark.parametrize(("first", "proves"), [(Unreachable("x"), True), (Lost("x"), False), (BROKEN, False)])
def test_an_append_of_s2_that_is_repeated_whatever_happens(first, last, proves):
    retry = Retry(max_attempts=2, append_retry_policy=AppendRetryPolicy.ALL)
    ends = Endpoints("http://127.0.0.1:1", "http://127.0.0.1:1")
    transport = Transport("token", ends, None, retry, Compression.NONE, lambda settings: None)
    with pytest.raises((S2ClientError, S2ServerError)) as caught:
        driven(ask(transport, "POST", "/x", op="append", appends=True), first, last)
    assert no_side_effects(caught.value) is proves
