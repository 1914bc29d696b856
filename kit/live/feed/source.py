"""What a feed needs from a service: chunks of columns after a position, and how they are shown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ...core.errors import KitError, TransportError
from ...core.tables.into import Into

if TYPE_CHECKING:
    import pyarrow as pa

    from ..shaping import Bodies

T = TypeVar("T")

Position = int | str | None
"""Where a source continues. A checkpoint keeps it, so it is a number or a text."""

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(slots=True)
class Chunk:
    """Some rows as they came, in columns; `batch` has no rows where only the position is new."""

    batch: pa.RecordBatch
    last: Position = None
    """The position of the last row, after which the source continues; None where it is not known."""
    tail: int | None = None
    """The number that the next row of the service will get, where the service sent it."""
    caught_up: bool | None = None
    """Whether this was the newest row of the service; None where the service does not say."""
    reconnects: int = 0
    """How often the source reconnected by itself since the previous chunk."""
    gaps: int = 0
    """How many gaps there are before these rows, as far as the source knows."""
    more: Sequence[pa.RecordBatch] = ()
    """The other batches of a result."""


class Source:
    """A subscription, before it is opened. Services derive their own; `source_of` makes one from other objects.

    A source belongs to one feed. `open` may be called again after an error, with the position to continue after.
    """

    service: str = ""
    label: str = "feed"
    """The name of what is followed."""
    position_column: ClassVar[str | None] = None
    """The column of increasing numbers, if there is one: with it, rows that come twice are left out."""
    resumes: ClassVar[bool] = True
    """Whether it can continue after a position. If not, a lost connection leaves a gap, which the feed counts."""
    begins: ClassVar[bool] = False
    """Whether a first chunk, perhaps empty, comes as soon as it follows: it will see all later rows."""
    holds: ClassVar[bool] = True
    """Whether the service keeps the rows during a pause. If not, rows of a pause are counted and skipped."""

    replaces: ClassVar[bool] = False
    """Whether each chunk is a whole result, which replaces the previous one."""

    into: Into = "pandas"
    """The library of the table `df`."""
    tell: Callable[[str, BaseException | None], None] = staticmethod(lambda where, error: None)
    """Called with each error of the user's own code, and with None when it works again; set by the feed."""
    base: Any = None
    """The feed of a fold: its position is the position of the result."""
    keys: tuple[str, ...] = ()
    """The columns that identify a row of a result, if there are such columns."""

    searched: Any = None
    """The log that is followed, if it can be searched."""
    bodies: Bodies | None = None
    """The form of its bodies, if its rows have them."""

    @property
    def key(self) -> str:
        """The identity of the subscription in a checkpoint: the same in every process."""
        return f"{self.service}:{self.label}"

    @property
    def what(self) -> str:
        """The heading of its view."""
        return f"{self.service} · {self.label}" if self.service else self.label

    def open(self, after: Position) -> AsyncIterator[Chunk]:
        """Return the chunks after a position, or from the source's own start, until the service has no more.

        Runs on the background loop. Closing the iterator closes what it opened.
        """
        raise NotImplementedError

    async def tail(self) -> int | None:
        """Ask the service for the number that the next row will get; None where it cannot be asked."""
        return None

    async def close(self) -> None:
        """Close what several calls of `open` shared."""

    def figures(self) -> dict[str, Any]:
        """Return the figures of `stats()` that only this source has."""
        return {}

    def notes(self) -> list[str]:
        """Return what a reader should know about the rows, in a few words each."""
        return []

    def shape(self, batches: Sequence[pa.RecordBatch], *, preview: bool = False) -> tuple[pa.Table, dict[str, Any]]:
        """Return rows as the notebook shows them, and their `attrs`; `preview` may cut long values."""
        if self.bodies is not None:
            return self.bodies.shape(batches, preview=preview)
        from ..columns import unified

        return unified(batches), {}

    def temporary(self, error: BaseException) -> bool:
        """Return whether another try may help."""
        if isinstance(error, TransportError):
            return True
        if isinstance(error, KitError):
            return error.status in _AGAIN
        return isinstance(error, OSError | EOFError | asyncio.TimeoutError)


def waker(event: asyncio.Event) -> Callable[[], None]:
    """Return a function that sets an event of the running loop from any thread, as long as the loop runs."""
    here = asyncio.get_running_loop()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):
            here.call_soon_threadsafe(event.set)

    return wake


async def gathered(
    items: AsyncIterator[T], size: Callable[[T], int], *, most: int = 1024 * 1024, pause: float = 0.04
) -> AsyncIterator[list[T]]:
    """Yield the items in groups: items that come within `pause` of the previous group become one, up to `most` bytes.

    Many small messages become few chunks, and the first one after a silence does not wait. At most twice `most`
    bytes wait here; then no more items are taken.
    """
    ready: list[T] = []
    waiting = 0
    error: BaseException | None = None
    over = False
    some, room = asyncio.Event(), asyncio.Event()

    async def pump() -> None:
        nonlocal waiting, error, over
        try:
            async for item in items:
                ready.append(item)
                waiting += size(item)
                some.set()
                if waiting >= 2 * most:
                    room.clear()
                    await room.wait()
        except asyncio.CancelledError:
            raise
        except BaseException as failure:
            error = failure
        finally:
            over = True
            some.set()

    task = asyncio.get_running_loop().create_task(pump())
    loop = asyncio.get_running_loop()
    emitted_at = loop.time() - pause
    try:
        while True:
            await some.wait()
            early = emitted_at + pause - loop.time()
            if early > 0 and not over and waiting < most:
                await asyncio.sleep(early)
            group, ready[:] = list(ready), []
            waiting = 0
            some.clear()
            room.set()
            if over:
                some.set()
            if group:
                yield group
                emitted_at = loop.time()
            elif over:
                if error is not None:
                    raise error
                return
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        closing = getattr(items, "aclose", None)
        if closing is not None:
            await closing()
