"""What sources of results have in common: notes and figures beside their rows, and threads for their work."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

import pyarrow as pa

from ..columns import unified
from ..feed.source import Source

T = TypeVar("T")

_THREADS = 4
_pool: tuple[int, ThreadPoolExecutor] | None = None


async def in_thread(function: Callable[[], T]) -> T:
    """Call a slow function in a thread, so that it blocks neither the loop nor the kernel; return its result."""
    global _pool
    if _pool is None or _pool[0] != os.getpid():
        _pool = os.getpid(), ThreadPoolExecutor(_THREADS, "kit-result")
    try:
        coming = asyncio.get_running_loop().run_in_executor(_pool[1], function)
    except RuntimeError:
        raise asyncio.CancelledError from None  # the interpreter is ending and accepts no more work
    return await coming


class Derived(Source):
    """A source whose chunks are whole results, computed from other feeds."""

    replaces: ClassVar[bool] = True
    begins: ClassVar[bool] = True

    def __init__(self, label: str, keys: tuple[str, ...] = ()) -> None:
        self.label = label
        self.keys = keys
        """The columns that identify a row, if there are such columns."""
        self._schema = pa.schema([])
        self._notes: list[str] = []
        self._figures: dict[str, Any] = {}

    @property
    def key(self) -> str:
        """A name only: a result has no checkpoint of its own, its feeds have."""
        return f"result:{self.label}"

    def settled(self, table: pa.Table, notes: Sequence[str], figures: Mapping[str, Any]) -> pa.RecordBatch:
        """Return a result as the batch of a chunk; remember its columns, notes and figures."""
        self._schema, self._notes, self._figures = table.schema, list(notes), dict(figures)
        batches = table.combine_chunks().to_batches()
        if batches:
            return batches[0]
        return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in table.schema], schema=table.schema)

    def say(self, notes: Sequence[str], figures: Mapping[str, Any]) -> None:
        """Replace the notes and figures of the present result."""
        self._notes, self._figures = list(notes), dict(figures)

    def shape(self, batches: Sequence[pa.RecordBatch], *, preview: bool = False) -> tuple[pa.Table, dict[str, Any]]:
        """Return the result as it is."""
        table = unified(batches) if batches else self._schema.empty_table()
        return table, {**self._figures, **({"notes": list(self._notes)} if self._notes else {})}

    def figures(self) -> dict[str, Any]:
        """Return the figures of the result."""
        return self._figures

    def notes(self) -> list[str]:
        """Return the notes of the result."""
        return self._notes

    def temporary(self, error: BaseException) -> bool:
        """Return False: the feeds that it reads reconnect by themselves."""
        return False
