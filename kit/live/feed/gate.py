"""The filters of a feed, applied to rows as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from ...core.errors import InputError
from ...core.tables.filters import Test

if TYPE_CHECKING:
    from .source import Source


class Teller(Protocol):
    """What a gate reports errors to."""

    def problem(self, where: str, error: BaseException) -> None:
        """Keep an error."""

    def solved(self, where: str, kind: type[BaseException]) -> None:
        """Forget errors that no longer occur."""


class Gate:
    """The filters of a feed. A filter that fails lets all rows pass, and the error is reported."""

    def __init__(self, tests: list[tuple[str, Test]], source: Source) -> None:
        self._tests, self._source = tests, source
        self._names: dict[str, None] = {}
        """The columns seen so far, where filters name columns."""

    def passing(self, batch: pa.RecordBatch, teller: Teller) -> pa.RecordBatch:
        """Return the rows that pass."""
        for name, test in self._tests:
            try:
                shown = self._source.shape([batch])[0]
                self._names.update(dict.fromkeys(shown.column_names))
                lacking = test.missing(self._names)
                if lacking is not None:
                    teller.problem(name, lacking)
                elif test.columns:
                    teller.solved(name, InputError)
                mask = test(shown)
            except Exception as error:
                teller.problem(name, error)
            else:
                batch = batch if mask.all() else batch.filter(pa.array(mask))
            if not batch.num_rows:
                break
        return batch
