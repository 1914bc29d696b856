"""Which type of column holds a set of JSON values: one rule, independent of order, batches and the way they were read.

A `Kind` remembers what was seen, not what was decided. Seeing more only adds to it, so the column type that follows
depends on the values alone:

    nothing, or null only         text
    true and false                bool
    whole numbers                 int64; uint64 where one is larger and none is negative; text beyond 64 bits
    whole and other numbers       float64; text where a whole number would lose a digit
    lists                         list of what their items need
    objects                       struct of their keys; text for objects without any key
    anything else, any mixture    text: texts as they are, every other value as its JSON text

What would grow far beyond its text stays JSON text: values nested deeper than `DEEPEST`, objects of more than
`MAX_KEYS` different keys, a column of more than `MAX_FIELDS` fields in all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

DEEPEST = 4
"""Values nested deeper than this stay JSON text."""
MAX_KEYS = 512
MAX_FIELDS = 1024

BOOLEAN, NEGATIVE, WHOLE, LARGE, HUGE, ROUNDED, FLOAT, TEXT, LIST, OBJECT = (1 << n for n in range(10))
_INTEGERS = NEGATIVE | WHOLE | LARGE | HUGE | ROUNDED
_NUMBERS = _INTEGERS | FLOAT
_EXACT = 2**53
"""Above this, float64 has gaps between whole numbers."""
_INT64, _UINT64 = 2**63, 2**64
_PLAIN: dict[type | None, int] = {str: TEXT, float: FLOAT, bool: BOOLEAN}


class Kind:
    """The types that were seen at one place of many JSON values."""

    __slots__ = ("fields", "flags", "item", "items")

    def __init__(self) -> None:
        self.flags = 0
        self.item: Kind | None = None
        """What was seen inside lists."""
        self.items = 0
        """How many items the lists had together."""
        self.fields: dict[str, Kind] | None = None
        """What was seen under each key of objects."""

    def learn(self, value: Any, depth: int = 0) -> None:
        """Add one value. Takes time in proportion to its size."""
        kind = type(value)
        if kind is str:
            self.flags |= TEXT
        elif value is None:
            return
        elif kind is int:
            self.flags |= flags_of_integer(value)
        elif kind is float:
            self.flags |= FLOAT
        elif kind is bool:
            self.flags |= BOOLEAN
        elif kind is list:
            self.flags |= LIST
            if depth >= DEEPEST:
                self._be_text()
            elif not self.flags & TEXT:  # else what is in it makes no difference any more
                item = self.item
                if item is None:
                    item = self.item = Kind()
                self.items += len(value)
                for one in value:
                    item.learn(one, depth + 1)
        elif kind is dict:
            self.flags |= OBJECT
            if depth >= DEEPEST:
                self._be_text()
            elif not self.flags & TEXT:
                fields = self.fields
                if fields is None:
                    fields = self.fields = {}
                for key, one in value.items():
                    field = fields.get(key)
                    if field is None:
                        if len(fields) >= MAX_KEYS:
                            self._be_text()
                            return
                        field = fields[key] = Kind()
                    field.learn(one, depth + 1)
        else:
            self.flags |= TEXT

    def learn_all(self, values: Sequence[Any]) -> None:
        """Add many values: those of one plain type at once."""
        present = [value for value in values if value is not None]
        kinds = set(map(type, present))
        kind = kinds.pop() if len(kinds) == 1 else None
        if kind in _PLAIN:
            self.flags |= _PLAIN[kind]
        elif kind is int and (low := min(present)) >= -_EXACT and (high := max(present)) <= _EXACT:
            # No number in between needs more digits than the smallest and the largest.
            self.flags |= flags_of_integer(low) | flags_of_integer(high)
        else:
            for value in present:
                self.learn(value)

    def learn_array(self, array: pa.Array) -> None:
        """Add the values of a column that was read with a type of this module's."""
        kind = array.type
        if array.null_count == len(array):
            return
        if pa.types.is_integer(kind):
            bounds = pc.min_max(array)
            low, high = bounds["min"].as_py(), bounds["max"].as_py()
            self.flags |= flags_of_integer(low) | flags_of_integer(high)
            # Only the smallest and the largest were checked: float64 may not hold one in between.
            if not self.flags & ROUNDED and max(-low, high) > _EXACT:
                self.flags |= ROUNDED if _rounds(array) else 0
        elif pa.types.is_floating(kind):
            self.flags |= FLOAT
        elif pa.types.is_boolean(kind):
            self.flags |= BOOLEAN
        elif pa.types.is_list(kind):
            self.flags |= LIST
            self.item = self.item or Kind()
            inside = array.flatten()
            self.items += len(inside)
            self.item.learn_array(inside)
        elif pa.types.is_struct(kind):
            self.flags |= OBJECT
            self.fields = {} if self.fields is None else self.fields
            for n, field in enumerate(kind):
                self.fields.setdefault(field.name, Kind()).learn_array(array.field(n))
        else:
            self.flags |= TEXT

    def merge(self, other: Kind) -> None:
        """Add everything that another kind has seen."""
        self.flags |= other.flags
        if self.flags & TEXT:
            self._be_text()
            return
        if other.item is not None:
            self.item = self.item or Kind()
            self.items += other.items
            self.item.merge(other.item)
        if other.fields is not None:
            self.fields = {} if self.fields is None else self.fields
            for key, field in other.fields.items():
                self.fields.setdefault(key, Kind()).merge(field)
            if len(self.fields) > MAX_KEYS:
                self._be_text()

    def copy(self) -> Kind:
        """Return one that has seen the same."""
        other = Kind()
        other.merge(self)
        return other

    def type(self) -> pa.DataType:
        """Return the type of the column."""
        kind, fields = self.resolved()
        return kind if fields <= MAX_FIELDS else pa.string()

    @property
    def decided(self) -> bool:
        """Whether a column of text is one for good, and not only because nothing else was seen so far."""
        return bool(self.flags) and not (self.flags == OBJECT and not self.fields)

    def holds(self, value: Any) -> bool:
        """Return whether one more value would leave the type of the column as it is.

        What was seen ends at `DEEPEST` by itself; a type that a caller gave may go deeper.
        """
        if value is None:
            return True
        flags, kind = self.flags, type(value)
        if not flags & ~OBJECT and kind is str and not self.fields:
            return True  # text so far, and text from now on
        if kind is list:
            if flags == LIST:
                item = self.item or Kind()
                return all(item.holds(one) for one in value)
        elif kind is dict:
            if flags == OBJECT:
                fields = self.fields or {}
                return all(key in fields and fields[key].holds(one) for key, one in value.items())
        else:
            more = BOOLEAN if kind is bool else flags_of_integer(value) if kind is int else FLOAT
            if kind in (bool, int, float) and flags and not flags & ~(BOOLEAN | _NUMBERS):
                return bool(_of_flags(flags | more).equals(_of_flags(flags)))
        return self.decided and flags not in (LIST, OBJECT) and bool(pa.types.is_string(_of_flags(flags)))

    def cells(self, rows: int) -> int:
        """Return how many values of Arrow's the inside of that many rows takes."""
        if self.flags == LIST and self.item is not None:
            return self.items + self.item.cells(self.items)
        if self.flags == OBJECT and self.fields:
            return len(self.fields) * rows + sum(field.cells(rows) for field in self.fields.values())
        return 0

    def _be_text(self) -> None:
        self.flags |= TEXT
        self.item = self.fields = None

    def resolved(self) -> tuple[pa.DataType, int]:
        flags = self.flags
        if flags == LIST:
            kind, fields = (self.item or Kind()).resolved()
            return pa.list_(kind), fields
        if flags == OBJECT and self.fields:
            count, inside = len(self.fields), []
            for key, field in self.fields.items():
                kind, fields = field.resolved()
                count += fields
                inside.append((key, kind))
            return pa.struct(inside), count
        return _of_flags(flags), 0


