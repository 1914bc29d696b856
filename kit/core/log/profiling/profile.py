"""What a log contains: its fields, records per hour, sizes, and where the shape of its records changed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ... import progress
from ...errors import Interrupted, KitError
from ...html import one_line
from ...tables.frames import TIME, to_frame
from ..ahead import ahead
from ..dataset import Piece, Ranged, View
from ..finding.find import whole
from ..finding.scan import Scan, size_of
from ..places import count_of
from .fields import FORMS, Fields
from .profile_page import page
from .tally import Field, Place, Places, Sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HOUR = 3_600_000
_WINDOW = 1000
"""Records in one contiguous piece of a sample."""
_TOP = 5
QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))


class Profile:
    """The result of `log.profile()`. `df` has a row for each field; a notebook shows everything on one page.

    `hours` counts records and bytes, `sizes` has the quantiles of body sizes, `drift` says where the shape of records
    changed, `forms` how many bodies are JSON objects, text or bytes; `scan` is the receipt of what was looked at.
    """

    def __init__(self, source: Ranged, scan: Scan, sampled: tuple[int, int] | None) -> None:
        self.scan = scan
        self.sampled = sampled
        """How many records were looked at of how many, where it is a sample; None where it is all of them."""
        self._position, self._unit = source.position, source.unit
        self._fields = Fields(source.body)
        self._sizes = Sizes()
        self._hours: dict[int, tuple[int, int]] = {}
        self._first: Place | None = None
        self._last: Place | None = None

    @property
    def records(self) -> int:
        """How many records were looked at."""
        return self.scan.records

    @property
    def bytes(self) -> int:
        """How many bytes their bodies have."""
        return self.scan.bytes

    @property
    def error(self) -> float:
        """How far a share may be off because of the sample, in percent, 19 times out of 20; 0 where all was read."""
        return 0.0 if self.sampled is None or not self.records else 98 / math.sqrt(self.records)

    @property
    def forms(self) -> dict[str, int]:
        """How many bodies are of each form, the most frequent first."""
        return {form: self._fields.forms[form] for form in FORMS if self._fields.forms[form]}

    @property
    def df(self) -> pd.DataFrame:
        """One row per field: types with their shares, missing, distinct, the top values, min, max, first, last.

        `missing` is the share of JSON objects without it, or with null. `distinct` is exact up to 4095, and else within
        some 2 %; `exact` tells. `first` and `last` are the positions of the first and the last value.
        """
        rows = [self._row(field) for field in self._fields.fields.values()]
        schema = pa.schema(
            [
                ("field", pa.string()),
                ("types", pa.string()),
                ("present", pa.int64()),
                ("missing", pa.float64()),
                ("distinct", pa.int64()),
                ("exact", pa.bool_()),
                ("top", pa.string()),
                ("min", pa.string()),
                ("max", pa.string()),
                ("first", pa.uint64()),
                ("last", pa.uint64()),
            ]
        )
        columns = {field.name: pa.array([row[field.name] for row in rows], field.type) for field in schema}
        attrs = {"scan": self.scan.as_dict(), "fields_left_out": self._fields.left_out, "error": self.error}
        return to_frame(pa.table(columns, schema), attrs)

    @property
    def hours(self) -> pd.DataFrame:
        """One row per hour that has records: time, records, bytes. Empty where records carry no times."""
        hours = sorted(self._hours)
        return to_frame(
            pa.table(
                {
                    "time": pa.array([hour * _HOUR for hour in hours], TIME),
                    "records": pa.array([self._hours[hour][0] for hour in hours], pa.int64()),
                    "bytes": pa.array([self._hours[hour][1] for hour in hours], pa.int64()),
                }
            )
        )

    @property
    def sizes(self) -> pd.DataFrame:
        """One row per measure of the bodies' sizes: min, mean, p50, p90, p99, max, in bytes."""
        sizes = self._sizes
        mean = sizes.total / sizes.records if sizes.records else None
        rows = [("min", sizes.smallest), ("mean", mean), *((name, sizes.quantile(part)) for name, part in QUANTILES)]
        rows.append(("max", sizes.largest if sizes.records else None))
        return to_frame(
            pa.table(
                {
                    "measure": pa.array([name for name, _ in rows], pa.string()),
                    "bytes": pa.array([None if size is None else float(size) for _, size in rows], pa.float64()),
                }
            )
        )

    @property
    def drift(self) -> pd.DataFrame:
        """One row per change of the records' shape: position, time, field, change, records, in order.

        A field, or a type of one, that is first seen after the first hundred records and the first hundredth of the
        range has appeared; one that is not seen in the last ones any more has gone. `records` have it. Of a sample, the
        positions are those of the nearest records that were looked at.
        """
        rows = sorted(self._changes(), key=lambda row: row[0])
        return to_frame(
            pa.table(
                {
                    "position": pa.array([row[0][0] for row in rows], pa.uint64()),
                    "time": pa.array([row[0][1] for row in rows], TIME),
                    "field": pa.array([row[1] for row in rows], pa.string()),
                    "change": pa.array([row[2] for row in rows], pa.string()),
                    "records": pa.array([row[3] for row in rows], pa.int64()),
                }
            )
        )

    def plot(self, **options: Any) -> Axes:
        """Return the picture: records and bytes per hour, a panel each; takes what `kit.plots.over_time` takes."""
        from ....plots.over_time_plot import over_time

        return over_time(self.hours, ["records", "bytes"], **{"title": f"{self.scan.source}, per hour", **options})

    def __repr__(self) -> str:
        about = self.headline()
        drift = len(self.drift)
        more = f"; the shape changed at {drift:,} places: .drift" if drift else ""
        return one_line(f"<Profile: {about}; {len(self._fields.fields)} fields: .df{more}>")

    def _repr_html_(self) -> str:
        return page(self)

    def headline(self) -> str:
        """Return the figures that a person wants first, in a line."""
        scan = self.scan
        words = f"{scan.records:,} {self._unit} of {scan.source}, {size_of(scan.bytes)}"
        if (times := scan.times) is not None:
            words += f", {times[0]:%Y-%m-%d %H:%M} to {times[1]:%Y-%m-%d %H:%M} UTC"
        if self.sampled is not None:
            words += f"; a sample of {self.sampled[1]:,}, shares within {self.error:.1f} %"
        elif not scan.complete:
            words += f"; not all of it: {scan.why}"
        return words

    def histogram(self) -> list[tuple[int, int, int]]:
        """Return ranges of sizes, and how many bodies are in each: from, to, count."""
        return self._sizes.histogram()

    def add(self, piece: Piece, body: str) -> None:
        """Take in a page."""
        batch = piece.batch
        if not batch.num_rows:
            return
        lengths = np.asarray(pc.fill_null(pc.binary_length(batch.column(body)), 0)).astype(np.int64)
        times = None
        if "time" in batch.schema.names and not batch.column("time").null_count:
            times = batch.column("time").cast(TIME).cast(pa.int64()).to_numpy()
        places = Places(np.asarray(batch.column(0)), times)
        self._sizes.add(lengths)
        if times is not None:
            hours, at = np.unique(times // _HOUR, return_inverse=True)
            records, sizes = np.bincount(at), np.bincount(at, lengths)
            for n, hour in enumerate(hours.tolist()):
                before = self._hours.get(hour, (0, 0))
                self._hours[hour] = before[0] + int(records[n]), before[1] + int(sizes[n])
        self._fields.add(batch.column(body), places)
        self._first = self._first or places.at(0)
        self._last = places.at(-1)
        scan = self.scan
        self.scan = replace(
            scan,
            begin=min(scan.begin, piece.first) if scan.records else piece.first,
            end=piece.stop,
            records=scan.records + batch.num_rows,
            bytes=scan.bytes + int(lengths.sum()),
        )
        if times is not None:
            self.scan.saw(int(times.min()), int(times.max()))

    def _row(self, field: Field) -> dict[str, Any]:
        objects = self._fields.forms["JSON object"]
        present, types = field.present, _numbers_as_one(field.types)
        usual = types[0][0]
        # Whole numbers are tallied as such where a page has no others.
        alike = [kind for kind in (("number", "integer") if usual == "number" else (usual,)) if kind in field.lowest]
        exact = field.distinct.exact
        plain = usual not in ("list", "object")
        top = field.frequent.top(_TOP)
        return {
            "field": field.name,
            "types": ", ".join(f"{kind} {_share(count, present)}" if len(types) > 1 else kind for kind, count in types),
            "present": present,
            "missing": None if not objects else max(0.0, 1 - present / objects),
            "distinct": min(present, field.distinct.count) if plain else None,
            "exact": exact if plain else None,
            "top": ", ".join(f"{_shown(value)} ({_share(count, present)})" for value, count in top if count > 1),
            "min": _shown(min(field.lowest[kind] for kind in alike)) if alike else None,
            "max": _shown(max(field.highest[kind] for kind in alike)) if alike else None,
            "first": min(field.begins.values())[0],
            "last": max(field.ends.values())[0],
        }

    def _changes(self) -> Iterator[tuple[Place, str, str, int]]:
        if self._first is None or self._last is None:
            return
        first, last = self._first[0], self._last[0]
        some = max(100, (last - first) // 100)
        for name, field in self._fields.fields.items():
            counts = dict(_numbers_as_one(field.types))
            begins: dict[str, Place] = {}
            ends: dict[str, Place] = {}
            for kind in field.types:
                one = kind if kind in counts else "number"
                begins[one] = min(begins.get(one, field.begins[kind]), field.begins[kind])
                ends[one] = max(ends.get(one, field.ends[kind]), field.ends[kind])
            earliest, latest = min(begins.values()), max(ends.values())
            for kind, count in counts.items():
                if begins[kind][0] >= first + some:
                    new = begins[kind] == earliest
                    yield begins[kind], name, f"appears, {kind}" if new else f"{kind} from here on too", count
                if ends[kind][0] <= last - some and count >= 20:
                    gone = ends[kind] == latest
                    yield ends[kind], name, "is seen last" if gone else f"is {kind} for the last time", count


def _numbers_as_one(types: Any) -> list[tuple[str, int]]:
    """Return types with their counts, the most frequent first; whole numbers count as numbers if there are others
    too."""
    merged = dict(types)
    if "number" in merged and "integer" in merged:
        merged["number"] += merged.pop("integer")
    return sorted(merged.items(), key=lambda item: -item[1])


def _share(count: int, of: int) -> str:
    share = 100 * count / of if of else 0.0
    return f"{share:.0f} %" if share >= 1 or not share else f"{share:.2g} %"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else f"{value:,}"
    return text if len(text) <= 60 else f"{text[:59]}…"


def profile(source: Ranged, start: Any = "earliest", until: Any = None, sample: int | None = None) -> Profile:
    """Return a profile of a log, or of a part of it."""
    size = count_of(sample, "sample", source.refuse)
    if size == 0:
        raise source.refuse("sample=0: give a number of records from 1 up")
    view = View(source, start, None, until)
    began = time.monotonic()
    first, stop = view.range
    scan = Scan(source.label, "profile()", first, stop, first, first, open=until is None, found=None)
    windows = [(first, stop)] if size is None or size >= stop - first else _windows(first, stop, size)
    total = sum(high - low for low, high in windows)
    result = Profile(source, scan, None if total == stop - first else (total, stop - first))
    pieces = (piece for low, high in windows for piece in whole(source, low, high))
    reading = ahead(pieces, lambda piece: piece.batch.nbytes)
    why = "all there was" if result.sampled is None else f"sample={sample}"
    try:
        with progress.bar(total, what=one_line(f"profile {source.label}")[:40], unit=f" {source.unit}") as bar:
            for piece in reading:
                result.add(piece, source.body)
                bar.update(piece.stop - piece.first)
    except KeyboardInterrupt:
        why = "interrupted"
        raise Interrupted(result, source.unit, result.records) from None
    except KitError as error:
        why = f"{type(error).__name__}: {error.args[0] if error.args else ''}"[:300]
        error.partial = result  # type: ignore[attr-defined]
        raise
    finally:
        reading.close()  # type: ignore[attr-defined]
        complete = why == "all there was"
        result.scan = replace(result.scan, why=why, complete=complete, seconds=time.monotonic() - began)
        if complete:
            result.scan = replace(result.scan, begin=first, end=stop)
    return result


def _windows(first: int, stop: int, total: int) -> list[tuple[int, int]]:
    """Return ranges of records, spread evenly, the ends among them."""
    count = max(1, -(-total // _WINDOW))
    sizes = [total // count + (n < total % count) for n in range(count)]
    room = stop - first - total
    windows, at = [], first
    for n, size in enumerate(sizes):
        windows.append((at, at + size))
        at += size + room * (n + 1) // max(1, count - 1) - room * n // max(1, count - 1)
    return windows
