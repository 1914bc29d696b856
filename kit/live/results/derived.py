"""What sources of results have in common: what they say beside their rows, and where their work is done."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

import pyarrow as pa

from ..columns import unified
from ..source import Source

T = TypeVar("T")

_THREADS = 4
_pool: tuple[int, ThreadPoolExecutor] | None = None


async def in_thread(function: Callable[[], T]) -> T:
    """Return what a function gives that takes a while, made in a thread beside the loop and the kernel."""
    global _pool
    if _pool is None or _pool[0] != os.getpid():
        _pool = os.getpid(), ThreadPoolExecutor(_THREADS, "kit-result")
    try:
        coming = asyncio.get_running_loop().run_in_executor(_pool[1], function)
    except RuntimeError:
        raise asyncio.CancelledError from None  # the interpreter is ending, and takes no more work
    return await coming


class Derived(Source):
    """A source whose chunks are whole results, made of other feeds."""

    replaces: ClassVar[bool] = True
    begins: ClassVar[bool] = True

    def __init__(self, label: str, keys: tuple[str, ...] = ()) -> None:
        self.label = label
        self.keys = keys
        """The columns that tell rows apart, where there are such."""
        self._schema = pa.schema([])
        self._notes: list[str] = []
        self._figures: dict[str, Any] = {}

    @property
    def key(self) -> str:
        """Nothing that a checkpoint is of: that of what it stands on is."""
        return f"result:{self.label}"

    def settled(self, table: pa.Table, notes: Sequence[str], figures: Mapping[str, Any]) -> pa.RecordBatch:
        """Return a result as the rows of a chunk; remember its columns, and what is said beside it."""
        self._schema, self._notes, self._figures = table.schema, list(notes), dict(figures)
        batches = table.combine_chunks().to_batches()
        if batches:
            return batches[0]
        return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in table.schema], schema=table.schema)

    def say(self, notes: Sequence[str], figures: Mapping[str, Any]) -> None:
        """Say something else beside the result that there is."""
        self._notes, self._figures = list(notes), dict(figures)

    def shape(self, batches: Sequence[pa.RecordBatch], *, preview: bool = False) -> tuple[pa.Table, dict[str, Any]]:
        """Return the result as it is."""
        table = unified(batches) if batches else self._schema.empty_table()
        return table, {**self._figures, **({"notes": list(self._notes)} if self._notes else {})}

    def figures(self) -> dict[str, Any]:
        """Return what is counted beside the result."""
        return self._figures

    def notes(self) -> list[str]:
        """Return what one should know of it."""
        return self._notes

    def temporary(self, error: BaseException) -> bool:
        """Return False: what it stands on tries again by itself."""
        return False