def _of_flags(flags: int) -> pa.DataType:
    """Return the type of a value that is not nested."""
    if flags in _SIMPLE:
        return _SIMPLE[flags]
    if not flags or flags & ~_NUMBERS or flags & HUGE:
        return pa.string()
    if flags & FLOAT:
        return pa.string() if flags & ROUNDED else pa.float64()
    if flags & LARGE:
        return pa.string() if flags & NEGATIVE else pa.uint64()
    return pa.int64()


_SIMPLE = {BOOLEAN: pa.bool_(), TEXT: pa.string(), WHOLE: pa.int64(), FLOAT: pa.float64()}


def flags_of_integer(value: int) -> int:
    """Return the flags of a whole number.

    >>> flags_of_integer(7) == WHOLE, flags_of_integer(2**53 + 1) == WHOLE | ROUNDED, flags_of_integer(2**64) == HUGE
    (True, True, True)
    """
    if -_EXACT <= value <= _EXACT:
        return WHOLE if value >= 0 else NEGATIVE
    if not -_INT64 <= value < _UINT64:
        return HUGE
    rounded = ROUNDED if int(float(value)) != value else 0
    return rounded | (NEGATIVE if value < 0 else WHOLE if value < _INT64 else LARGE)


def _rounds(array: pa.Array) -> bool:
    """Return whether float64 cannot hold one of the whole numbers."""
    values = array.drop_null().to_numpy()
    return any(int(float(value)) != value for value in values[(values > _EXACT) | (values < -_EXACT)].tolist())


def kind_of(value: Any) -> Kind:
    """Return the kind of one value.

    >>> str(kind_of([1, 2.5]).type()), str(kind_of(2**64).type()), str(kind_of({"a": None}).type())
    ('list<item: double>', 'string', 'struct<a: string>')
    """
    kind = Kind()
    kind.learn(value)
    return kind


def kind_of_type(given: pa.DataType) -> Kind:
    """Return the smallest kind for a column of that type."""
    kind = Kind()
    if pa.types.is_list(given):
        kind.flags, kind.item = LIST, kind_of_type(given.value_type)
    elif pa.types.is_struct(given):
        kind.flags, kind.fields = OBJECT, {field.name: kind_of_type(field.type) for field in given}
    elif pa.types.is_null(given):
        pass
    else:
        kind.flags = _FLAGS.get(str(given), TEXT)
    return kind


_FLAGS = {"int64": WHOLE, "uint64": WHOLE | LARGE, "double": FLOAT, "bool": BOOLEAN}


def merged(into: dict[str, Kind], more: Mapping[str, Kind]) -> None:
    """Add what was seen under each key."""
    for key, kind in more.items():
        into.setdefault(key, Kind()).merge(kind)
