"""Copying a log to another, of any service: exactly once where the target can check where it ends.

Records go in batches. Before a batch is sent, the batch and the target's end are noted. Where its fate is unknown,
because an answer was lost or this process was killed, the target is read from there on: the same bytes in the same
order mean that it was written. (If another writer wrote the same bytes in that moment, they are taken for ours.)
A target that cannot check positions is read too, but what was under way may still arrive later; it is counted.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ... import progress
from ...errors import Interrupted, KitError, warn
from ...html import one_line
from ...words import nearest
from ..ahead import ahead
from ..dataset import View
from ..finding.find import Criteria, passing, whole
from ..source import Piece, Ranged
from .copied import Copied, Notebook
from .mask import Mask
from .sending import Sender

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+(, file \"[^\"]*\", line \d+)?")
"""Where a function or its code is."""
_POLL = 0.25
"""Seconds between looks for new records while following."""


def copy(
    source: Ranged,
    target: Ranged,
    start: Any = "earliest",
    until: Any = None,
    where: Any = None,
    mask: Any = None,
    mask_key: bytes | str | None = None,
    pace: Any = "max",
    follow: bool = False,
    checkpoint: Any = None,
    rare: bool = False,
) -> Copied:
    """Copy the records of a log to another; return the result."""
    hidden = None if mask is None else Mask(mask, mask_key, source.refuse)
    speed = _speed(pace, source)
    if _same(source, target):
        raise source.refuse(f"{source.label} is copied to itself", hint="name another log")
    tests = [] if where is None else Criteria(where=where).of(source, lambda: view.schema)
    view = View(source, start, None, until)
    notes = Notebook(checkpoint, source, target, f"where={_words(where)}, mask={_mask_words(mask, mask_key)}")
    copied = notes.begin(view, until is None)
    if hidden is not None and not rare:
        _check_fields(view, hidden, source)
    job = _Copy(source, target, notes, copied, hidden, speed)

    def chosen(piece: Piece) -> pa.RecordBatch:
        return piece.batch.filter(pa.array(passing(tests, piece.batch))) if tests else piece.batch

    began = time.monotonic() - copied.seconds
    try:
        job.settle(chosen)
        what, left = one_line(f"copy {source.label}")[:40], copied.stop - copied.next
        with progress.bar(left, what=what, unit=f" {source.unit}") as bar:
            while True:
                for piece in _pieces(source, copied, speed):
                    before = copied.next
                    job.take(piece, chosen(piece))
                    bar.update(copied.next - before)
                if not follow or until is not None:
                    break
                time.sleep(_POLL)
                copied.stop = max(copied.stop, source.stop())
        copied.complete, copied.why = True, "all there was"
    except KeyboardInterrupt:
        copied.why = "interrupted"
        if not follow:
            raise Interrupted(copied, source.unit, copied.records) from None
    except KitError as error:
        copied.why = f"{type(error).__name__}: {error.args[0] if error.args else ''}"[:300]
        error.partial = copied  # type: ignore[attr-defined]
        note = f"{copied.records:,} {source.unit} were copied, those before {copied.next:,}; "
        note += "the same call continues" if notes.path else "copy_to(..., checkpoint=error.partial) continues"
        error.hint = "\n  ".join(filter(None, (error.hint, note)))
        raise
    finally:
        copied.seconds = time.monotonic() - began
        notes.write(copied)
    job.tell()
    return copied


def _same(source: Ranged, target: Ranged) -> bool:
    if source.label != target.label:
        return False
    try:
        return source.recipe()[1] == target.recipe()[1]
    except KitError:
        return True  # its label contains its address


def _words(where: Any) -> str:
    """Return a filter as a checkpoint keeps it: the same in each process, where a function is at another address."""
    if isinstance(where, list | tuple):
        return f"[{', '.join(map(_words, where))}]"
    code = getattr(where, "__code__", None)
    made_of = "" if code is None else repr((code.co_code, code.co_names, code.co_consts))
    return _ADDRESS.sub("", repr(where) + made_of)


def _mask_words(mask: Any, key: bytes | str | None) -> str:
    """Return a mask in words as a checkpoint keeps it: of functions, and of the key, which it must not hold, only that
    they are there."""
    if mask is None:
        return "None"
    ways = {name: way if isinstance(way, str) else "a function" for name, way in mask.items()}
    if key is None:
        return repr(ways)
    digest = hashlib.sha256(key.encode() if isinstance(key, str) else key).hexdigest()[:4]  # too short to try keys by
    return f"{ways} with the key {digest}"


def _speed(pace: Any, source: Ranged) -> float | None:
    if pace == "max":
        return None
    if pace == "original":
        return 1.0
    if isinstance(pace, int | float) and not isinstance(pace, bool) and 0 < pace < float("inf"):
        return float(pace)
    raise source.refuse(f"pace={pace!r} is not a pace", hint='choose "max", "original", or a factor such as 10')


def _check_fields(view: View, mask: Mask, source: Ranged) -> None:
    """Refuse to begin where a field that is to be hidden is nowhere to be seen: its name may be misspelt."""
    names = [name for name in view.schema.names if name not in source.head.names]
    roots = {name.removeprefix("body.") for name in names} | set(names)
    for name in mask.fields:
        if names and names != [source.body] and name not in roots and name.partition(".")[0] not in roots:
            near = nearest(name, roots)
            raise source.refuse(
                f"mask: no sampled record has {name!r}, so nothing was sent",
                hint=f"{near}\n  " * bool(near) + "give rare=True if only a few records have the field",
            )


def _pieces(source: Ranged, copied: Copied, speed: float | None) -> Iterator[Piece]:
    pieces = whole(source, copied.next, copied.stop)
    if speed is not None or copied.next == copied.stop:
        return pieces
    return ahead(pieces, lambda piece: piece.batch.nbytes)


class _Copy:
    """One copy under way."""

    def __init__(
        self,
        source: Ranged,
        target: Ranged,
        notes: Notebook,
        copied: Copied,
        mask: Mask | None,
        speed: float | None,
    ) -> None:
        self.source, self.target, self.copied = source, target, copied
        self._mask, self._speed = mask, speed
        self._sender = Sender(target, copied, notes.write)
        self._clock: tuple[float, int] | None = None
        """When the first record was sent, and its time."""

    def settle(self, chosen: Callable[[Piece], pa.RecordBatch]) -> None:
        """Find out what happened to the batch that was under way when an earlier copy ended."""
        copied = self.copied
        if copied.pending is None:
            copied.low = self.target.stop()  # others may have written since
            return
        stop, rows = copied.pending
        batches = [chosen(piece) for piece in whole(self.source, copied.next, stop)]
        if sum(batch.num_rows for batch in batches) != rows:
            raise self.source.refuse(
                f"{self.source.label}: the records from {copied.next} to {stop - 1} differ from the checkpoint",
                hint="give the same where= and mask= as in the copy that is resumed",
            )
        [batch] = pa.Table.from_batches(batches).combine_chunks().to_batches()
        if self._sender.send(self._made(batch), stop, uncertain=True):
            self._count(batch)
        else:
            self._send(batch, stop)

    def take(self, piece: Piece, batch: pa.RecordBatch) -> None:
        """Copy a page; `batch` has the records of it to copy."""
        self._send(batch, piece.stop)
        self.copied.skipped += piece.batch.num_rows - batch.num_rows
        self.copied.next = piece.stop

    def _send(self, batch: pa.RecordBatch, end: int) -> None:
        """Send records, those before `end`, as many at once as the target takes."""
        places, at, page = batch.column(0), 0, self._made(batch)
        while at < page.num_rows:
            count = min(self._sender.rows, page.num_rows - at)
            if self._speed is not None:
                count = min(count, self._due(batch, at))
            count = self.target.fitting(page.slice(at, count))
            stop = end if at + count == page.num_rows else places[at + count].as_py()
            if self._sender.send(page.slice(at, count), stop):
                self._count(batch.slice(at, count))
                at += count

    def tell(self) -> None:
        """Warn of values that were not copied, and of possible duplicates."""
        copied, label, unit = self.copied, self.target.label, self.source.unit
        for name, count in copied.left_behind.items():
            warn(one_line(f"{label} cannot store {name}: the values of {count:,} {unit} were not copied"))
        if copied.uncertain:
            warn(one_line(f"{copied.uncertain:,} {unit} may be in {label} twice, as it cannot check positions"))

    def _count(self, batch: pa.RecordBatch) -> None:
        """Count the values that the target cannot store."""
        for name in ("headers", "event"):
            if name in batch.schema.names and name not in self.target.keeps:
                column = batch.column(name)
                filled = len(column) if name == "event" else pc.sum(pc.greater(pc.list_value_length(column), 0)).as_py()
                if filled:
                    self.copied.left_behind[name] = self.copied.left_behind.get(name, 0) + filled

    def _made(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows to send: bodies, and the columns beside them that the target can store."""
        source, target = self.source, self.target
        bodies = source.content(batch.column(source.body))
        if self._mask is not None and batch.num_rows:
            bodies = self._mask.page(bodies, batch.column(0))
        columns = {"body": bodies.cast(pa.binary())}
        columns |= {name: batch.column(name) for name in target.keeps if name in batch.schema.names}
        return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))

    def _due(self, batch: pa.RecordBatch, at: int) -> int:
        """Wait until the next record is to be sent; return how many are due by then."""
        times = batch.column("time") if "time" in batch.schema.names else None
        if times is None or times.null_count:
            message = f"{self.source.label}: its {self.source.unit} carry no times to keep a pace by"
            raise self.source.refuse(message, hint='pace="max"')
        assert self._speed is not None
        moments = times.cast(pa.int64()).to_numpy()[at:]
        if self._clock is None:
            self._clock = time.monotonic(), int(moments[0])
        began, first = self._clock
        wait = began + (int(moments[0]) - first) / 1000 / self._speed - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        reached = first + (time.monotonic() - began) * 1000 * self._speed
        return max(1, int((moments <= reached).sum()))
