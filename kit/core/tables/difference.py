"""The differences between two records, or between two reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ..errors import InputError
from ..html import across, cell, visible
from ..words import nearest
from .frames import from_rows, to_frame

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
_SIGNS = {ADDED: "+", REMOVED: "−", CHANGED: "~"}  # noqa: RUF001  a minus as wide as the plus
Row = tuple[str, str, str | None, str | None]
"""Path, change, and both sides."""
_SHOWN = 60
_ALIGNED = 2000
"""Lists of up to this many items are aligned with each other; longer ones are compared item by item."""
_DEEPEST = 200


class Difference:
    """The result of `kit.diff`. `df` has a row for each difference; a notebook shows them side by side.

    Of two records: `path`, `change`, `a`, `b`. Of two reads: the key, `change`, `column`, `a`, `b`; a row that was
    added or removed is one row, the whole of it in `a` or `b`. `counts` says how many of each there are.
    """

    def __init__(self, frame: pd.DataFrame, counts: Mapping[str, int], notes: Sequence[str], what: str) -> None:
        self.df, self.counts, self.notes = frame, dict(counts), list(notes)
        self._what = what

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not any(self.counts.values()) and not self.notes

    def headline(self) -> str:
        """Return it in a line."""
        changes = ", ".join(f"{count:,} {name}" for name, count in self.counts.items() if count)
        return "; ".join([f"{self._what}: {changes or 'the same'}", *self.notes])

    def __len__(self) -> int:
        return len(self.df)

    def __bool__(self) -> bool:
        return not self.equal

    def __repr__(self) -> str:
        lines = [visible(f"<Difference of {self.headline()}>")]
        for row in self.df.head(_SHOWN // 3).to_dict("records"):
            names = [name for name in self.df.columns if name not in ("change", "a", "b")]
            where = [str(row[name]) for name in names if not _is_missing(row[name])]
            lines.append(visible(f"  {_SIGNS[row['change']]} {' '.join(where)}: {_pair(row)}"))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        names = [name for name in self.df.columns if name != "change"]
        head = "".join(f"<th>{escape(visible(name))}</th>" for name in names)
        lines = []
        for row in self.df.head(_SHOWN).to_dict("records"):
            cells = "".join(f'<td class="{_side(row, name)}">{cell(_text(row[name]))}</td>' for name in names)
            lines.append(f'<tr><td title="{row["change"]}">{_SIGNS[row["change"]]}</td>{cells}</tr>')
        more = len(self.df) - _SHOWN
        note = f'<div class="q">and {more:,} more: .df has all</div>' if more > 0 else ""
        rows = f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(lines)}</tbody>" if lines else ""
        table = across(f"<table>{rows}</table>", "what differs") + note
        return f'{_STYLE}<div class="kit-diff"><div><b>{escape(visible(self.headline()))}</b></div>{table}</div>'


_STYLE = (
    "<style>.kit-diff{line-height:1.4}"
    ".kit-diff table{border-collapse:collapse;font-size:var(--jp-code-font-size,13px);margin:.4em 0}"
    ".kit-diff th,.kit-diff td{text-align:left!important;padding:2px 14px 2px 4px;vertical-align:top;color:inherit;"
    "background:none;max-width:40em}.kit-diff td.v{overflow-wrap:anywhere;min-width:9em}"
    ".kit-diff th{border-bottom:1px solid currentColor}.kit-diff .q{opacity:.72}"
    ".kit-diff td.gone{background:rgba(220,60,60,.16)!important}"
    ".kit-diff td.new{background:rgba(50,160,80,.18)!important}"
    "</style>"
)


def _side(row: Mapping[Any, Any], name: str) -> str:
    if name == "a":
        return "v gone" if row["change"] != ADDED else "v"
    return "" if name != "b" else "v new" if row["change"] != REMOVED else "v"


def _pair(row: Mapping[Any, Any]) -> str:
    if row["change"] == CHANGED:
        return f"{_text(row['a'])[:100]} -> {_text(row['b'])[:100]}"
    return _text(row["b" if row["change"] == ADDED else "a"])[:200]


def _text(value: Any) -> str:
    return "" if value is None or (isinstance(value, float) and value != value) else str(value)


def diff(a: Any, b: Any, key: str | Sequence[str] | None = None, *, ignore: str | Sequence[str] = ()) -> Difference:
    """Return the differences between two records, or between two reads.

    A record is a dict, a list, a row of a frame, or JSON as text or bytes. A read is a frame of pandas, polars or
    Arrow: with `key`, a column or several, rows are added, removed, or changed column by column; without it whole rows
    are compared, in any order. Columns named in `ignore` do not count, as positions and times of two logs never agree.

    >>> diff({"city": "Oslo", "total": 3}, {"city": "Bergen", "total": 3}).df[["path", "a", "b"]].values.tolist()
    [['$.city', '"Oslo"', '"Bergen"']]
    """
    left, right = _frame_of(a), _frame_of(b)
    for frame, which in ((left, "first"), (right, "second")):
        if frame is not None and not frame.columns.is_unique:
            twice = frame.columns[frame.columns.duplicated()][0]
            raise InputError(f"two columns of the {which} frame are called {twice!r}", hint="rename one of them")
    left_out = [ignore] if isinstance(ignore, str) else [*ignore]
    if left is not None and right is not None:
        return _of_frames(left, right, None if key is None else [key] if isinstance(key, str) else [*key], left_out)
    if left is not None or right is not None:
        other = type(b if left is not None else a).__name__
        raise InputError(f"a frame and a {other} cannot be compared", hint="give two frames, or two records")
    if key is not None:
        raise InputError("key= is only for comparing two frames", hint="two records are compared by their keys")
    return _of_records(_record_of(a), _record_of(b), left_out)


def _record_of(given: Any) -> Any:
    if isinstance(given, pd.Series):
        given = {str(name): None if _is_missing(value) else value for name, value in given.items()}
    if isinstance(given, bytes | bytearray | memoryview):
        given = bytes(given).decode("utf-8", "backslashreplace")
    if isinstance(given, str):
        try:
            return json.loads(given)
        except (ValueError, RecursionError):
            return given
    return given


def _of_records(a: Any, b: Any, ignore: Sequence[str]) -> Difference:
    rows = [
        {"path": path, "change": change, "a": one, "b": other}
        for path, change, one, other in _walk(a, b, "$", 0)
        if not any(path == name or path in (f"$.{name}", f"$[{json.dumps(name)}]") for name in ignore)
    ]
    schema = pa.schema([(name, pa.string()) for name in ("path", "change", "a", "b")])
    return Difference(from_rows(rows, schema), _counted(row["change"] for row in rows), (), "two records")


def _walk(a: Any, b: Any, path: str, depth: int) -> Iterator[Row]:
    a, b = _listed(a), _listed(b)
    if isinstance(a, Mapping) and isinstance(b, Mapping) and depth < _DEEPEST:
        for name in dict.fromkeys([*a, *b]):
            inner = f"{path}.{name}" if isinstance(name, str) and name.isidentifier() else f"{path}[{_json(name)}]"
            if name not in b:
                yield inner, REMOVED, _json(a[name]), None
            elif name not in a:
                yield inner, ADDED, None, _json(b[name])
            else:
                yield from _walk(a[name], b[name], inner, depth + 1)
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple) and depth < _DEEPEST:
        yield from _lists(a, b, path, depth)
    elif isinstance(a, str) and isinstance(b, str) and path == "$" and a != b:
        yield from _texts(a, b)
    elif not _same(a, b):
        yield path, CHANGED, _json(a), _json(b)


def _lists(a: Sequence[Any], b: Sequence[Any], path: str, depth: int) -> Iterator[Row]:
    if max(len(a), len(b)) > _ALIGNED:
        steps: Sequence[tuple[str, int, int, int, int]] = [("replace", 0, len(a), 0, len(b))]
    else:
        steps = SequenceMatcher(None, [_json(row) for row in a], [_json(row) for row in b], False).get_opcodes()
    for _, first, last, start, end in steps:
        both = min(last - first, end - start)
        for n in range(both):
            # Also where their texts are equal: what JSON does not have is written as something else.
            yield from _walk(a[first + n], b[start + n], f"{path}[{start + n}]", depth + 1)
        for n in range(first + both, last):
            yield f"{path}[{n}]", REMOVED, _json(a[n]), None
        for n in range(start + both, end):
            yield f"{path}[{n}]", ADDED, None, _json(b[n])


def _texts(a: str, b: str) -> Iterator[Row]:
    """Return two texts, line by line."""
    one, other = a.splitlines() or [""], b.splitlines() or [""]
    if max(len(one), len(other)) > _ALIGNED or one == other:
        yield "$", CHANGED, a, b
        return
    for step, first, last, start, end in SequenceMatcher(None, one, other, False).get_opcodes():
        both = min(last - first, end - start) if step == "replace" else 0
        for n in range(both):
            yield f"line {start + n + 1}", CHANGED, one[first + n], other[start + n]
        if step != "equal":
            for n in range(first + both, last):
                yield f"line {n + 1}", REMOVED, one[n], None
            for n in range(start + both, end):
                yield f"line {n + 1}", ADDED, None, other[n]


def _listed(value: Any) -> Any:
    """Return arrays of numpy, as frames of Parquet files hold them, as lists: `==` of such is not one answer."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def _same(a: Any, b: Any) -> bool:
    a, b = _listed(a), _listed(b)
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    try:
        return bool(a == b) or (_is_missing(a) and _is_missing(b))
    except (RecursionError, ValueError):
        return isinstance(a, Mapping | list | tuple) and _same_throughout(a, b)
    except TypeError:
        return False


