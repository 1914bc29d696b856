"""Sources made of what a notebook has at hand: handles of this package, generators, iterators, queues of frames."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

from ..core.completion import Keyed
from ..core.errors import InputError
from .source import Chunk, Source

_END = object()


class Generated(Source):
    """Rows of a generator or iterator, plain or async; what it yields is a frame, Arrow, a dict, a text, or a list.

    A function is called again after an error that may pass; an iterator that failed is over.
    """

    resumes: ClassVar[bool] = False

    def __init__(self, given: Any, label: str | None = None) -> None:
        self._given = given
        self._opened = False
        self.label = label or getattr(given, "__name__", None) or type(given).__name__

    def open(self, after: Any) -> AsyncIterator[Chunk]:
        """Return the chunks; those of a plain iterator are made in a thread, so that it may block."""
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[Chunk]:
        from .columns import batches_of

        items = _started(self._given)
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
                    return  # the interpreter is ending, and takes no more work
                if (item := await coming) is _END:
                    return
                for batch in batches_of(item):
                    yield Chunk(batch)
        finally:
            closing: Any = getattr(items, "aclose", None)
            if closing is not None:
                await closing()

    def temporary(self, error: BaseException) -> bool:
        """Return whether it can be started anew: only a function can."""
        return callable(self._given) and super().temporary(error)


def _started(given: Any) -> Any:
    if callable(given):
        given = given()
    if hasattr(given, "__aiter__"):
        return given.__aiter__()
    return iter(given)


def can_follow(given: Any) -> bool:
    """Return whether something is a handle or explorer of this package that a feed can follow."""
    return not isinstance(given, type | Source) and callable(getattr(given, "_source", None))


def options_of(given: Any) -> set[str]:
    """Return the names of the options that a source made of this would take."""
    if can_follow(given):
        return set(inspect.signature(given._source).parameters)  # noqa: SLF001 - what a feed follows, no verb
    return {"label"} if not isinstance(given, Source) else set()


def source_of(given: Any, **options: Any) -> Source:
    """Return the source that something stands for: a handle or explorer of this package, or anything that yields
    rows."""
    if isinstance(given, Source):
        if options:
            raise InputError(f"{', '.join(options)}: a source that is made already takes no options")
        return given
    if isinstance(given, Keyed):
        raise InputError(
            f"{type(given).__name__} is nothing to follow", hint="index it by a name: what that gives can be followed"
        )
    make: Callable[..., Source] | None = getattr(given, "_source", None)
    if make is not None and not isinstance(given, type):
        return make(**options)
    rows = callable(given) and not isinstance(given, type)
    if not rows and not hasattr(given, "__aiter__") and not hasattr(given, "__iter__"):
        raise InputError(
            f"{type(given).__name__} is nothing to follow",
            hint='give a stream handle such as lab.s2["basin"]["stream"], or a generator that yields frames or dicts',
        )
    if isinstance(given, str | bytes | dict):
        raise InputError(f"a {type(given).__name__} is nothing to follow", hint="give a handle, or a generator of rows")
    return Generated(given, **options)
