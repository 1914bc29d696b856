"""An answer as the source of a feed, piece by piece as it arrives."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from ...core.tables.frames import TIME
from ...live.feed.source import Chunk, Position, Source, gathered
from ..errors import ClaudeAPIError
from ..types import Response

_SCHEMA = pa.schema([("n", pa.int64()), ("time", TIME), ("text", pa.string())])


class AnswerSource(Source):
    """The pieces of one answer. It is requested only once, as a second request would be paid for again."""

    service = "claude"
    resumes: ClassVar[bool] = False
    holds: ClassVar[bool] = False

    def __init__(self, pieces: Callable[[], AsyncIterator[str | Response]], label: str) -> None:
        self.label = label
        self._pieces = pieces
        self._asked = False
        self.response: Response | None = None
        """The whole answer, once it is there."""

    async def open(self, after: Position) -> AsyncIterator[Chunk]:
        """Return the pieces as they come; it ends with the answer."""
        if self._asked:
            raise ClaudeAPIError("the answer is incomplete; another request would be paid for again", paid=None)
        self._asked = True
        count = 0
        stamped: Any = self._stamped()
        async with contextlib.aclosing(gathered(stamped, lambda piece: len(piece[1]))) as groups:  # type: ignore[type-var]
            async for group in groups:
                numbers = pa.array(range(count, count + len(group)), pa.int64())
                times = pa.array([stamp for stamp, _ in group], pa.int64()).cast(TIME)
                texts = pa.array(
                    [piece.encode("utf-8", "backslashreplace").decode() for _, piece in group], pa.string()
                )
                count += len(group)
                yield Chunk(pa.RecordBatch.from_arrays([numbers, times, texts], schema=_SCHEMA), count - 1)

    async def _stamped(self) -> AsyncIterator[tuple[int, str]]:
        pieces: Any = self._pieces()
        try:
            async for piece in pieces:
                if isinstance(piece, Response):
                    self.response = piece
                else:
                    yield round(time.time() * 1000), piece
        finally:
            closing = getattr(pieces, "aclose", None)
            if closing is not None:
                await closing()

    def shape(self, batches: Sequence[pa.RecordBatch], *, preview: bool = False) -> tuple[pa.Table, dict[str, Any]]:
        """Return the number of each piece, when it came, and its text."""
        return pa.Table.from_batches(batches, _SCHEMA), {}

    def temporary(self, error: BaseException) -> bool:
        """Return False: see above."""
        return False
