"""A client for tests of code that uses one: it gives the announced answers, and fails for any other call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from .types import Event, Position, StreamId, TenantId

_NOTHING = object()


class Expectation:
    """An expected call. Set its outcome with `returns(value)` or `raises(error)`; one of them is required."""

    def __init__(self, method: str, arguments: tuple[Any, ...]) -> None:
        self.method, self.arguments = method, arguments
        self._value: Any = _NOTHING
        self._error: BaseException | type[BaseException] | None = None

    def returns(self, value: Any) -> Expectation:
        """Return the call will give this."""
        self._value = value
        return self

    def raises(self, error: BaseException | type[BaseException]) -> Expectation:
        """Return the call will raise this."""
        self._error = error
        return self

    def _play(self) -> Any:
        if self._error is not None:
            raise self._error
        if self._value is _NOTHING:
            raise AssertionError(f"{self} has no result: add .returns(...) or .raises(...)")
        return self._value

    def __str__(self) -> str:
        return f"{self.method}({', '.join(map(repr, self.arguments))})"


@dataclass
class _Events:
    """The subscription of a mock client."""

    events: Iterator[Event]
    closed: bool = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        if self.closed:
            raise StopIteration
        return next(self.events)

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class MockClient:
    """Expects calls in the order in which they were announced.

    >>> client = MockClient()
    >>> _ = client.expect_append(TenantId(1), StreamId(1, 100), b"data").returns(Position(1))
    >>> client.append(TenantId(1), StreamId(1, 100), b"data")
    Position(value=1)
    >>> client.verify()

    A call that was not announced, or not yet, is an `AssertionError`, which no `except KimberliteError` hides.
    `verify()`, `close()` and the end of a `with` block fail where an announced call did not come.
    """

    def __init__(self) -> None:
        self._expected: list[Expectation] = []
        self._made: list[str] = []

    def expect_append(self, tenant_id: TenantId, stream_id: StreamId, data: bytes) -> Expectation:
        return self._expect("append", tenant_id, stream_id, data)

    def expect_append_batch(self, tenant_id: TenantId, stream_id: StreamId, events: Sequence[bytes]) -> Expectation:
        return self._expect("append_batch", tenant_id, stream_id, list(events))

    def expect_read_stream(self, tenant_id: TenantId, stream_id: StreamId) -> Expectation:
        return self._expect("read_stream", tenant_id, stream_id)

    def expect_read_from_position(self, position: Position, limit: int | None = None) -> Expectation:
        return self._expect("read_from_position", position, limit)

    def expect_subscribe(self, tenant_id: TenantId, stream_id: StreamId) -> Expectation:
        """Expect a subscription; `returns` are the events that come, after which it ends."""
        return self._expect("subscribe", tenant_id, stream_id)

    def expect_query(self, sql: str, params: Sequence[Any] = ()) -> Expectation:
        return self._expect("query", sql, list(params))

    def expect_execute(self, sql: str, params: Sequence[Any] = ()) -> Expectation:
        return self._expect("execute", sql, list(params))

    def append(self, tenant_id: TenantId, stream_id: StreamId, data: bytes) -> Position:
        position: Position = self._called("append", tenant_id, stream_id, data)
        return position

    def append_batch(self, tenant_id: TenantId, stream_id: StreamId, events: Sequence[bytes]) -> list[Position]:
        positions: list[Position] = self._called("append_batch", tenant_id, stream_id, list(events))
        return positions

    def read_stream(self, tenant_id: TenantId, stream_id: StreamId) -> list[Event]:
        return list(self._called("read_stream", tenant_id, stream_id))

    def read_from_position(self, position: Position, limit: int | None = None) -> list[Event]:
        return list(self._called("read_from_position", position, limit))

    def subscribe(self, tenant_id: TenantId, stream_id: StreamId) -> _Events:
        return _Events(iter(self._called("subscribe", tenant_id, stream_id)))

    def query(self, sql: str, params: Sequence[Any] = ()) -> Any:
        return self._called("query", sql, list(params))

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Any:
        return self._called("execute", sql, list(params))

    def verify(self) -> None:
        """Fail where an expected call did not come."""
        if self._expected:
            missing = "; ".join(map(str, self._expected))
            raise AssertionError(f"expected, but never called: {missing}")

    def close(self) -> None:
        """Do what a client's `close` does, and `verify`."""
        self.verify()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:  # the failure of the test says more
            self.verify()

    def _expect(self, method: str, *arguments: Any) -> Expectation:
        self._expected.append(Expectation(method, arguments))
        return self._expected[-1]

    def _called(self, method: str, *arguments: Any) -> Any:
        call = str(Expectation(method, arguments))
        if not self._expected:
            raise AssertionError(f"not expected: {call}; after {', '.join(self._made[-3:]) or 'no call'}")
        following = self._expected[0]
        if (following.method, following.arguments) != (method, arguments):
            raise AssertionError(f"called: {call}, but expected next: {following}")
        self._expected.pop(0)
        self._made.append(call)
        return following._play()  # noqa: SLF001 - Tab on an expectation shows what it is told
