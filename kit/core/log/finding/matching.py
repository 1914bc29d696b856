"""Which records of a page match: decided on their bytes, decoding only what the question needs.

A test is given a page (the columns beside the bodies, and the raw bodies) and returns true or false for each record.
The result for a record depends on that record alone, so the pages may be cut anywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import KitError
from ...tables import filters
from ...tables.frames import is_utf8
from ...tables.json.columns import parsed_object
from ...tables.json.kinds import HUGE, LARGE, Kind, flags_of_integer
from ...tables.json.values import array_of
from .jsonpath import Question

if TYPE_CHECKING:
    from ..dataset import Ranged

Mask = npt.NDArray[np.bool_]
_SAMPLED, _RARE, _TRIES = 8192, 1, 256
"""Bytes sampled to find a rare one, how often it may occur among them, and how many false hits end the attempt."""
_FEW = 64
"""With more hits than this, looking at every body is cheaper than visiting hit by hit."""


@dataclass(frozen=True)
class Test:
    """One condition."""

    words: str
    """Its description in the receipt."""
    run: Callable[[pa.RecordBatch], Mask]
    columns: tuple[str, ...] = ()
    """The columns that it names, so that those which no record has can be reported."""

    def __call__(self, page: pa.RecordBatch) -> Mask:
        return self.run(page)


def has_text(given: Any, body: str, refuse: type[KitError], *, ignore_case: bool = False) -> Test:
    """Return bodies that hold a text, or one of several: as it is, or with the escapes that JSON may have for it."""
    several = given if isinstance(given, list | tuple | set | frozenset) else [given]
    needles: list[bytes] = []
    for item in several:
        if isinstance(item, str) and item:
            needles += _spellings(item)
        elif isinstance(item, bytes | bytearray) and item:
            needles.append(bytes(item))
        else:
            raise refuse(f"text={given!r:.80} cannot be looked for", hint="give a text, bytes, or a list of these")
    if not needles:
        raise refuse("text=[] cannot be looked for", hint="give a text, bytes, or a list of these")
    if ignore_case:
        needles = list(dict.fromkeys(needle.lower() for needle in needles))

    def run(page: pa.RecordBatch) -> Mask:
        bodies = Bytes(page.column(body), lower=ignore_case)
        mask = bodies.holding(needles[0])
        for needle in needles[1:]:
            mask = mask | bodies.holding(needle)
        return mask

    return Test(f"text={given!r:.80}" + (", ignore_case=True" if ignore_case else ""), run)


def _spellings(text: str) -> list[bytes]:
    """Return a text in UTF-8, and as JSON writes it: with escapes for what has to have them, or for all beyond
    ASCII."""
    spellings = [text.encode("utf-8", "surrogatepass")]
    for ascii_only in (False, True):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        spellings.append(escaped.encode("utf-8", "surrogatepass"))
        if ascii_only and not text.isascii():
            upper = "".join(f"\\u{unit:04X}" if unit > 0x7E else json.dumps(chr(unit))[1:-1] for unit in _utf16(text))
            spellings.append(upper.encode())
    return list(dict.fromkeys(spellings))


def _utf16(text: str) -> Iterable[int]:
    data = text.encode("utf-16-le", "surrogatepass")
    return (int.from_bytes(data[n : n + 2], "little") for n in range(0, len(data), 2))


def total_bytes(column: pa.Array) -> int:
    """Return how many bytes the values of a column have together."""
    if not len(column):
        return 0
    ends = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, column.offset * 4)
    return int(ends[-1] - ends[0])


class Bytes:
    """The bodies of a page as one run of bytes."""

    def __init__(self, column: pa.Array, *, lower: bool = False) -> None:
        _, offsets, data = column.buffers()
        ends = (
            np.frombuffer(offsets, np.int32, len(column) + 1, column.offset * 4) if offsets else np.zeros(1, np.int32)
        )
        first, last = int(ends[0]), int(ends[-1])
        self.ends = ends - first if first else ends
        view = memoryview(data)[first:last] if data is not None else memoryview(b"")
        self.data = bytes(view).lower() if lower else bytes(view)
        self.rows = len(column)

    def holding(self, needle: bytes) -> Mask:
        """Return which bodies hold these bytes."""
        mask = np.zeros(self.rows, bool)
        if not self.rows:
            return mask
        data, ends, size = self.data, self.ends, len(needle)
        seek = self._seeking(needle)
        at, count = seek(0), 0
        while at >= 0:
            row = int(np.searchsorted(ends, at, "right")) - 1
            end = int(ends[row + 1])
            if at + size <= end:
                mask[row] = True
                at = end
            else:
                at += 1  # it extends into the next body, so it is not a match
            count += 1
            if count > _FEW and at < len(data):
                self._each(needle, row + 1 if mask[row] else row, mask)
                break
            at = seek(at)
        return mask

    def _seeking(self, needle: bytes) -> Callable[[int], int]:
        """Return a function that finds the next hit: by a rare byte of the needle if there is one, which is much
        faster."""
        data = self.data
        counts = np.bincount(np.frombuffer(data[:_SAMPLED], np.uint8), minlength=256)
        rarest = min(range(len(needle)), key=lambda n: counts[needle[n]])
        if len(needle) == 1 or counts[needle[rarest]] > _RARE:
            return lambda at: data.find(needle, at)
        one = needle[rarest : rarest + 1]

        def seek(at: int) -> int:
            at += rarest
            for _ in range(_TRIES):
                at = data.find(one, at)
                if at < 0 or data.startswith(needle, at - rarest):
                    return at - rarest if at >= 0 else -1
                at += 1
            return data.find(needle, at - rarest)  # the byte is not so rare

        return seek

    def _each(self, needle: bytes, first: int, mask: Mask) -> None:
        """Search the bodies from one on in the same way, where many match."""
        offsets = pa.py_buffer(np.ascontiguousarray(self.ends[first:], np.int32))
        some = pa.Array.from_buffers(pa.binary(), self.rows - first, [None, offsets, pa.py_buffer(self.data)])
        mask[first:] = pc.match_substring(some, needle).to_numpy(zero_copy_only=False)


def has_header(given: Any, source: Ranged) -> Test:
    """Return records with a header of that name, or with that value: "trace", ("trace", "a1"), {"trace": "a1"}."""
    if "headers" not in source.head.names:
        raise source.refuse(f"header=: {source.label} the {source.unit} of this log have no headers")
    if isinstance(given, str | bytes):
        pairs: list[tuple[Any, Any]] = [(given, None)]
    elif isinstance(given, Mapping):
        pairs = list(given.items())
    elif isinstance(given, tuple) and len(given) == 2:
        pairs = [given]
    else:
        pairs = []
    pairs_of = [(_raw(name), None if value is None else _raw(value)) for name, value in pairs]
    if (
        not pairs_of
        or any(name is None for name, _ in pairs_of)
        or any(value is None and pairs[n][1] is not None for n, (_, value) in enumerate(pairs_of))
    ):
        hint = 'give a name, "trace", or a name and its value, {"trace": "a1"}; several must all be there'
        raise source.refuse(f"header={given!r:.80} is not a header", hint=hint)

    def run(page: pa.RecordBatch) -> Mask:
        lists = page.column("headers")
        mask = np.ones(len(lists), bool)
        inside = lists.flatten()
        rows = np.repeat(np.arange(len(lists)), np.asarray(pc.fill_null(pc.list_value_length(lists), 0)))
        for name, value in pairs_of:
            hits = pc.equal(inside.field("name"), pa.scalar(name, pa.binary()))
            if value is not None:
                hits = pc.and_(hits, pc.equal(inside.field("value"), pa.scalar(value, pa.binary())))
            one = np.zeros(len(lists), bool)
            one[rows[np.asarray(pc.fill_null(hits, False)).astype(bool)]] = True
            mask &= one
        return mask

    return Test(f"header={given!r:.80}", run)


def _raw(value: Any) -> bytes | None:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value if type(value) is bytes else None


def has_path(question: Question, body: str) -> Test:
    """Return bodies that are JSON of which a question is true. Only those are decoded that hold the texts that it
    needs."""
    needles = sorted((text.encode("utf-8", "surrogatepass") for text in question.needs if text), key=len, reverse=True)
    numbers = None if question.number is None else _Numbers(*question.number)

    def run(page: pa.RecordBatch) -> Mask:
        column = page.column(body)
        mask = np.zeros(len(column), bool)
        rows: Any = range(len(column))
        if needles:
            bodies = Bytes(column)
            may = bodies.holding(needles[0]) if numbers is None else numbers.holding(bodies)
            for needle in needles[numbers is None :]:
                if not may.any():
                    break
                may &= bodies.holding(needle)
            # JSON may write any character as an escape.
            may |= bodies.holding(b"\\")
            rows = np.flatnonzero(may).tolist()
            column = column.take(pa.array(rows, pa.int64()))
        holds, parse = question.holds, _JSON.raw_decode
        for row, value in zip(rows, column.to_pylist(), strict=True):
            if value is None:
                continue
            try:
                text = value.decode()
                if text[:1] != "{":
                    text = text.lstrip(_SPACE)
                number, end = parse(text)
                if end == len(text) or not text[end:].strip(_SPACE):
                    mask[row] = holds(number)
            except (ValueError, RecursionError):
                continue  # no JSON
        return mask

    return Test(f"path={question.text!r}", run)


_JSON = json.JSONDecoder()
_SPACE = " \t\n\r"


class _Numbers:
    """Finds bodies in which a key is followed by a number that meets a condition, at any depth."""

    def __init__(self, key: str, order: Callable[[Any, Any], Any], number: float) -> None:
        name = re.escape(key.encode("utf-8", "surrogatepass"))
        self._pattern = re.compile(b'"' + name + rb'"[ \t\n\r]*:[ \t\n\r]*(-?(?:[0-9][0-9.eE+-]*|Infinity))')
        self._order, self._wanted = order, float(number) if abs(number) < _EXACT else None

    def holding(self, bodies: Bytes) -> Mask:
        """Return the bodies that may contain such a number; one that float64 rounds is left undecided."""
        mask = np.zeros(bodies.rows, bool)
        places, texts = list[int](), list[bytes]()
        for match in self._pattern.finditer(bodies.data):
            places.append(match.start())
            texts.append(match[1])
        if texts:
            values = np.array([_number(text) for text in texts])
            good = np.ones(len(values), bool)
            if self._wanted is not None:
                good = self._order(values, self._wanted) | (np.abs(values) >= _EXACT) | np.isnan(values)
            mask[np.searchsorted(bodies.ends, np.array(places)[good], "right") - 1] = True
        return mask


_EXACT = 2.0**53


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def has_columns(where: Any, source: Ranged, known: Callable[[], pa.Schema]) -> list[Test]:
    """Return records for which a filter is true, as `read` shows each by itself. Keys that the filter does not name are
    left.

    `known` tells the columns that are there for a function of a frame also where a page has none of them.
    """
    expressions, others = parted(where)
    try:
        named = filters.tests_of(others, {})
    except KitError as error:
        raise source.refuse(str(error.args[0]), hint=error.hint) from None
    tests = [
        Test(f"where={name.removeprefix('filter ')}", _Rows(source, one, known), one.columns) for name, one in named
    ]
    return tests + [_expression(expression, source, known) for expression in expressions]


def parted(where: Any) -> tuple[list[Any], list[Any]]:
    """Return the filters that are expressions of Arrow's, and the others."""
    given = where if isinstance(where, list | tuple) else [] if where is None else [where]
    expressions = [item for item in given if isinstance(item, pc.Expression)]
    return expressions, [item for item in given if not isinstance(item, pc.Expression)]


