"""An answer in pieces: by HTTP, received whole and then cut, or by WebSocket as the service sends it.

The service has no other streaming. On the real service the WebSocket's chat runs its command without the prompt and
blocks all other requests, so HTTP is the default; use `transport="ws"` for a server that really streams, such as the
embedded one.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

from ...core import calls
from ...core.http.exchange import AsyncDriver
from ...core.http.operations import Emit, Operation, Walk
from ...core.http.proxies import socket_proxy
from ...core.secrets import Secret, logger_without_headers, revealed
from ..errors import (
    AuthenticationError,
    BudgetExceededError,
    ClaudeAPIError,
    ClaudeInputError,
    PermissionError,
    TimeoutError,
)
from ..types import Response, Transport
from ..wire import json_messages as wire
from .batches.batching import route
from .exchange import CONNECT_TIMEOUT, ask
from .state import LOG, ClientState

PIECES = 20
_FRAME = 16 * 1024 * 1024


def checked(transport: str) -> None:
    if transport not in ("http", "ws"):
        raise ClaudeInputError(f"transport={transport!r} is not a transport", hint='choose "http" or "ws"')


def opened(
    state: ClientState,
    prompt: str,
    model: str | None,
    timeout: float | None,
    project: str | None,
    transport: Transport,
) -> Any:
    """Return the pieces of an answer, then the whole, as a blocking or async iterator like the client."""
    state.check_open()
    checked(transport)
    settings = (wire.prompt_text(prompt), wire.chosen_model(model), state.limited(timeout), project)
    if transport == "http":
        return state.driver.walk(pieces(state, *settings))
    return (async_socket_pieces if isinstance(state.driver, AsyncDriver) else socket_pieces)(state, *settings)


def complete(
    state: ClientState, prompt: str, model: str | None, timeout: float, project: str | None, method: str = "complete"
) -> Operation[Response]:
    """Return a completion, written into the client's book."""
    request_id = uuid.uuid4().hex
    body = wire.chat(prompt, model, timeout, project)
    answered = False
    try:
        answer = yield from ask(
            state,
            "POST",
            "/v1/chat/completions",
            method,
            body,
            within=wire.patience(timeout),
            project=project,
            request_id=request_id,
        )
        response = wire.response_of(answer, method)
        answered = True
    except ClaudeAPIError as error:
        answered = error.paid is False
        raise
    finally:
        # An interrupt ends here too.
        if not answered:
            state.book.unknown(method, model, project, request_id)
    state.book.completed(method, response.model, response.usage, response.cost, response.project_id, request_id)
    state.note_project(project, response.project_id)
    return response


