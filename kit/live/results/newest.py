"""The latest row of each key, as a table that is updated in place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...core.errors import InputError, KitError
from ...core.tables.filters import Test, tests_of
from .fold import Fold
from .groups import Groups, Key, key_of, keys_of, parts_of
from .kept import Kept


class Newest(Fold):
    """The latest row of each key, the newest change last. Rows that pass `deletes` remove the row of their key."""

    def __init__(self, keys: Any, deletes: Any, most: int) -> None:
        self.keys = keys_of(keys)
        if not self.keys:
            raise InputError("newest_by() needs a key", hint='name the column that tells things apart: newest_by("id")')
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise InputError(f"most={most!r}: give a number of keys from 1 up")
        self.label = f"newest by {', '.join(self.keys)}"
        named = deletes if not callable(deletes) else getattr(deletes, "__qualname__", "function")
        super().__init__({"newest_by": self.keys, "deletes": named})
        self._tests: list[tuple[str, Test]] = tests_of(deletes, {})
        self._most = most
        self._groups = Groups(self.keys)
        self._kept = Kept()
        self._number: dict[Key, int] = {}
        """The number of the latest row of each key."""
        self._columns: dict[str, None] = {}
        self.rows = self.deleted = 0

    def add(self, table: pa.Table) -> None:
        self._columns.update(dict.fromkeys(table.column_names))
        if not table.num_rows:
            return
        lot, keys = self._groups.split(table)
        last = lot.last_rows
        deletes = self._deletes(table)
        if deletes.any():
            # Each deletion of a key that is there counts, also where the batch has a later row of that key.
            here = deletes[lot.order]
            before = np.roll(here, 1)
            before[lot.starts] = [key not in self._number for key in keys]
            self.deleted += int((here & ~before).sum())
        gone = deletes[last]
        numbers = self.rows + last
        self.rows += table.num_rows
        for key, number, over in zip(keys, numbers.tolist(), gone.tolist(), strict=True):
            if over:
                self._number.pop(key, None)
            else:
                self._number[key] = number
        if len(self._number) > self._most:
            raise KitError(
                f"{self.label}: there are more than {self._most:,} keys",
                hint="filter the feed with where=, tell when rows go with deletes=, or raise the bound with most=",
            )
        rows = np.sort(last[~gone])
        self._kept.add(table.take(pa.array(rows)), self.rows - table.num_rows + rows)
        if self._kept.size > 2 * len(self._number) + 65_536:
            self._kept.keep(self._live())

    def _deletes(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        mask = np.zeros(table.num_rows, bool)
        for _, test in self._tests:
            if not test.missing(table.column_names):
                mask |= test(table)
        return mask

    def _live(self) -> npt.NDArray[np.int64]:
        return np.sort(np.fromiter(self._number.values(), np.int64, len(self._number)))

    def result(self) -> pa.Table:
        self._kept.keep(self._live())
        return self._kept.table(self._columns)

    def figures(self) -> dict[str, int]:
        return {"folded": self.rows, "groups": len(self._number), "deleted": self.deleted, "missed": self.missed}

    def notes(self) -> Iterable[str]:
        lacking = self._groups.lacking(self._columns)
        if lacking is not None:
            yield str(lacking)
        for name, test in self._tests:
            if self._columns and (missing := test.missing(self._columns)) is not None:
                yield f"deletes: {name}: {missing}"

    def state(self) -> dict[str, Any]:
        return {
            "keys": [parts_of(key) for key in self._number],
            "numbers": list(self._number.values()),
            "kept": self._kept.dump(self._live()),
            "columns": list(self._columns),
            "seen": sorted(self._groups.seen),
            "rows": [self.rows, self.deleted],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._kept.load(state["kept"])
        self._number = {key_of(key): int(n) for key, n in zip(state["keys"], state["numbers"], strict=True)}
        if sorted(self._number.values()) != self._kept.numbers.tolist():
            raise ValueError("rows of other keys")
        self._columns = dict.fromkeys(str(name) for name in state["columns"])
        self._groups.seen = {str(name) for name in state["seen"]}
        self.rows, self.deleted = map(int, state["rows"])
        if self._number and max(self._number.values()) >= self.rows:
            raise ValueError("rows that have not come")
