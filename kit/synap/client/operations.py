"""Operations on Synap, written once for blocking and async clients and for both transports.

An operation is a generator. It yields steps and receives the result:

    Do       -> payload                         one command
    Many     -> list of payloads or errors      commands that need not wait for each other
    Calls    -> list of values or errors        calls of SynapRPC, many under way at once; bodies where `raw`
    Bulk     -> bool                            whether SynapRPC can be used
    Page     -> Response                        a page of HTTP
    Emit     -> None                            hand one item to the caller

`work` turns them into the three steps that touch a socket, which the drivers carry out: `Bulk`, `Http`, `Rpc`.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ...core.errors import KitError
from ...core.http.operations import Emit, Request, Response, call
from ..errors import (
    SynapError,
    SynapInputError,
    SynapTransportError,
    SynapWireError,
    of_transport,
    refusal,
    unauthorized,
)
from ..inputs import JsonText
from ..types import Stats
from ..wire import rpc_commands
from ..wire.frames import read_answer
from .settings import POLICY, Settings

T = TypeVar("T")
Operation = Generator[Any, Any, T]
Walk = Generator[Any, Any, None]

MAX_BODY = 2 * 1024 * 1024
"""The largest body that the server accepts over HTTP."""


@dataclass(frozen=True, slots=True)
class Do:
    """One command. Unless it is `safe`, it is never retried; a `binary` one cannot be sent as JSON."""

    command: str
    payload: Mapping[str, Any]
    safe: bool = True
    binary: bool = False

    @property
    def resource(self) -> str:
        for name in ("key", "queue", "room", "topic", "name"):
            value = self.payload.get(name)
            if isinstance(value, str):
                return value[:80]
        return ""


@dataclass(frozen=True, slots=True)
class Many:
    commands: Sequence[Do]


@dataclass(frozen=True, slots=True)
class Calls:
    calls: Sequence[rpc_commands.Call]
    safe: bool = True
    raw: bool = False
    resource: str = ""


@dataclass(frozen=True, slots=True)
class Bulk:
    pass


@dataclass(frozen=True, slots=True)
class Page:
    path: str
    params: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Http:
    """The step that asks for the answers to these requests, or their errors; None for those that were not sent because
    the server had refused the credential."""

    operations: Sequence[Generator[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class Rpc:
    """The step that asks for the bodies of the answers to these calls."""

    calls: Sequence[rpc_commands.Call]
    safe: bool


def work(settings: Settings, step: Any) -> Operation[Any]:
    """Do one step, in terms of what the drivers do."""
    if isinstance(step, Do):
        [result] = yield from _many(settings, [step])
        if isinstance(result, Exception):
            raise result
        return result
    if isinstance(step, Many):
        return (yield from _many(settings, step.commands))
    if isinstance(step, Calls):
        bodies = (yield Rpc(step.calls, step.safe)) if step.calls else []
        if step.raw:
            return bodies
        return [_value(body, call[0], step.resource) for body, call in zip(bodies, step.calls, strict=True)]
    return (yield from _page(settings, step))


def _many(settings: Settings, commands: Sequence[Do]) -> Operation[list[Any]]:
    if not commands:
        return []
    if settings.native:
        return (yield from natively(commands))
    if settings.slow_by_http and (yield Bulk()):
        return (yield from _natively_first(commands))
    return (yield from _by_http(commands))


def _natively_first(commands: Sequence[Do]) -> Operation[list[Any]]:
    """Ask over SynapRPC, where the password is hashed once; over HTTP what it tells less of, or could not be sent."""
    places = [n for n, command in enumerate(commands) if rpc_commands.tells_all(command.command, command.payload)]
    results: list[Any] = [None] * len(commands)
    answers = (yield from natively([commands[n] for n in places])) if places else []
    for n, answer in zip(places, answers, strict=True):
        results[n] = answer
    native = set(places)
    rest = [n for n in range(len(commands)) if n not in native or _is_lost(results[n])]
    for n, answer in zip(rest, (yield from _by_http([commands[n] for n in rest])), strict=True):
        results[n] = answer
    return results


def _is_lost(answer: Any) -> bool:
    return isinstance(answer, SynapTransportError) and not answer.maybe_received


def _by_http(commands: Sequence[Do]) -> Operation[list[Any]]:
    bodies = [b"" if command.binary else encoded(command) for command in commands]
    long = [n for n, body in enumerate(bodies) if not body or len(body) > MAX_BODY]
    if long:
        yield from _check_long(commands, bodies, long)
        answers = yield from natively([commands[n] for n in long])
        by_place = dict(zip(long, answers, strict=True))
    others = [n for n in range(len(commands)) if not long or n not in by_place]
    responses = (yield Http([_request(commands[n], bodies[n]) for n in others])) if others else []
    results: list[Any] = [None] * len(commands)
    for n, response in zip(others, responses, strict=True):
        try:
            results[n] = judged(response, commands[n])
        except SynapError as error:
            results[n] = error
    for n in long:
        results[n] = by_place[n]
    return results


def _check_long(commands: Sequence[Do], bodies: Sequence[bytes], long: Sequence[int]) -> Operation[None]:
    able = yield Bulk()
    for n in long:
        if able and rpc_commands.knows(commands[n].command):
            continue
        one = commands[n]
        if one.binary:
            raise SynapInputError(
                "bytes that are not UTF-8 cannot be sent in JSON, and SynapRPC cannot be reached",
                hint="give rpc_url=synap://host:15501, or encode them as text",
                op=one.command,
                resource=one.resource,
            )
        raise SynapInputError(
            f"the request has {len(bodies[n]):,} bytes; the server takes {MAX_BODY:,} over HTTP",
            hint="SynapRPC accepts more: give rpc_url=synap://host:15501, or a synap:// address",
            op=one.command,
            resource=one.resource,
        )


def natively(commands: Sequence[Do]) -> Operation[list[Any]]:
    """Return the payloads or errors of commands over SynapRPC, many under way at once."""
    calls = [rpc_commands.call_of(one.command, one.payload) for one in commands]
    bodies = yield Rpc(calls, all(one.safe for one in commands))
    answers: list[Any] = []
    for command, body in zip(commands, bodies, strict=True):
        value = _value(body, command.command, command.resource)
        if not isinstance(value, SynapError):
            try:
                value = rpc_commands.reply_of(command.command, value)
            except SynapError as error:
                value = error
        answers.append(value)
    return answers


def _value(body: Any, op: str, resource: str) -> Any:
    """Return the value of an answer, or the error that it is."""
    if isinstance(body, Exception):
        return body
    try:
        _, good, value = read_answer(body)
    except SynapError as error:
        return error
    return value if good else refusal(value, op=op, resource=resource)


def encoded(one: Do) -> bytes:
    """Return a command as the body of its request; bytes become lists of numbers."""
    payload = {name: json.loads(value) if isinstance(value, JsonText) else value for name, value in one.payload.items()}
    request = {"command": one.command, "request_id": "kit", "payload": payload}
    try:
        return json.dumps(
            request, default=_numbers, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        ).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise SynapInputError(f"this cannot be sent as JSON: {error}", op=one.command, resource=one.resource) from None


def _numbers(value: Any) -> Any:
    if isinstance(value, bytes):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")


def _request(one: Do, body: bytes) -> Generator[Any, Any, Response]:
    request = Request("POST", "/api/v1/command", op=one.command, body=body, safe=one.safe)
    return call(request, POLICY)


def judged(response: Any, one: Do) -> Any:
    """Return the payload of an answer, unless it is a refusal: that is raised."""
    if isinstance(response, KitError):
        raise of_transport(response, one.command, one.resource) from None
    if response is None or response.status == 401:
        raise unauthorized(one.command, one.resource)
    try:
        payload = response.json()
    except ValueError:
        payload = None
    if not response.ok:
        text = payload.get("error") if isinstance(payload, dict) else response.text().strip()[:300]
        shown = str(text or f"the server answered with status {response.status}")
        raise refusal(shown, response.status, op=one.command, resource=one.resource)
    if not isinstance(payload, dict) or not isinstance(payload.get("success"), bool):
        raise SynapWireError(
            "the answer is not one of Synap",
            hint="check that this is the address and HTTP port of a Synap server",
            op=one.command,
            resource=one.resource,
        )
    if not payload["success"]:
        raise refusal(str(payload.get("error") or "refused without a reason"), op=one.command, resource=one.resource)
    return payload.get("payload")


def _page(settings: Settings, page: Page) -> Operation[Response]:
    if settings.native:
        raise SynapInputError(f"{page.path} is on the HTTP port only", hint="use a client with an http:// address")
    one = Do(page.path, {})
    [response] = yield Http([call(Request("GET", page.path, op=page.path, params=page.params, safe=True), POLICY)])
    if isinstance(response, KitError):
        raise of_transport(response, one.command)
    if response.status == 401:
        raise unauthorized(one.command)
    if not response.ok:
        raise refusal(response.text().strip()[:300] or f"status {response.status}", response.status, op=one.command)
    answer: Response = response
    return answer


def member(payload: Any, name: str, kind: type[T] | tuple[type, ...]) -> T:
    """Return a field of an answer, of the kind that it must have."""
    value = payload.get(name) if isinstance(payload, Mapping) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise SynapWireError(f"an answer without {name!r}, or of an unknown form")
    return value  # type: ignore[return-value]


def stats_of(payload: Any) -> Stats:
    """Return the figures that an answer consists of."""
    if not isinstance(payload, Mapping):
        raise SynapWireError("an answer that is no figures, but of an unknown form")
    return Stats(payload)


def text_or_bytes(value: bytes) -> str | bytes:
    """Return a value as text, where it is UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def raised(results: Sequence[Any], counts: Sequence[int] | None = None, done: str = "") -> list[Any]:
    """Return the results, unless one is an error: the first is raised.

    Where `counts` says how many things each result stands for, the error says how many were `done`.
    """
    failure = next((result for result in results if isinstance(result, Exception)), None)
    if failure is None:
        return list(results)
    if counts is not None and isinstance(failure, SynapError):
        good = sum(count for result, count in zip(results, counts, strict=True) if not isinstance(result, Exception))
        failure.done = good
        summary = f"{good:,} of {sum(counts):,} were {done}"
        failure.hint = f"{summary}; {failure.hint}" if failure.hint else summary
    raise failure


__all__ = [
    "Bulk",
    "Calls",
    "Do",
    "Emit",
    "Many",
    "Operation",
    "Page",
    "SynapTransportError",
    "Walk",
    "natively",
    "work",
]
