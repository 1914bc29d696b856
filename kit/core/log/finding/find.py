"""Finding records in a log: pages are read ahead and searched as bytes; only the matches become a frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ... import progress
from ...errors import Interrupted, KitError, warn
from ...html import one_line
from ...tables import filters
from ...tables.frames import TIME
from ...tables.json.typed import checked
from ...words import nearest
from ..ahead import ahead
from ..dataset import MissingRange, Piece, Ranged, View, within
from ..places import count_of
from . import matching
from .around import Around
from .found import framed
from .jsonpath import question
from .scan import Scan

if TYPE_CHECKING:
    import pandas as pd

    from ...tables.frames import BodyMode

WINDOW = 1000
"""Records that the first step backwards reads; later steps read about `_STEP` bytes."""
_STEP = 8 * 1024 * 1024
_MOST_CONTEXT = 10_000


@dataclass(frozen=True)
class Criteria:
    """The question: the arguments of `find` that say what to look for, in any log."""

    text: Any = None
    where: Any = None
    path: str | None = None
    header: Any = None
    ignore_case: bool = False
    context: int = 0
    newest_first: bool = False

    def of(self, source: Ranged, known: Callable[[], pa.Schema]) -> list[matching.Test]:
        """Return the conditions, the quick ones first; refuse what cannot be asked, before any traffic."""
        refuse = source.refuse
        if (
            isinstance(self.context, bool)
            or not isinstance(self.context, int)
            or not 0 <= self.context <= _MOST_CONTEXT
        ):
            raise refuse(f"context={self.context!r}: give a number of records from 0 to {_MOST_CONTEXT}")
        tests = []
        if self.text is not None:
            tests.append(matching.has_text(self.text, source.body, refuse, ignore_case=self.ignore_case))
        if self.header is not None:
            tests.append(matching.has_header(self.header, source))
        if self.path is not None:
            tests.append(matching.has_path(question(self.path, refuse), source.body))
        if self.where is not None:
            tests += matching.has_columns(self.where, source, known)
        if not tests:
            hint = """say text="...", path="$.city == 'Oslo'", where="price > 3", header={"trace": "a1"}, or several"""
            raise refuse("find() needs something to look for", hint=hint)
        return tests


def find(
    source: Ranged,
    looked_for: Criteria,
    start: Any,
    until: Any,
    limit: int | None,
    resume: Any,
    body: BodyMode,
    types: Mapping[str, Any] | None,
) -> pd.DataFrame:
    """Return the records of a log that are asked for, with the receipt of the search in `attrs["scan"]`."""
    hunt = Hunt(source, looked_for, start, until, limit, resume)
    typed = checked(types or {})
    try:
        hunt.run()
    except KeyboardInterrupt:
        raise Interrupted(framed([hunt], body, typed), "matches") from None
    except KitError as error:
        error.partial = framed([hunt], body, typed)  # type: ignore[attr-defined]
        if hunt.scan.stop:  # otherwise nothing was started
            more = "the matches are in the error's .partial; find(..., resume=error.partial) continues"
            error.hint = "\n  ".join(filter(None, (error.hint, more)))
        raise
    return framed([hunt], body, typed)


class Hunt:
    """One search through one log: the matches so far, and its receipt."""

    def __init__(
        self, source: Ranged, looked_for: Criteria, start: Any, until: Any, limit: int | None, resume: Any
    ) -> None:
        self.source, self._asked = source, looked_for
        self._limit = count_of(limit, "limit", source.refuse)
        self._known = View(source, start, None, until)
        self._tests = looked_for.of(source, lambda: self._known.schema)
        self._until = until
        words = " and ".join(test.words for test in self._tests)
        self._pages: list[tuple[pa.RecordBatch, Any]] = []
        self._state = Scan(source.label, words, newest_first=looked_for.newest_first), 0
        """The receipt, and how many of the pages it is of: changed in one step, as an interrupt comes anywhere."""
        self._resumed = None if resume is None else Scan.of(resume)
        if self._resumed is not None and self._resumed.source != source.label:
            message = f"resume= is the receipt of {self._resumed.source}, and this is {source.label}"
            raise source.refuse(one_line(message))
        if self._resumed is not None and start != "earliest":
            raise source.refuse(f"start={start!r} and resume= both say where to start", hint="leave one of them out")

    @property
    def scan(self) -> Scan:
        """The receipt so far."""
        return self._state[0]

    @property
    def found(self) -> list[tuple[pa.RecordBatch, Any]]:
        """Pages with matches, in the order of the search, and which of their rows are matches."""
        return self._pages[: self._state[1]]

    @property
    def context(self) -> int:
        """How many rows around each match were asked for."""
        return self._asked.context

    def run(self, notify: Callable[[Scan], None] | None = None) -> Scan:
        """Search to the end, or until there are enough matches; `notify` is called with the progress."""
        began, scan = time.monotonic(), self.scan
        try:
            scan.start, scan.stop, scan.open = self._range()
            scan.begin = scan.end = scan.stop if scan.newest_first else scan.start
            first, stop = self._narrowed(scan.start, scan.stop)
            if self._limit == 0:
                scan.why = "limit=0"
                return scan
            what = one_line(f"find in {self.source.label}")[:40]
            with progress.bar(stop - first, what=what, unit=f" {self.source.unit}") as bar:
                self._search(first, stop, bar, notify)
        except KeyboardInterrupt:
            self.scan.why = "interrupted"
            raise
        except KitError as error:
            self.scan.why = f"{type(error).__name__}: {str(error.args[0]) if error.args else ''}"[:300]
            raise
        finally:
            self.scan.seconds = time.monotonic() - began
        scan = self.scan
        if not scan.why:
            # Positions that the filter rules out count as searched without being read.
            scan.begin, scan.end = scan.start, scan.stop
            scan.complete, scan.why = True, "all there was"
            self._misspelt()
        return scan

    def _range(self) -> tuple[int, int, bool]:
        until, resumed = self._until, self._resumed
        if resumed is None:
            first, stop = self._known.range
            return first, stop, until is None
        self.scan.newest_first = resumed.newest_first
        first, stop = resumed.rest
        low, high = self.source.bounds()
        if not resumed.newest_first and resumed.open:
            stop = max(stop, high)
        if until is not None:
            stop = min(stop, self.source.until(until))
        return max(low, first), max(low, first, stop), resumed.open and until is None

    def _narrowed(self, first: int, stop: int) -> tuple[int, int]:
        """Return the part of the range outside of which no record is asked for, by positions and times."""
        schema = pa.schema([self.source.head.field(name) for name in (self.source.position, "time")])
        expression: Any = None
        for name, sign, value in bounds_of(self._asked.where):
            if name not in schema.names or (scalar := filters.scalar_of(value, schema.field(name).type)) is None:
                continue
            if scalar.type != schema.field(name).type:
                continue
            one = _COMPARED[sign](pc.field(name), scalar)
            expression = one if expression is None else expression & one
        if expression is not None:
            first, stop = within(self.source, expression, schema, first, stop)
        for one in matching.parted(self._asked.where)[0]:
            first, stop = within(self.source, one, self._known.schema, first, stop)
        return first, stop

    def _search(self, first: int, stop: int, bar: Any, notify: Callable[[Scan], None] | None) -> None:
        around = Around(self._asked.context, self._limit)
        backwards = self.scan.newest_first
        pieces = _backwards(self.source, first, stop) if backwards else whole(self.source, first, stop)
        reading = ahead(pieces, lambda piece: piece.batch.nbytes)
        try:
            for piece in reading:
                batch = piece.batch
                if backwards:
                    batch = batch.take(pa.array(np.arange(batch.num_rows - 1, -1, -1)))
                batches, cut = around.take(batch, passing(self._tests, batch))
                self._commit(piece, batch, batches, cut, around.found)
                bar.update(piece.stop - piece.first)
                bar.set_postfix_str(f"{self.scan.found:,} found")
                if notify is not None:
                    notify(self.scan)
                if around.over:
                    return
        finally:
            reading.close()  # type: ignore[attr-defined]

    def _commit(
        self, piece: Piece, batch: pa.RecordBatch, batches: Sequence[Any], cut: int | None, matches: int
    ) -> None:
        """Take note of a page."""
        scan = replace(self.scan, found=matches)
        if not scan.why:
            looked = batch if cut is None else batch.slice(0, cut + 1)
            first, stop = piece.first, piece.stop
            if cut is not None:
                at = looked.column(0)[cut].as_py()
                first, stop = (at, stop) if scan.newest_first else (first, at + 1)
                scan.why = f"limit={self._limit} was reached"
                if (scan.start >= first) if scan.newest_first else (stop >= scan.stop):
                    scan.complete = True
            scan.begin, scan.end = (first, scan.end) if scan.newest_first else (scan.begin, stop)
            scan.records += looked.num_rows
            scan.bytes += matching.total_bytes(looked.column(self.source.body))
            if "time" in looked.schema.names and looked.num_rows:
                times = looked.column("time").drop_null().cast(TIME).view(pa.int64()).to_numpy()
                if len(times):
                    scan.saw(int(times.min()), int(times.max()))
        self._pages += batches
        self._state = scan, len(self._pages)

    def _misspelt(self) -> None:
        """Tell of columns that the question names and no record has: nothing can be found by them."""
        if self.scan.found or not self.scan.records:
            return
        names = {name for test in self._tests for name in test.columns}
        lacking = sorted(names - set(self._known.schema.names))
        if lacking:
            near = nearest(lacking[0], self._known.schema.names)
            warn(one_line(f"no sampled record has {lacking[0]!r}" + (f"; {near}" if near else "")))


_COMPARED: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def bounds_of(where: Any) -> list[tuple[str, str, Any]]:
    """Return the comparisons that must hold in each row that a filter wants."""
    return [bound for _, test in filters.tests_of(matching.parted(where)[1], {}) for bound in test.bounds]


def passing(tests: Sequence[matching.Test], batch: pa.RecordBatch) -> Any:
    """Return for each row whether all the tests are true of it."""
    if not batch.num_rows:
        return np.zeros(0, bool)
    mask = tests[0](batch)
    for test in tests[1:]:
        rows = np.flatnonzero(mask)
        if not len(rows):
            break
        inner = test(batch if len(rows) == len(mask) else batch.take(pa.array(rows)))
        mask = np.zeros(len(mask), bool)
        mask[rows[inner]] = True
    return mask


def whole(source: Ranged, first: int, stop: int) -> Iterator[Piece]:
    """Yield the pieces of a range; an error says what is missing where there is a gap."""
    at = first
    if first >= stop:
        return
    pieces = source.pieces(first, stop)
    try:
        for piece in pieces:
            if piece.first != at:
                break
            at = piece.stop
            yield piece
    finally:
        pieces.close()  # type: ignore[attr-defined]
    if at < stop:
        raise MissingRange(
            f"{source.unit} from {at} on of {source.label} are missing: they were trimmed or deleted in the meantime",
            hint="start after them to read the rest",
            resource=source.label,
            missing=(at, stop),
        )


def _backwards(source: Ranged, first: int, stop: int) -> Iterator[Piece]:
    """Return the pieces of a range from its end to its start, read in ranges of a bounded size."""
    count = WINDOW
    while first < stop:
        low = max(first, stop - count)
        pieces = list(whole(source, low, stop))
        size = sum(piece.batch.nbytes for piece in pieces)
        yield from reversed(pieces)
        size_of = count * _STEP // max(1, size)
        count = max(WINDOW // 10, min(count * 8, size_of))
        stop = low
