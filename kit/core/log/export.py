"""Logs written as files for other programs, and files read as records, in bounded memory whatever their size."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from .. import progress
from ..errors import InputError, KitError, warn
from ..files import draft
from ..html import one_line
from ..tables.frames import is_utf8
from ..tables.json.scalars import json_value
from ..tables.texts import objects, texts
from ..words import nearest
from .dataset import View
from .finding.find import Criteria, passing, whole
from .finding.scan import size_of
from .source import Ranged

FORMATS = (".jsonl", ".ndjson", ".csv", ".parquet")
_ROWS = 20_000
_INTEGER = r"^-?(0|[1-9][0-9]{0,17})$"
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$"
_DIGITS = 15
"""A number with more digits stays text, as float64 would round it."""


@dataclass(frozen=True)
class Written:
    """A file that was written, or appended: how many records, how many bytes."""

    path: Path
    records: int
    bytes: int
    seconds: float
    first: int | None = None
    """Of an append: the position of the first record, where the service tells it."""

    def __repr__(self) -> str:
        return one_line(f"<{self.records:,} records, {size_of(self.bytes)}: {self.path}>")


def _target(path: Any) -> Path:
    target = Path(path)
    if not target.parent.is_dir():
        raise InputError(f"there is no folder {str(target.parent)!r} for {target.name}")
    return target


def _tests(source: Ranged, where: Any, view: View) -> list[Any]:
    return [] if where is None else Criteria(where=where).of(source, lambda: view.schema)


def to_jsonl(source: Ranged, path: Any, start: Any, until: Any, where: Any, places: bool) -> Written:
    """Write the bodies one to a line."""
    view = View(source, start, None, until)
    tests, began, target = _tests(source, where, view), time.monotonic(), _target(path)
    first, stop = view.range
    records = size = 0
    what = one_line(f"write {target.name}")[:40]
    bar = progress.bar(stop - first, what=what, unit=f" {source.unit}")
    with draft(target) as unfinished, unfinished.open("wb") as file, bar:
        for piece in whole(source, first, stop):
            batch = piece.batch.filter(pa.array(passing(tests, piece.batch))) if tests else piece.batch
            bodies = source.content(batch.column(source.body))
            at = batch.column(0)
            lines = [_line(body, at[n].as_py(), source) for n, body in enumerate(bodies.to_pylist())]
            if places:
                head = objects(batch.select([name for name in batch.schema.names if name != source.body]))
                name = json.dumps(source.body).encode()
                rows = zip(head.to_pylist(), lines, strict=True)
                lines = [one.encode()[:-1] + b"," + name + b":" + line + b"}" for one, line in rows]
            if lines:
                size += file.write(b"\n".join([*lines, b""]))
            records += len(lines)
            bar.update(piece.stop - piece.first)
    return Written(target, records, size, time.monotonic() - began)


def _line(body: bytes | None, at: int, source: Ranged) -> bytes:
    """Return a body as a line: JSON as it is, any other text as a JSON string."""
    if body is None or not is_utf8(body):
        raise source.refuse(
            f"the record at {at} is bytes that are not text, which a line of JSON cannot hold",
            hint="leave it out with where=, or use to_parquet(), which keeps bytes",
        )
    text = body.decode()
    try:
        value = json_value(text)
    except (ValueError, RecursionError):
        return json.dumps(text, ensure_ascii=False).encode()
    if isinstance(value, str):
        return json.dumps(text, ensure_ascii=False).encode()  # the quotes are part of the value
    if b"\n" in body or b"\r" in body:
        # They are outside of texts, where they are escapes: the value stays as it is written.
        return body.strip().replace(b"\n", b" ").replace(b"\r", b" ")
    return body


def to_csv(
    source: Ranged,
    path: Any,
    start: Any,
    until: Any,
    where: Any,
    columns: Sequence[str] | str | None,
    types: Mapping[str, pa.DataType] | None,
) -> Written:
    """Write the columns of `read` as CSV."""
    view = View(source, start, None, until, types=types)
    tests, began, target = _tests(source, where, view), time.monotonic(), _target(path)
    first, stop = view.range
    names = view.schema.names if columns is None else source.known(columns, view.schema.names)
    records = unfit = 0
    what = one_line(f"write {target.name}")[:40]
    schema = pa.schema([(name, pa.string()) for name in names])
    with draft(target) as unfinished, progress.bar(stop - first, what=what, unit=f" {source.unit}") as bar:
        with pa.csv.CSVWriter(unfinished, schema, write_options=pa.csv.WriteOptions(quoting_style="needed")) as writer:
            for piece, decoded in view.pieces(first, stop):
                unfit += decoded.unfit
                every_column = {
                    **dict(zip(piece.batch.schema.names, piece.batch.columns, strict=True)),
                    **decoded.columns,
                }
                page = pa.RecordBatch.from_arrays([texts(every_column[name]) for name in names], schema=schema)
                if tests:
                    page = page.filter(pa.array(passing(tests, piece.batch)))
                if page.num_rows:
                    writer.write_batch(page)
                records += page.num_rows
                bar.update(piece.stop - piece.first)
    if unfit and source.body not in names:
        warn(one_line(f"{target}: {unfit:,} records hold keys or values that have no column; add columns with types="))
    return Written(target, records, target.stat().st_size, time.monotonic() - began)


# --- files as records -----------------------------------------------------------------------------------------------


def append_file(source: Ranged, path: Path, options: Mapping[str, Any]) -> Written:
    """Append the records of a file in parts; an error says how many were appended before it."""
    chosen = {name: value for name, value in options.items() if value is not None}
    for name, value in chosen.items():
        if not isinstance(value, str):
            raise source.refuse(f"{name}= is for a single append, and a file takes several", hint="leave it out")
    if not path.exists():
        raise source.refuse(f"there is no file {str(path)!r}")
    suffix = ".parquet" if path.is_dir() else path.suffix.lower()
    if suffix not in FORMATS:
        hint = nearest(suffix, FORMATS) or f"there are {', '.join(FORMATS)}"
        raise source.refuse(f"{path.name}: this type of file is not known", hint=hint)
    began, size = time.monotonic(), 0 if path.is_dir() else path.stat().st_size
    parts: Callable[[], Iterator[tuple[Any, int]]] = {
        ".csv": lambda: _csv(path, source),
        ".parquet": lambda: _parquet(path),
    }.get(suffix, lambda: _lines(path, source))
    done, first = 0, None
    with progress.bar(size or None, what=one_line(f"append {path.name}")[:40], unit="B") as bar:
        try:
            for data, at in parts():
                rows = source.given(data) if isinstance(data, list) else data
                sent = source.outgoing(rows, **chosen).send(lambda count: None)
                first = sent.first if first is None else first
                done += sent.count
                bar.n = at
        except KitError as error:
            error.appended = done  # type: ignore[attr-defined]
            error.hint = "\n  ".join(filter(None, (error.hint, f"{done:,} records before it were appended")))
            raise
    return Written(path, done, size, time.monotonic() - began, first)


def _lines(path: Path, source: Ranged) -> Iterator[tuple[list[bytes], int]]:
    """Return lines of JSON: a text is its content, any other value stays as it is written."""
    some, at = list[bytes](), 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            at += len(line)
            line = line.strip(b"\r\n")  # spaces are a part of the body
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode())
            except (ValueError, RecursionError):
                raise source.refuse(f"{path.name}, line {number:,} is not JSON: {line[:80]!r}") from None
            some.append(value.encode("utf-8", "backslashreplace") if isinstance(value, str) else line)
            if len(some) >= _ROWS or (len(some) % 256 == 0 and sum(map(len, some)) > 8 * 1024 * 1024):
                yield some, at
                some = []
    if some:
        yield some, at


def _parquet(path: Path) -> Iterator[tuple[pa.RecordBatch, int]]:
    import pyarrow.dataset as ds

    files = ds.dataset(path, format="parquet")
    for batch in files.to_batches(batch_size=_ROWS, batch_readahead=1, fragment_readahead=1):
        if batch.num_rows:
            yield batch, 0


def _csv(path: Path, source: Ranged) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Return rows whose columns are numbers or truth values only where every one of them is; the file is read twice."""
    fits: dict[str, list[bool]] = {}
    full = set[str]()
    for batch in _csv_texts(path, source):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            # Each kind is looked for in every part: what one part holds may be no number of the kind of the others.
            known = fits.get(name, [True] * len(_KINDS))
            fits[name] = [fit and test(column) for fit, (test, _) in zip(known, _KINDS, strict=True)]
            if column.null_count < len(column):
                full.add(name)
    # Without a value, a column is of numbers that are missing.
    kinds = {name: [*known, True].index(True, 0 if name in full else 1) for name, known in fits.items()}
    at = 0
    for batch in _csv_texts(path, source):
        at += batch.nbytes
        arrays = [
            column if kinds[name] == len(_KINDS) else column.cast(_KINDS[kinds[name]][1])
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, names=batch.schema.names), at