def _same_throughout(a: Any, b: Any) -> bool:
    """Compare what is nested too deep for Python's own comparison, or has arrays of numpy in it."""
    waiting, seen = [(a, b)], set[tuple[int, int]]()
    while waiting:
        one, other = waiting.pop()
        if (id(one), id(other)) in seen:
            continue  # it contains itself
        seen.add((id(one), id(other)))
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            if one.keys() != other.keys():
                return False
            waiting += [(value, other[name]) for name, value in one.items()]
        elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
            if len(one) != len(other):
                return False
            waiting += zip(one, other, strict=True)
        elif not _same(one, other):
            return False
    return True


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=_scalar)
    except (ValueError, RecursionError, TypeError):
        return str(type(value).__name__)


def _scalar(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)


def _frame_of(given: Any) -> pd.DataFrame | None:
    if isinstance(given, pd.DataFrame):
        return given
    if isinstance(given, pa.RecordBatch):
        given = pa.Table.from_batches([given])
    if isinstance(given, pa.Table) or (hasattr(given, "__arrow_c_stream__") and not isinstance(given, pd.Series)):
        return to_frame(given if isinstance(given, pa.Table) else pa.table(given))
    return None


def _of_frames(a: pd.DataFrame, b: pd.DataFrame, key: list[str] | None, ignore: list[str]) -> Difference:
    for name in (*(key or ()), *ignore):
        if name not in a.columns and name not in b.columns:
            raise InputError(f"there is no column {name!r}", hint=nearest(str(name), map(str, a.columns)))
    for name in key or ():
        for frame, which in ((a, "first"), (b, "second")):
            if name not in frame.columns:
                raise InputError(f"key={name!r}: the {which} frame has no such column")
    a, b = (one.drop(columns=[name for name in ignore if name in one.columns]) for one in (a, b))
    notes = []
    for words, names in (
        ("only in a", [name for name in a.columns if name not in b.columns]),
        ("only in b", [name for name in b.columns if name not in a.columns]),
    ):
        if names:
            notes.append(f"columns {words}: {', '.join(map(str, names))}")
    shared = [name for name in a.columns if name in b.columns]
    what = f"{len(a):,} and {len(b):,} rows"
    if key is None:
        return _by_rows(a[shared], b[shared], notes, what)
    return _by_key(a, b, key, [name for name in shared if name not in key], notes, what)


