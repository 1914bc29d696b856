"""The group of each row: by the values of its keys, and by its window of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...core.errors import InputError
from ...core.tables.filters import never_had
from ...core.tables.json.values import text_of
from ..columns import plain_array, wider
from .lots import Lot, listed
from .plain import array_of_plain, plain, unplain

Numbers = npt.NDArray[np.int64]
Key = tuple[Any, ...]

NAN = float("nan")
"""The NaN that replaces all others in keys, because no NaN equals another one."""
_CODES = 2**62


def keys_of(keys: Any) -> tuple[str, ...]:
    """Return the names of key columns, given as one name or several.

    >>> keys_of("city"), keys_of(["city", "item"]), keys_of(None)
    (('city',), ('city', 'item'), ())
    """
    keys = () if keys is None else (keys,) if isinstance(keys, str) else keys
    names: list[Any] = list(keys) if isinstance(keys, Iterable) else [None]
    if not all(isinstance(name, str) and name for name in names):
        raise InputError(f"keys={keys!r}", hint='name columns: "city", or ["city", "item"]')
    if len(set(names)) < len(names):
        raise InputError(f"keys={keys!r} names a column twice")
    return tuple(names)


def key_of(parts: Sequence[Any]) -> Key:
    """Return a key from its form in a checkpoint."""
    values = [unplain(part) for part in parts]
    return tuple(
        tuple(part) if isinstance(part, list) else NAN if isinstance(part, float) and part != part else part
        for part in values
    )


def parts_of(key: Key) -> list[Any]:
    """Return a key in its form for a checkpoint."""
    return [plain(list(part) if isinstance(part, tuple) else part) for part in key]


class Groups:
    """All groups so far, numbered in the order in which they appeared."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.slots: dict[Key, int] = {}
        self.kinds = [pa.null()] * len(self.names)
        self.seen: set[str] = set()
        """The key columns that rows have had."""

    def __len__(self) -> int:
        return len(self.slots)

    def split(self, table: pa.Table, windows: Numbers | None = None) -> tuple[Lot, list[Key]]:
        """Return the rows in groups, and the key of each group. With windows, the first part of a key is its window."""
        codes = np.zeros(table.num_rows, np.int64)
        parts: list[tuple[Numbers, list[Any]]] = []
        if windows is not None:
            known, place = np.unique(windows, return_inverse=True)
            codes = place.astype(np.int64)
            parts.append((codes, known.tolist()))
        for n, name in enumerate(self.names):
            place, values = self._coded(n, name, table)
            if int(codes.max(initial=0)) * len(values) >= _CODES:
                codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
            codes = codes * len(values) + place
            parts.append((place, values))
        lot = Lot(table, codes)
        keys = self._keys(lot, parts)
        if len(set(keys)) < len(keys):  # 1 and 1.0, 0.0 and -0.0 are one group in Python, as in SQL
            numbers: dict[Key, int] = {}
            of_group = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
            again = np.empty(table.num_rows, np.int64)
            again[lot.order] = np.repeat(of_group, lot.sizes)
            lot = Lot(table, again)
            keys = self._keys(lot, parts)
        return lot, keys

    def _keys(self, lot: Lot, parts: list[tuple[Numbers, list[Any]]]) -> list[Key]:
        rows = lot.first_rows
        if not parts:
            return [()] * len(rows)
        return list(zip(*[map(values.__getitem__, place[rows].tolist()) for place, values in parts], strict=True))

    def _coded(self, n: int, name: str, table: pa.Table) -> tuple[Numbers, list[Any]]:
        if name not in table.column_names:
            return np.zeros(table.num_rows, np.int64), [None]
        self.seen.add(name)
        array = plain_array(table.column(name))
        if pa.types.is_nested(array.type):
            array = pa.array([text_of(value) for value in array.to_pylist()], pa.string())
        self.kinds[n] = wider(self.kinds[n], array.type)
        coded = array.dictionary_encode(null_encoding="encode")
        values = listed(coded.dictionary)
        if pa.types.is_floating(array.type):
            values = [NAN if value != value else value for value in values]
        elif pa.types.is_boolean(array.type):
            values = [None if value is None else (value,) for value in values]  # so that True is not equal to 1
        return np.asarray(pc.fill_null(coded.indices, len(values))).astype(np.int64), [*values, None]

    def number(self, lot: Lot, keys: Sequence[Key]) -> None:
        """Give each group of a lot its number. New groups are numbered in the order of their first rows."""
        slots = self.slots
        for n in np.argsort(lot.first_rows).tolist():
            slots.setdefault(keys[n], len(slots))
        lot.slots = np.fromiter(map(slots.__getitem__, keys), np.int64, len(keys))

    def columns(self, keys: Sequence[Key], skip: int = 0) -> list[pa.Array]:
        """Return the columns of the keys of some groups, without the first `skip` parts."""
        columns = []
        for n, kind in enumerate(self.kinds):
            values = [key[n + skip] for key in keys]
            columns.append(array_of_plain([value[0] if isinstance(value, tuple) else value for value in values], kind))
        return columns

    def lacking(self, names: Iterable[str]) -> InputError | None:
        """Return the error for a key column that no row has had; None if rows have had all."""
        known = list(names)
        lacking = next((name for name in self.names if name not in self.seen), None)
        return never_had(lacking, known) if known and lacking is not None else None