def _expression(one: Any, source: Ranged, known: Callable[[], pa.Schema]) -> Test:
    from ...tables.pruning import mentions

    schema = known()
    names = tuple(name for name in schema.names if mentions(one, schema, name))

    def run(table: pa.Table) -> Mask:
        for name in schema.names:
            there = name in table.column_names and table.schema.field(name).type == schema.field(name).type
            if name in names and not there:
                table = _as_known(table, schema.field(name))
        numbered = table.append_column("\0", pa.array(np.arange(table.num_rows)))
        mask = np.zeros(table.num_rows, bool)
        mask[numbered.filter(one).column("\0").to_numpy()] = True
        return mask

    test = filters.Test(run, names)
    return Test(f"where={one!s:.80}", _Rows(source, test, known), names)


def _as_known(table: pa.Table, field: pa.Field) -> pa.Table:
    """Return the table with a column of that type; values that do not fit are null."""
    if field.name not in table.column_names:
        return table.append_column(field, pa.nulls(table.num_rows, field.type))
    at = table.column_names.index(field.name)
    try:
        column: Any = table.column(at).cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        column = pa.nulls(table.num_rows, field.type)
    return table.set_column(at, field, column)


class _Rows:
    """A filter of rows, run on records as `read` shows each one alone, in groups of values of one type."""

    def __init__(self, source: Ranged, test: filters.Test, known: Callable[[], pa.Schema]) -> None:
        self._source, self._test, self._known = source, test, known
        self._head = frozenset(source.head.names)

    def __call__(self, page: pa.RecordBatch) -> Mask:
        names, body = self._test.columns, self._source.body
        head = pa.Table.from_batches([page]).drop_columns([body])
        if names and set(names) <= self._head:
            return self._test(head)
        # A key with the name of a column beside the bodies has a prefix.
        keys = None if not names else {self._key(name): name for name in names if name not in self._head}
        column = page.column(body)
        quick = self._quick(head, column, keys) if keys is not None and body not in names else None
        return self._grouped(head, column, keys) if quick is None else quick

    def _key(self, name: str) -> str:
        bare = name.removeprefix("body.")
        return bare if name.startswith("body.") and (bare in self._head or bare == self._source.body) else name

    def _quick(self, head: pa.Table, column: pa.Array, keys: Mapping[str, str]) -> Mask | None:
        """Return the mask of a page whose values are of one kind under each key, read by Arrow; None where they are
        not."""
        from ...tables.frames import json_lines
        from ...tables.json.columns import read_lines

        if not len(column):
            return np.zeros(0, bool)
        sample = [row for row in map(parsed_object, column.slice(0, 200).to_pylist()) if row is not None]
        types = {}
        for key in keys:
            kinds = {type(row[key]) for row in sample if row.get(key) is not None}
            if len(kinds) != 1 or (kind := _PLAIN.get(kinds.pop())) is None:
                return None
            types[key] = kind
        lines, unfit = json_lines(column)
        table = None if unfit else read_lines(lines, types, others=True)
        if table is None or table.num_rows != len(column):
            return None
        for key, name in keys.items():
            head = head.append_column(name, table.column(key))
        return self._test(head)

    def _grouped(self, head: pa.Table, column: pa.Array, keys: Mapping[str, str] | None) -> Mask:
        groups: dict[Any, list[int]] = {}
        values: list[Mapping[str, Any]] = []
        body, every = self._source.body, self._head | {self._source.body}
        for row, raw in enumerate(column.to_pylist()):
            value = parsed_object(raw) if raw is not None and raw[:1].strip() in (b"{", b"") else None
            if value is None:
                shown: dict[str, Any] = {} if raw is None else {body: raw.decode() if is_utf8(raw) else raw}
            elif keys is not None:
                shown = {name: value[key] for key, name in keys.items() if key in value}
            else:
                shown = {(f"body.{key}" if key in every else key): item for key, item in value.items()}
            values.append(shown)
            form = tuple((name, _form(item)) for name, item in shown.items() if item is not None)
            groups.setdefault(form, []).append(row)
        mask = np.zeros(len(column), bool)
        for form, rows in groups.items():
            part = head.take(pa.array(rows)) if len(groups) > 1 else head
            mask[rows] = self._test(self._with_columns(part, form, [values[row] for row in rows]))
        return mask

    def _with_columns(self, part: pa.Table, form: Sequence[Any], values: Sequence[Mapping[str, Any]]) -> pa.Table:
        columns = dict(zip(part.column_names, part.columns, strict=True))
        for name, kind in form:
            column = [value[name] for value in values]
            if kind is bytes:
                columns[name] = pa.array(column, pa.binary())
                continue
            kinds = Kind()
            for one in column:
                kinds.learn(one)
            columns[name] = array_of(column, kinds.type())
        if not self._test.columns:
            for field in self._known():
                columns.setdefault(field.name, pa.nulls(part.num_rows, field.type))
        return pa.table(columns)


def _form(value: Any) -> Any:
    """Return what values of one column have in common, so that none of them is shown in another way for another's
    sake."""
    return flags_of_integer(value) & (LARGE | HUGE) or int if type(value) is int else type(value)


_PLAIN = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