def _by_rows(a: pd.DataFrame, b: pd.DataFrame, notes: list[str], what: str) -> Difference:
    """Compare whole rows, each as often as it is there."""
    one, other = ([_json(_plain(row)) for row in frame.to_dict("records")] for frame in (a, b))
    left: dict[str, int] = {}
    for text in other:
        left[text] = left.get(text, 0) + 1
    rows: list[dict[str, Any]] = []
    for text in one:
        if left.get(text):
            left[text] -= 1
        else:
            rows.append({"change": REMOVED, "a": text, "b": None})
    for text in other:
        if left.get(text):
            left[text] -= 1
            rows.append({"change": ADDED, "a": None, "b": text})
    schema = pa.schema([(name, pa.string()) for name in ("change", "a", "b")])
    return Difference(from_rows(rows, schema), _counted(row["change"] for row in rows), notes, what)


def _by_key(
    a: pd.DataFrame, b: pd.DataFrame, key: list[str], shared: list[Any], notes: list[str], what: str
) -> Difference:
    places_a, places_b = _places(a, key, "first"), _places(b, key, "second")
    both = [(places_a[row], places_b[row]) for row in places_a if row in places_b]
    changes: list[tuple[int, int, str, Any, str | None, str | None, Any]] = []
    rows_a, rows_b = np.array([n for n, _ in both], int), np.array([n for _, n in both], int)
    changed = set[int]()
    for order, name in enumerate(shared):
        left, right = a[name].iloc[rows_a], b[name].iloc[rows_b]
        for n in np.flatnonzero(_differs(left, right)).tolist():
            changed.add(n)
            pair = (_shown(left.iloc[n]), _shown(right.iloc[n]))
            changes.append((int(rows_b[n]), order, CHANGED, name, *pair, (a, rows_a[n])))
    removed = [(n, one) for one, n in places_a.items() if one not in places_b]
    added = [(n, one) for one, n in places_b.items() if one not in places_a]
    changes += [(n, -1, REMOVED, None, _json(_row(a, n)), None, (a, n)) for n, _ in removed]
    changes += [(n, -1, ADDED, None, None, _json(_row(b, n)), (b, n)) for n, _ in added]
    changes.sort(key=lambda row: row[:2])
    columns: dict[str, Any] = {name: [frame[name].iloc[n] for *_, (frame, n) in changes] for name in key}
    for at, name in ((2, "change"), (3, "column"), (4, "a"), (5, "b")):
        columns[name if name not in columns else f"{name}_"] = pd.Series([row[at] for row in changes], dtype="str")
    counts = {ADDED: len(added), REMOVED: len(removed), CHANGED: len(changed)}
    return Difference(pd.DataFrame(columns), counts, notes, what)


