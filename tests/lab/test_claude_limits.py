"""How long calls may take, how often they are tried, and what is refused before anything is sent."""

import asyncio
import socket
import threading
import time

import pytest

from kit.claude import AsyncClaudeClient, ClaudeAPIError, ClaudeClient, RateLimitError, TimeoutError
from kit.core.errors import InputError
from tests.lab.claudelite import ClaudeLab

pytestmark = pytest.mark.lab


@pytest.fixture
def silent():
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def trickling():
    """A server that sends a piece of an answer now and then, for ever."""

    def serve(server):
        while True:
            try:
                one, _ = server.accept()
            except OSError:
                return
            one.recv(65536)
            one.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
            try:
                for _ in range(80):
                    one.sendall(b" ")
                    time.sleep(0.1)
            except OSError:
                pass
            finally:
                one.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def hesitant():
    """A server that sends the head of an answer byte by byte."""

    def serve(server):
        while True:
            try:
                one, _ = server.accept()
            except OSError:
                return
            one.recv(65536)
            try:
                for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n":
                    time.sleep(0.8)
                    one.sendall(bytes([byte]))
            except OSError:
                pass
            finally:
                one.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


CALLS = {
    "complete": lambda client: client.complete("x"),
    "complete, with its own": lambda client: client.complete("x", timeout=1),
    "stream": lambda client: list(client.stream("x")),
    "stream by WebSocket": lambda client: list(client.stream("x", "haiku", transport="ws")),
    "agentic_task": lambda client: client.agentic_task("x", timeout=1),
    "batch of 2": lambda client: client.batch(["a", "b"]),
    "health": lambda client: client.health(),
    "get_usage": lambda client: client.get_usage(),
    "capabilities": lambda client: client.capabilities(),
    "route": lambda client: client.route("x"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_timeout_is_for_the_whole_call(silent, call):
    with ClaudeClient(silent, api_key="cc_00", timeout=1) as client:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            call(client)
        assert 0.9 < time.monotonic() - began < 2.5


def test_a_timeout_is_for_the_whole_call_when_awaited(silent):
    async def main():
        async with AsyncClaudeClient(silent, api_key="cc_00", timeout=1) as client:
            began = time.monotonic()
            for call in (client.complete("x"), client.health()):
                with pytest.raises(TimeoutError):
                    await call
            return time.monotonic() - began

    assert asyncio.run(main()) < 4


def test_a_timeout_is_for_an_answer_that_trickles_too(trickling):
    with ClaudeClient(trickling, api_key="cc_00", timeout=1) as client:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            client.complete("x")
        assert time.monotonic() - began < 2.5


def test_a_timeout_is_for_a_head_that_trickles_too(hesitant):
    with ClaudeClient(hesitant, api_key="cc_00", timeout=1) as client:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            client.complete("x")
        assert time.monotonic() - began < 1.7

    async def main():
        async with AsyncClaudeClient(hesitant, api_key="cc_00", timeout=1) as client:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                await client.complete("x")
            return time.monotonic() - began

    assert asyncio.run(main()) < 1.7


def test_what_is_free_is_tried_again_after_a_429(tmp_path):
    lab = ClaudeLab(tmp_path)
    try:
        with ClaudeClient(lab.url, api_key=lab.key, max_retries=3, retry_delay=0.01) as client:
            for call in (client.get_usage, client.health, client.capabilities, lambda: client.route("x")):
                lab.fault("429", count=2)
                call()
            lab.fault("429", count=1)
            with pytest.raises(RateLimitError):
                client.complete("x")
    finally:
        lab.close()


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.complete("x", model="gpt"),
        lambda client: client.complete("x", timeout=-1),
        lambda client: client.complete(7),
        lambda client: client.agentic_task(""),
        lambda client: client.agentic_task("x", max_cost=-1),
        lambda client: client.batch("x"),
        lambda client: client.get_usage("year"),
        lambda client: list(client.stream("x", transport="pigeon")),
        lambda client: ClaudeClient(timeout=-1),
        lambda client: ClaudeClient(max_retries="3"),
        lambda client: ClaudeClient("nonsense"),
        lambda client: ClaudeClient(api_key="two words"),
    ],
)
def test_what_is_refused_here_is_caught_as_the_services_own(call):
    with ClaudeClient("http://127.0.0.1:1", api_key="cc_00") as client, pytest.raises(ClaudeAPIError) as caught:
        call(client)
    assert isinstance(caught.value, InputError) and caught.value.paid is False


def test_a_variable_that_is_no_time_is_quoted(monkeypatch):
    monkeypatch.setenv("CLAUDE_TIMEOUT", "abc")
    with pytest.raises(ClaudeAPIError, match="CLAUDE_TIMEOUT is 'abc'"):
        ClaudeClient("http://127.0.0.1:1", api_key="cc_00")