def _csv_texts(path: Path, source: Ranged) -> Iterator[pa.RecordBatch]:
    try:
        parse = pa.csv.ParseOptions(newlines_in_values=True)
        with path.open("rb") as file:
            names = pa.csv.open_csv(file, parse_options=parse).schema.names
        convert = pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
            quoted_strings_can_be_null=False,
        )
        with path.open("rb") as file:
            for batch in pa.csv.open_csv(file, parse_options=parse, convert_options=convert):
                for start in range(0, batch.num_rows, _ROWS):
                    yield batch.slice(start, _ROWS)
    except pa.ArrowInvalid as error:
        raise source.refuse(f"{path.name} cannot be read as CSV: {str(error)[:200]}") from None


def _all(column: pa.Array, texts: pa.Array) -> bool:
    return pc.all(pc.fill_null(texts, True)).as_py() is not False


def _is_bool(column: pa.Array) -> bool:
    return _all(column, pc.is_in(column, pa.array(["true", "false", None])))


def _is_integer(column: pa.Array) -> bool:
    return _all(column, pc.match_substring_regex(column, _INTEGER))


def _is_number(column: pa.Array) -> bool:
    shaped = pc.match_substring_regex(column, _NUMBER)
    digits = pc.utf8_length(pc.replace_substring_regex(column, "[eE].*|[^0-9]", ""))
    return _all(column, pc.and_(shaped, pc.less_equal(digits, _DIGITS)))


_KINDS: tuple[tuple[Callable[[pa.Array], bool], pa.DataType], ...] = (
    (_is_bool, pa.bool_()),
    (_is_integer, pa.int64()),
    (_is_number, pa.float64()),
)
