"""Figures per key and per window of time, of all rows since the start; no rows are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...core.errors import InputError, KitError
from ..times import Moments
from .aggregates import FORMS, Aggregate, aggregate_of
from .fold import Fold, unseen
from .groups import Groups, key_of, keys_of, parts_of
from .plain import kind_of_text, kind_text

Numbers = npt.NDArray[np.int64]

MOST = 1_000_000
WINDOW = "window"
_EARLIEST = -(2**62)


def micros(length: Any, name: str) -> int | None:
    """Return a duration in microseconds.

    >>> micros("10s", "every"), micros(None, "late")
    (10000000, None)
    """
    import pandas as pd

    if length is None:
        return None
    if not isinstance(length, bool | int | float):
        try:
            nanoseconds = pd.Timedelta(length).value
        except (ValueError, TypeError):
            nanoseconds = -1
        if nanoseconds >= (0 if name == "late" else 1_000_000):
            return int(nanoseconds // 1000)
    raise InputError(f"{name}={length!r} is not a length of time", hint='give "10s", "1min", "1h", or a timedelta')


def aggregates_of(aggregates: Mapping[str, Any], keys: Sequence[str]) -> list[Aggregate]:
    """Return the aggregates that a user described, by their names."""
    if not aggregates:
        raise InputError("nothing to compute", hint=f"name what you want: {FORMS}")
    for name in aggregates:
        if name in keys or name == WINDOW:
            raise InputError(f"{name!r} is the name of a key, or of the windows", hint=f"call {name}= otherwise")
    return [aggregate_of(name, text) for name, text in aggregates.items()]


class Per(Fold):
    """Aggregates of groups. A window closes when a row comes that is `late` after its end; later rows of the window are
    only counted, as late."""

    def __init__(
        self, keys: Any, every: Any, time: str | None, late: Any, most: int, aggregates: Mapping[str, Any]
    ) -> None:
        self.keys = names = keys_of(keys)
        self._every, self._late = micros(every, "every"), micros(late, "late")
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise InputError(f"most={most!r}: give a number of groups from 1 up")
        if self._every is None and (late is not None or time is not None):
            raise InputError("late= and time= are of windows", hint='give every="10s" too')
        if self._every is not None and WINDOW in names:
            raise InputError(f"a key cannot be called {WINDOW!r}, as the column of windows is", hint="rename it before")
        self.label = " ".join(
            part
            for part in (f"per {', '.join(names)}" if names else "in all", f"every {every}" if every else "")
            if part
        )
        super().__init__(
            {"per": names, "every": self._every, "time": time, "late": self._late, "most": most,
             "aggregates": dict(aggregates)}
        )  # fmt: skip
        self.aggregates = aggregates_of(aggregates, names)
        self._most, self._moments, self._groups = most, Moments(time), Groups(names)
        self._time = time
        self._newest = self._floor = _EARLIEST
        self._columns: dict[str, None] = {}
        self.rows = self.late = self.untimed = self.gone = 0
        if self.keys and self._every is not None:
            self.keys = (WINDOW, *names)

    def add(self, table: pa.Table) -> None:
        self.rows += table.num_rows
        self._columns.update(dict.fromkeys(table.column_names))
        if self._every is None:
            self._fold(table, None)
            return
        moments, known = self._moments.of(table)
        if not known.all():
            self.untimed += int(len(known) - known.sum())
            table, moments = table.filter(pa.array(known)), moments[known]
        if not len(moments):
            return
        windows = moments // self._every
        if self._late is not None:
            # As it was when each row came: where a batch ends is arbitrary.
            newest = np.maximum.accumulate(np.maximum(moments, self._newest))
            self._newest = int(newest[-1])
            table, windows = self._in_time(table, windows, (windows + 1) * self._every + self._late > newest)
        self._fold(table, windows)

    def _in_time(self, table: pa.Table, windows: Numbers, in_time: npt.NDArray[np.bool_]) -> tuple[pa.Table, Numbers]:
        if in_time.all():
            return table, windows
        self.late += int(len(in_time) - in_time.sum())
        return table.filter(pa.array(in_time)), windows[in_time]

    def _fold(self, table: pa.Table, windows: Numbers | None) -> None:
        while True:
            if windows is not None and self._floor > _EARLIEST:
                table, windows = self._in_time(table, windows, windows >= self._floor)
            if not table.num_rows:
                return
            lot, keys = self._groups.split(table, windows)
            room = self._most - len(self._groups)
            new = [n for n, key in enumerate(keys) if key not in self._groups.slots]
            if len(new) <= room:
                self._groups.number(lot, keys)
                for aggregate in self.aggregates:
                    aggregate.fold(lot, len(self._groups))
                return
            # Fold up to the row that would open one group too many, then remove the oldest windows.
            at = int(np.sort(lot.first_rows[new])[room])
            if at:
                self._fold(table.slice(0, at), None if windows is None else windows[:at])
            table, windows = table.slice(at), None if windows is None else windows[at:]
            self._let_go()

    def _let_go(self) -> None:
        """Remove the oldest windows from the result, to make room."""
        sizes: dict[int, int] = {}
        if self._every is not None:
            for key in self._groups.slots:
                sizes[key[0]] = sizes.get(key[0], 0) + 1
        if len(sizes) < 2:
            raise KitError(
                f"{self.label}: there are more than {self._most:,} groups",
                hint="take fewer keys, filter the feed with where=, or raise the bound with most=",
            )
        left = len(self._groups)
        for window in sorted(sizes)[:-1]:
            left -= sizes[window]
            self.gone += 1
            self._floor = window + 1
            if left <= self._most * 3 // 4:
                break
        staying = [(key, slot) for key, slot in self._groups.slots.items() if key[0] >= self._floor]
        self._groups.slots = {key: n for n, (key, _) in enumerate(staying)}
        slots = np.array([slot for _, slot in staying], np.int64)
        for aggregate in self.aggregates:
            aggregate.keep(slots)

    def result(self) -> pa.Table:
        keys = list(self._groups.slots)
        order = range(len(keys))
        if self._every is not None:
            order = sorted(order, key=lambda n: keys[n][0])  # type: ignore[assignment]
            keys = [keys[n] for n in order]
        slots = np.fromiter(order, np.int64, len(keys))
        columns: dict[str, pa.Array] = {}
        if self._every is not None:
            unit = "ms" if self._every % 1000 == 0 else "us"
            starts = np.array([key[0] for key in keys], np.int64) * self._every // (1000 if unit == "ms" else 1)
            columns[WINDOW] = pa.array(starts).cast(pa.timestamp(unit, "UTC"))
        shift = int(self._every is not None)
        columns.update(zip(self._groups.names, self._groups.columns(keys, shift), strict=True))
        for aggregate in self.aggregates:
            columns[aggregate.name] = aggregate.result(slots) if len(slots) else pa.nulls(0)
        return pa.table(columns)

    def figures(self) -> dict[str, int]:
        counts = {"folded": self.rows, "groups": len(self._groups), "missed": self.missed}
        if self._every is not None:
            counts |= {"late": self.late, "untimed": self.untimed, "windows_gone": self.gone}
        return counts

    def notes(self) -> Iterable[str]:
        lacking = self._groups.lacking(self._columns)
        if lacking is not None:
            yield str(lacking)
        for aggregate in self.aggregates:
            if aggregate.column is not None and self._columns and aggregate.column not in self._columns:
                yield f"{aggregate.name}: {unseen(aggregate.column, self._columns)}"
            if aggregate.misfits:
                yield f"{aggregate.name}: {aggregate.misfits:,} values of another kind left out (types= fixes a column)"
        if self.late:
            yield f"{self.late:,} late"
        if self.untimed:
            yield f"{self.untimed:,} without a time" + (f" in {self._time!r}" if self._time else "")
        if self.gone:
            yield f"{self.gone:,} old windows left the result"

    def state(self) -> dict[str, Any]:
        slots = np.arange(len(self._groups))
        return {
            "keys": [parts_of(key) for key in self._groups.slots],
            "kinds": [kind_text(kind) for kind in self._groups.kinds],
            "columns": list(self._columns),
            "seen": sorted(self._groups.seen),
            "aggregates": [{**aggregate.dump(slots), "misfits": aggregate.misfits} for aggregate in self.aggregates],
            "numbers": [self._newest, self._floor, self.rows, self.late, self.untimed, self.gone],
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        width = len(self._groups.names) + int(self._every is not None)
        slots = {key_of(parts): n for n, parts in enumerate(state["keys"])}
        if len(slots) != len(state["keys"]) or any(len(key) != width for key in slots):
            raise ValueError("keys that are none")
        self._groups.slots = slots
        self._groups.kinds = [kind_of_text(kind) for kind in state["kinds"]]
        if len(self._groups.kinds) != len(self._groups.names) or len(state["aggregates"]) != len(self.aggregates):
            raise ValueError("another number of columns")
        self._groups.seen = {str(name) for name in state["seen"]}
        self._columns = dict.fromkeys(str(name) for name in state["columns"])
        for aggregate, saved in zip(self.aggregates, state["aggregates"], strict=True):
            aggregate.load(saved, len(slots))
            aggregate.size, aggregate.misfits = len(slots), int(saved["misfits"])
        self._newest, self._floor, self.rows, self.late, self.untimed, self.gone = map(int, state["numbers"])