def pieces(
    state: ClientState, prompt: str, model: str | None, timeout: float, project: str | None
) -> Walk[str | Response]:
    """Return the text in pieces, then the whole."""
    response = yield from complete(state, prompt, model, timeout, project, "stream")
    text = response.content
    size = max(1, len(text) // PIECES)
    for start in range(0, len(text), size):
        yield Emit(text[start : start + size])
    yield Emit(response)


def socket_pieces(
    state: ClientState, prompt: str, model: str | None, timeout: float, project: str | None
) -> Iterator[str | Response]:
    """Return the same by WebSocket, blocking."""
    from websockets.sync.client import connect

    if model is None:
        model = state.driver.run(route(state, prompt, project))
    chat = _Chat(state, prompt, model, timeout, project)
    with chat, connect(chat.url, **chat.options()) as socket:
        socket.send(chat.message())
        while not chat.done:
            yield chat.feed(socket.recv(chat.left()))
    chat.check()


async def async_socket_pieces(
    state: ClientState, prompt: str, model: str | None, timeout: float, project: str | None
) -> AsyncIterator[str | Response]:
    """Return the same by WebSocket, awaited."""
    import asyncio

    from websockets.asyncio.client import connect

    if model is None:
        model = await state.driver.run(route(state, prompt, project))
    chat = _Chat(state, prompt, model, timeout, project)
    with chat:
        async with connect(chat.url, **chat.options()) as socket:
            await socket.send(chat.message())
            while not chat.done:
                async with asyncio.timeout(chat.left()):
                    frame = await socket.recv()
                yield chat.feed(frame)
    chat.check()


class _Chat:
    """One chat over a WebSocket, but for the calls of the socket: what is sent, what frames mean, how it ended."""

    def __init__(self, state: ClientState, prompt: str, model: str, timeout: float, project: str | None) -> None:
        state.check_open()  # it may have been closed since the iterator was made
        settings = state.driver.settings
        self.url = f"ws{settings.base_url.removeprefix('http').rstrip('/')}/v1/stream"
        key = state.project_keys.get(project or "") or settings.credential
        self.request_id = uuid.uuid4().hex
        self._headers: dict[str, str | Secret] = {"x-request-id": self.request_id}
        if key is not None:
            self._headers["authorization"] = key.after("Bearer ")
        self.done = False
        self._failed: ClaudeAPIError | None = None
        self._sent = False
        self._recorded = False
        self._state, self._prompt, self._model, self._project = state, prompt, model, project
        self._timeout = timeout
        self._ends = self._state.clock.monotonic() + wire.patience(timeout)
        self._text: list[str] = []
        self._size = self._out = 0
        """Bytes that came, and that went out."""
        self._started, self._clock = calls.now(), time.perf_counter()

    def options(self) -> dict[str, Any]:
        """Return the options of the socket."""
        opening = min(CONNECT_TIMEOUT, self.left())
        headers = revealed(self._headers)
        # A service that is at work on the answer may leave a ping unanswered as long as the answer may take.
        alive = wire.patience(self._timeout)
        settings = self._state.driver.settings
        return {
            "additional_headers": headers,
            "open_timeout": opening,
            "close_timeout": 1,
            "ping_timeout": alive,
            "max_size": _FRAME,
            "ssl": settings.context(),
            "logger": logger_without_headers(),
            **socket_proxy(settings.origin),
        }

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        """Keep a failure of the socket for `check`: raised in here, it would hold the request's headers."""
        from websockets.exceptions import WebSocketException

        # Some errors of ours are OSErrors too.
        if isinstance(error, WebSocketException | OSError | EOFError) and not isinstance(error, ClaudeAPIError):
            self._failed = self._failure(error)
        self._over(error)
        return self._failed is not None

    def check(self) -> None:
        """Raise the failure of the socket, if there was one."""
        if self._failed is not None:
            raise self._failed

    def message(self) -> str:
        """Return the message that requests the answer."""
        request: dict[str, Any] = {
            "type": "chat",
            "model": self._model,
            "messages": [{"role": "user", "content": self._prompt}],
        }
        if self._project is not None:
            request["project_id"] = self._project
        self._sent = True
        LOG.debug("stream: chat on %s, request %s", self.url, self.request_id)
        message = json.dumps(request)
        self._out = len(message)
        return message

    def left(self) -> float:
        """Return seconds to wait for the next frame. After an error of its own the service may stay silent forever."""
        return max(0.01, self._ends - self._state.clock.monotonic())

    def feed(self, frame: str | bytes) -> str | Response:
        """Return the next piece, or at the end the whole."""
        self._size += len(frame.encode() if isinstance(frame, str) else frame)
        if self._size > wire.LARGEST:
            raise wire.unreadable("stream", "larger than the limit")
        try:
            value = json.loads(frame)
        except (ValueError, RecursionError):
            value = None
        kind = value.get("type") if isinstance(value, dict) else None
        if kind == "token" and isinstance(value.get("content"), str):
            self._text.append(value["content"])
            # The timeout is for the first piece; later pieces may be slow, but not endlessly.
            self._ends = self._state.clock.monotonic() + wire.patience(self._timeout)
            return str(value["content"])
        if kind == "error":
            raise self._refused(str(value.get("error", "no reason given")))
        if kind != "done":
            raise wire.unreadable("stream", "a frame that is not token, done or error")
        return self._whole(value)

    def _whole(self, value: dict[str, Any]) -> Response:
        used, cost = wire.usage_of(value.get("usage")), wire.number(value.get("cost"))
        if used is None or cost is None:
            raise wire.unreadable("stream", "no usage or cost")
        model = str(value.get("model") or self._model)
        paid = bool(self._text or used.total_tokens)
        if paid:
            self._state.book.completed("stream", model, used, cost, self._project, self.request_id)
            self._recorded = True
        if not self._text:
            raise ClaudeAPIError(
                "stream: the service ended the answer without any text",
                paid=True if paid else None,
                hint='its WebSocket does not pass prompts on; use transport="http"',
            )
        self.done = True
        return Response(self.request_id, model, "".join(self._text), used, cost, self._project)

    def _refused(self, message: str) -> ClaudeAPIError:
        kind: type[ClaudeAPIError] = ClaudeAPIError
        if message.startswith("Budget exceeded"):
            kind = BudgetExceededError
        elif message.startswith(("api_key required", "Invalid API key", "Not authenticated")):
            kind = AuthenticationError
        elif message.startswith("Permission denied"):
            kind = PermissionError
        elif "timed out" in message:
            kind = TimeoutError
        before = (BudgetExceededError, AuthenticationError, PermissionError)
        early = issubclass(kind, before) or message.startswith(("Invalid ", "Unknown ", "No messages"))
        self._recorded = early
        return kind(
            f"stream: {message[:500]}", detail=message, request_id=self.request_id, paid=False if early else None
        )

    def _failure(self, error: Exception) -> ClaudeAPIError:
        """Return the exception for a socket that could not be opened, or broke."""
        from websockets.exceptions import InvalidStatus

        what = "stream (WebSocket)"
        if isinstance(error, InvalidStatus):
            status = error.response.status_code
            kind = AuthenticationError if status == 401 else PermissionError if status == 403 else ClaudeAPIError
            return kind(f"{what}: the service refused the connection (status {status})", status_code=status, paid=False)
        fields: dict[str, Any] = {"request_id": self.request_id, "paid": None if self._sent else False}
        if isinstance(error, OSError) and type(error).__name__ == "TimeoutError":
            return TimeoutError(f"{what}: no answer in time", **fields)
        reason = str(error)[:300] or type(error).__name__
        if not self._sent:
            return ClaudeAPIError(f"{what}: could not connect to {self.url}: {reason}", **fields)
        return ClaudeAPIError(f"{what}: the connection broke: {reason}", **fields)

    def _over(self, error: BaseException | None) -> None:
        """Record the cost, however the chat ended: an answer that was left early has been paid for."""
        if self._sent and not self._recorded:
            self._state.book.unknown("stream", self._model, self._project, self.request_id)
        self._recorded = True
        failed = self._failed or (error if isinstance(error, ClaudeAPIError) else None)
        calls.record(
            "claude",
            "stream",
            self._started,
            time.perf_counter() - self._clock,
            bytes_in=self._size,
            bytes_out=self._out,
            status=101 if self._sent else 0,
            error="" if self.done else "interrupted" if failed is None else type(failed).__name__,
        )
