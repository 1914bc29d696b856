"""A stream: append, read, and sessions for both, blocking and async."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...core.faces import AsyncFace, SyncFace, coloured, verb
from ...core.html import one_line
from ...core.http.operations import Operation, Walk
from ...core.secrets import Secret
from ..checks import check_input
from ..configs import StreamConfig
from ..positions import StreamPosition
from ..settings import MAX_UNACKED_BYTES, Batching
from ..types import AppendAck, AppendInput, ReadBatch, ReadLimit
from ..wire.fields import loads
from ..wire.json_messages import tail_from_json
from ..wire.messages import ack_of, encode_input, read_batch_of
from .sessions.reading import Plan, Start, plan_of, session, take_batch
from .state import StreamState
from .transport import PROTOBUF, Transport, ask

if TYPE_CHECKING:
    from .sessions.append_session import AppendSession
    from .sessions.producer import Producer
    from .sessions.read_session import ReadSession, SyncReadSession
    from .sessions.sync_sessions import SyncAppendSession, SyncProducer

LONGEST_WAIT = 60
"""Seconds; a single read never waits longer than this."""


def append_message(state: StreamState, message: bytes, config: StreamConfig | None = None) -> Operation[AppendAck]:
    """Return where the records of an append are that is encoded already; `config` is for the stream that it makes."""
    headers = {**state.headers(config), "accept": PROTOBUF}
    answer = yield from ask(
        state.transport, "POST", state.path, op="append", packed=message, headers=headers, appends=True
    )
    return ack_of(bytes(answer.body))


def _reading(of: tuple[Any, Walk[ReadBatch], Plan]) -> ReadSession:
    from .sessions.read_session import ReadSession

    return ReadSession(*of)


def _sync_reading(of: tuple[Any, Walk[ReadBatch], Plan]) -> SyncReadSession:
    from .sessions.read_session import SyncReadSession

    return SyncReadSession(*of)


def _appending(make: Callable[[], AppendSession]) -> AppendSession:
    return make()


def _sync_appending(make: Callable[[], AppendSession]) -> SyncAppendSession:
    from .sessions.sync_sessions import SyncAppendSession

    return SyncAppendSession(make)


def _producing(make: Callable[[], Producer]) -> Producer:
    return make()


def _sync_producing(make: Callable[[], Producer]) -> SyncProducer:
    from .sessions.sync_sessions import SyncProducer

    return SyncProducer(make)


class StreamVerbs:
    """The verbs of both handles."""

    _state: StreamState

    def __init__(self, name: str, basin: str, transport: Transport[Any], key: Secret | None = None) -> None:
        self._name = name
        self._state = StreamState(transport, basin, name, key)

    @property
    def name(self) -> str:
        """The stream's name."""
        return self._name

    @verb
    def check_tail(self) -> Operation[StreamPosition]:
        """Return the sequence number that the next record will get, and the timestamp of the last one."""
        state = self._state
        answer = yield from ask(
            state.transport, "GET", f"{state.path}/tail", op="check_tail", headers=state.basin_headers
        )
        return tail_from_json(loads(answer.body))

    @verb
    def append(self, inp: AppendInput) -> Operation[AppendAck]:
        """Append records, all or none, and return their positions."""
        check_input(inp)
        return (yield from append_message(self._state, encode_input(inp), inp.stream_config))

    @verb
    def read(
        self,
        *,
        start: Start,
        limit: ReadLimit | None = None,
        until_timestamp: int | None = None,
        clamp_to_tail: bool = False,
        wait: int | None = None,
        ignore_command_records: bool = False,
        stream_config: StreamConfig | None = None,
    ) -> Operation[ReadBatch]:
        """Return one batch of records from `start` on: at most 1000, and at most 1 MiB.

        At the tail there is nothing to read, which is an error unless `wait` asks to wait for some seconds.
        `stream_config` is for the stream that the read makes, where its basin has it made.
        """
        self._state.transport.check_open()
        plan = plan_of(start, limit, until_timestamp, clamp_to_tail, wait)
        answer = yield from ask(
            self._state.transport,
            "GET",
            self._state.path,
            op="read",
            params=plan.params(),
            headers={**self._state.headers(stream_config), "accept": PROTOBUF},
            timeouts=self._state.transport.timeouts_of(min(wait or 0, LONGEST_WAIT)),
        )
        return read_batch_of(bytes(answer.body), ignore_command_records=ignore_command_records)

    @coloured(_sync_reading, _reading)
    def read_session(
        self,
        *,
        start: Start,
        limit: ReadLimit | None = None,
        until_timestamp: int | None = None,
        clamp_to_tail: bool = False,
        wait: int | None = None,
        ignore_command_records: bool = False,
        stream_config: StreamConfig | None = None,
    ) -> tuple[Any, Walk[ReadBatch], Plan]:
        """Return batches of records as they come, across broken connections, each record once and in order.

        Without a limit it follows the stream forever, unless `wait` limits the seconds without a record.
        `stream_config` is for the stream that the read makes, where its basin has it made.
        """
        self._state.transport.check_open()
        plan = plan_of(start, limit, until_timestamp, clamp_to_tail, wait)
        take = take_batch(plan, ignore_command_records)
        return self._state.driver, session(self._state, plan, take, stream_config), plan

    @coloured(_sync_appending, _appending)
    def append_session(
        self,
        *,
        max_unacked_bytes: int = MAX_UNACKED_BYTES,
        max_unacked_batches: int | None = None,
        stream_config: StreamConfig | None = None,
    ) -> Callable[[], AppendSession]:
        """Return a session that appends batch after batch, in order, without waiting in between.

        `submit` waits while more than that many metered bytes, or batches, are not acknowledged.
        """
        return partial(self._state.append_session, max_unacked_bytes, max_unacked_batches, stream_config)

    @coloured(_sync_producing, _producing)
    def producer(
        self,
        *,
        fencing_token: str | None = None,
        match_seq_num: int | None = None,
        batching: Batching | None = None,
        max_unacked_bytes: int = MAX_UNACKED_BYTES,
        stream_config: StreamConfig | None = None,
    ) -> Callable[[], Producer]:
        """Return a producer, to append records one by one: it gathers them into batches, with a ticket for each record.

        `fencing_token` is for every batch; `match_seq_num` is for the first one, and each later batch must follow on
        it.
        """
        from .sessions.producer import Producer

        appending = partial(self._state.append_session, max_unacked_bytes, config=stream_config)
        return lambda: Producer(appending, fencing_token=fencing_token, match_seq_num=match_seq_num, batching=batching)

    def __repr__(self) -> str:
        return one_line(f"<{type(self).__name__} {self._name} of {self._state.basin} at {self._state.url}>")


class S2Stream(StreamVerbs, AsyncFace[StreamState]):
    """A stream, with calls that are awaited. Made by `s2["basin"]["name"]`, not by hand."""

    async def close(self) -> None:
        """Do nothing: the connections are the client's."""


class SyncS2Stream(StreamVerbs, SyncFace[StreamState]):
    """A stream, with calls that block. Made by `s2["basin"]["name"]`, not by hand."""

    def close(self) -> None:
        """Do nothing: the connections are the client's."""
