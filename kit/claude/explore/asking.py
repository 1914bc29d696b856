"""A prompt over the rows of a feed as they arrive, limited in number, frequency and cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from ...core.errors import InputError, KitError
from ...core.faces import state_of
from ...core.tables.frames import to_frame
from ...live.feed.source import Chunk, Position, Source
from ..client.batches import batching
from ..client.batches.cache import Cache
from ..client.batches.runs import AsyncBatch
from ..client.batches.side_by_side import Summary
from ..client.guard import Guard
from ..errors import AuthenticationError, ClaudeInputError, PermissionError
from ..wire import json_messages as wire
from ..wire.answers import arrow_type
from ..wire.columns_spec import Spec
from ..wire.template import parts_of

if TYPE_CHECKING:
    from ..client.client import AsyncClaudeClient

SKIPPED = "skipped"
_REST = 0.05
"""Seconds between two looks at the feed, at least."""


class Rows(Protocol):
    """The part of a feed that is needed here."""

    source: Any

    @property
    def total(self) -> int: ...
    @property
    def ended(self) -> bool: ...
    @property
    def state(self) -> str: ...
    @property
    def error(self) -> BaseException | None: ...
    def batches(self, start: int = 0) -> tuple[int, list[pa.RecordBatch]]: ...


class AskSource(Source):
    """The rows of a feed with the requested columns of answers, then status, error and cost.

    Every `every` seconds the newest `most` rows are sent together; the others are "skipped". Once `max_cost` is
    reached, all rows are skipped. The feed itself is only read, and never waits.
    """

    service = "claude"
    resumes: ClassVar[bool] = False
    holds: ClassVar[bool] = True

    def __init__(
        self,
        feed: Rows,
        client: AsyncClaudeClient,
        guard: Guard,
        prompt: str,
        spec: Spec | None,
        *,
        model: str | None,
        max_cost: float,
        every: float,
        most: int,
        repair: int,
        cache: Cache | None,
    ) -> None:
        self.label = f"{feed.source.label}, asked"
        self._feed, self._client, self._guard = feed, client, guard
        self._prompt, self._spec = prompt, spec
        self._names = list(dict.fromkeys(name for name, is_name in parts_of(prompt) if is_name))
        if not self._names:
            raise ClaudeInputError("the prompt names no column of the feed", hint="write {column}")
        self._model = wire.chosen_model(model)
        self._max_cost, self._every, self._most, self._repair = max_cost, every, most, repair
        self._cache = cache
        self._at = 0
        self._seen: set[str] = set()
        """The columns that rows have had; a name of the prompt that none has had is an error."""
        self.asked = self.skipped = 0
        self.spent = 0.0
        """USD."""

    async def open(self, after: Position) -> AsyncIterator[Chunk]:
        """Return the rows as they come; it ends with the feed, and fails with it."""
        while True:
            began = time.monotonic()
            ended, total = self._feed.ended, self._feed.total
            if total > self._at:
                first, batches = self._feed.batches(self._at)
                self.skipped += max(0, first - self._at)
                self._at = max(first, self._at) + sum(batch.num_rows for batch in batches)
                table, _ = self._feed.source.shape(batches)
                for batch in (await self._beside(table)).combine_chunks().to_batches():
                    yield Chunk(batch, self._at)
            elif ended:
                if self._feed.state == "failed":
                    raise KitError(f"the feed of {self._feed.source.label} failed: {self._feed.error}")
                return
            await asyncio.sleep(max(_REST, self._every - (time.monotonic() - began) if not ended else 0.0))

    async def _beside(self, table: pa.Table) -> pa.Table:
        """Return the rows with the columns of their answers."""
        own = [column.name for column in self._spec] if self._spec is not None else ["content"]
        for name in (*own, "status", "error", "cost"):
            if name in table.column_names:
                raise ClaudeInputError(
                    f"the rows of the feed have a column {name!r} already", hint="give the new column another name"
                )
        rows = table.num_rows
        picked = self._picked(table)
        values: dict[str, list[Any]] = {name: [None] * rows for name in (*own, "error", "cost")}
        values["status"] = [SKIPPED] * rows
        if self.spent >= self._max_cost:
            values["error"] = ["over budget"] * rows
        if picked:
            # Names that the rows lack are refused here, before any row is sent.
            frame = await self._answers(to_frame(table.take(picked)))
            for name in (*own, "status", "error", "cost"):
                for row, value in zip(picked, pa.array(frame[name], from_pandas=True).to_pylist(), strict=True):
                    values[name][row] = value
        self.asked += sum(status != SKIPPED for status in values["status"])
        self.skipped += sum(status == SKIPPED for status in values["status"])
        kinds = {column.name: arrow_type(column) for column in self._spec or ()}
        for name in (*own, "status", "error", "cost"):
            kind = kinds.get(name, pa.float64() if name == "cost" else pa.string())
            table = table.append_column(name, pa.array(values[name], kind))
        return table

    def _picked(self, table: pa.Table) -> list[int]:
        """Return the newest rows with values for all columns of the prompt, up to the number of one round."""
        self._seen |= set(table.column_names)
        if any(name in self._seen and name not in table.column_names for name in self._names):
            return []  # other rows have had the column
        present = [name for name in self._names if name in table.column_names]
        valid = [pc.invert(pc.is_null(table.column(name), nan_is_null=True)).to_pylist() for name in present]
        good = [row for row in range(table.num_rows) if all(column[row] for column in valid)]
        if self.spent >= self._max_cost:
            return []
        return good[-self._most :]

    async def _answers(self, frame: Any) -> Any:
        if self._model is None:
            first = self._prompt[:2000]
            self._model = await self._client.drive(
                batching.route(state_of(self._client), first, self._client.project_id, len(first.split()))
            )
        batch = AsyncBatch(
            self._client,
            self._guard,
            self._prompt,
            over=frame,
            columns=self._spec,
            model=self._model,
            max_cost=max(0.0, self._max_cost - self.spent),
            repair=self._repair,
            cache=self._cache,
            at_once=min(self._most, wire.BATCH),
            looks=False,
        )
        summary: Summary = await batch.attempt()
        if isinstance(summary.error, AuthenticationError | PermissionError | InputError):
            raise summary.error
        self.spent += batch.bill["cost"]
        answers = batch.frame()
        answers.loc[answers["status"] == "not run", "status"] = SKIPPED
        return answers

    def shape(self, batches: Sequence[pa.RecordBatch], *, preview: bool = False) -> tuple[pa.Table, dict[str, Any]]:
        """Return the rows; `df.attrs` counts those that were sent and skipped, and has the cost."""
        table, attrs = super().shape(batches, preview=preview)
        return table, {**attrs, "asked": self.asked, "skipped": self.skipped, "cost": self.spent}

    def temporary(self, error: BaseException) -> bool:
        """Return False: what may pass is shown row by row."""
        return False