def _places(frame: pd.DataFrame, key: list[str], which: str) -> dict[Any, int]:
    """Return the row of each key; each key must occur once."""
    values = [[None if _is_missing(value) else value for value in frame[name].tolist()] for name in key]
    try:
        keys = values[0] if len(key) == 1 else list(zip(*values, strict=True))
        places = {one: n for n, one in enumerate(keys)}
    except TypeError:
        raise InputError(f"key={key}: lists and objects cannot be keys", hint="name a column of plain values") from None
    if len(places) < len(keys):
        keys_seen: set[Any] = set()
        twice = next(one for one in keys if one in keys_seen or keys_seen.add(one))  # type: ignore[func-returns-value]
        raise InputError(
            f"key={key}: {len(keys) - len(places):,} rows of the {which} frame repeat a key: {twice!r}",
            hint="name more columns, or leave key= out to compare whole rows",
        )
    return places


def _differs(left: pd.Series, right: pd.Series) -> Any:
    missing_left, missing_right = left.isna().to_numpy(), right.isna().to_numpy()
    if left.dtype == right.dtype and left.dtype.kind in "iufbM":
        same = np.asarray(pd.Series(left.array == right.array).fillna(False)).astype(bool)
    else:
        same = np.fromiter(map(_same, left.tolist(), right.tolist()), bool, len(left))
    return ~(same | (missing_left & missing_right)) | (missing_left ^ missing_right)


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): None if _is_missing(value) else value for name, value in row.items()}


def _row(frame: pd.DataFrame, number: int) -> dict[str, Any]:
    """Return a row; `frame.iloc[number]` would make whole numbers beside others floats."""
    return _plain({name: frame[name].iloc[number] for name in frame.columns})


def _shown(value: Any) -> str | None:
    return None if _is_missing(value) else value if isinstance(value, str) else _json(value)


def _counted(changes: Any) -> dict[str, int]:
    counts = dict.fromkeys((ADDED, REMOVED, CHANGED), 0)
    for change in changes:
        counts[change] += 1
    return counts
