"""What a feed needs of a service: chunks of columns that follow a position, and how they are shown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..core.errors import KitError, TransportError
from ..core.into import Into

if TYPE_CHECKING:
    import pyarrow as pa

    from .shaping import Bodies

T = TypeVar("T")

Position = int | str | None
"""Where a source goes on: what a checkpoint keeps, so a number or a text."""

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(slots=True)
class Chunk:
    """Some rows, as they came: `batch` holds them in columns, none where only news of the position came."""

    batch: pa.RecordBatch
    last: Position = None
    """The position of the last row; the source goes on after it. None where nothing is known of it."""
    tail: int | None = None
    """The number that the next row of the service will get, where it told that."""
    caught_up: bool | None = None
    """Whether this was the newest there is; None where the service does not tell."""
    reconnects: int = 0
    """Connections that the source made anew by itself since the chunk before."""
    gaps: int = 0
    """How often rows before these are missing, as far as the source knows."""
    more: Sequence[pa.RecordBatch] = ()
    """Of a result, the rest of its rows."""


class Source:
    """A subscription, before it is opened. Wings derive their own; `source_of` makes one of other things.

    A source belongs to one feed. `open` may be called again after an error, with the position to go on after.
    """

    service: str = ""
    label: str = "feed"
    """What is followed, in a word or two."""
    position_column: ClassVar[str | None] = None
    """The column of numbers that grow from row to row, where there is one: rows that come twice are left out by it."""
    resumes: ClassVar[bool] = True
    """Whether it can go on after a position. If not, a lost connection leaves a gap, which the feed tells."""
    begins: ClassVar[bool] = False
    """Whether a first chunk, which may be empty, tells soon that it follows: what comes later will be seen."""
    holds: ClassVar[bool] = True
    """Whether the service waits while nothing is taken; else what comes during a pause is counted and let go."""

    replaces: ClassVar[bool] = False
    """Whether each chunk is a whole result, which takes the place of the one before."""

    into: Into = "pandas"
    """The library whose table `df` is."""
    tell: Callable[[str, BaseException | None], None] = staticmethod(lambda where, error: None)
    """Told of what goes wrong in the user's own code, or that it goes wrong no more; set by the feed."""
    base: Any = None
    """The feed that a fold is made from, whose position is that of the result."""
    keys: tuple[str, ...] = ()
    """The columns that tell the rows of a result apart, where there are such."""

    searched: Any = None
    """The log that is followed, where it can be searched too."""
    bodies: Bodies | None = None
    """What shows its rows, where one of their columns holds bodies."""

    @property
    def key(self) -> str:
        """What a checkpoint is of: the same for the same subscription, in another process too."""
        return f"{self.service}:{self.label}"

    @property
    def what(self) -> str:
        """The heading of its view."""
        return f"{self.service} · {self.label}" if self.service else self.label

    def open(self, after: Position) -> AsyncIterator[Chunk]:
        """Return the chunks after a position, or from the source's own start; it ends where the service has no more.

        Runs on the background loop. Closing the iterator closes what it opened.
        """
        raise NotImplementedError

    async def tail(self) -> int | None:
        """Return the number that the next row will get, asked now; None where that cannot be asked."""
        return None

    async def close(self) -> None:
        """Let go of what several openings shared."""

    def figures(self) -> dict[str, Any]:
        """Return what `stats()` tells beyond what every feed has."""
        return {}

    def notes(self) -> list[str]:
        """Return what one should know of the rows that are shown, in a few words each."""
        return []

    def shape(self, batches: Sequence[pa.RecordBatch], *, preview: bool = False) -> tuple[pa.Table, dict[str, Any]]:
        """Return rows as the notebook shows them, and what was decided about them; `preview` may cut long values."""
        if self.bodies is not None:
            return self.bodies.shape(batches, preview=preview)
        from .columns import unified

        return unified(batches), {}

    def temporary(self, error: BaseException) -> bool:
        """Return whether another try may help."""
        if isinstance(error, TransportError):
            return True
        if isinstance(error, KitError):
            return error.status in _AGAIN
        return isinstance(error, OSError | EOFError | asyncio.TimeoutError)


def waker(event: asyncio.Event) -> Callable[[], None]:
    """Return what sets an event of the running loop from any thread, and does nothing once the loop has ended."""
    here = asyncio.get_running_loop()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):
            here.call_soon_threadsafe(event.set)

    return wake


async def gathered(
    items: AsyncIterator[T], size: Callable[[T], int], *, most: int = 1024 * 1024, pause: float = 0.04
) -> AsyncIterator[list[T]]:
    """Return the items in groups: what came within a moment of the group before is one, up to that many bytes.

    Many small messages become few chunks, and the first one after a silence does not wait. At most twice `most`
    bytes wait here; then the items are not asked for more.
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
    given = loop.time() - pause
    try:
        while True:
            await some.wait()
            early = given + pause - loop.time()
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
                given = loop.time()
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
