"""Sources made from objects in a notebook: handles of this package, generators, iterators, queues of frames."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

from ...core.completion import Keyed
from ...core.errors import InputError
from .source import Chunk, Source

_END = object()


class Generated(Source):
    """Rows of a generator or iterator, plain or async. It may yield frames, Arrow, dicts, texts, or lists.

    A function is called again after a temporary error; an iterator that failed has ended.
    """

    resumes: ClassVar[bool] = False

    def __init__(self, rows: Any, label: str | None = None) -> None:
        self._rows = rows
        self._opened = False
        self.label = label or getattr(rows, "__name__", None) or type(rows).__name__

    def open(self, after: Any) -> AsyncIterator[Chunk]:
        """Return the chunks. A plain iterator runs in a thread, because it may block."""
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[Chunk]:
        from ..columns import batches_of

        items = _started(self._rows)
        self._opened = True
        try:
            if hasattr(items, "__anext__"):
                async for item in items:
                    for batch in batches_of(item):
                        yield Chunk(batch)
                return
            loop = asyncio.get_running_loop()
            while True:
                try:
                    coming = loop.run_in_executor(None, next, items, _END)
                except RuntimeError:
                    return  # the interpreter is ending and accepts no more work
                if (item := await coming) is _END:
                    return
                for batch in batches_of(item):
                    yield Chunk(batch)
        finally:
            closing: Any = getattr(items, "aclose", None)
            if closing is not None:
                await closing()

    def temporary(self, error: BaseException) -> bool:
        """Return whether it can be started again: only a function can."""
        return callable(self._rows) and super().temporary(error)


def _started(rows: Any) -> Any:
    if callable(rows):
        rows = rows()
    if hasattr(rows, "__aiter__"):
        return rows.__aiter__()
    return iter(rows)


def can_follow(origin: Any) -> bool:
    """Return whether an object is a handle or explorer of this package that a feed can follow."""
    return not isinstance(origin, type | Source) and callable(getattr(origin, "_source", None))


def options_of(origin: Any) -> set[str]:
    """Return the names of the options that a source made from this object takes."""
    if can_follow(origin):
        return set(inspect.signature(origin._source).parameters)  # noqa: SLF001 - what a feed follows, no verb
    return {"label"} if not isinstance(origin, Source) else set()


def source_of(origin: Any, **options: Any) -> Source:
    """Return the source of an object: a handle or explorer of this package, or anything that yields rows."""
    if isinstance(origin, Source):
        if options:
            raise InputError(f"{', '.join(options)}: a source that is made already takes no options")
        return origin
    if isinstance(origin, Keyed):
        raise InputError(
            f"{type(origin).__name__} is nothing to follow", hint="index it by a name: what that gives can be followed"
        )
    make: Callable[..., Source] | None = getattr(origin, "_source", None)
    if make is not None and not isinstance(origin, type):
        return make(**options)
    makes_rows = callable(origin) and not isinstance(origin, type)
    if not makes_rows and not hasattr(origin, "__aiter__") and not hasattr(origin, "__iter__"):
        raise InputError(
            f"{type(origin).__name__} is nothing to follow",
            hint='give a stream handle such as lab.s2["basin"]["stream"], or a generator that yields frames or dicts',
        )
    if isinstance(origin, str | bytes | dict):
        raise InputError(
            f"a {type(origin).__name__} is nothing to follow", hint="give a handle, or a generator of rows"
        )
    return Generated(origin, **options)
