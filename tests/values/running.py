"""One example: append, read back in all ways, compare with the model."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import hypothesis
import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import kit

from . import paths
from .given import Append, appends
from .model import columns, parsed, problem
from .paths import Log, Services, Shown

SAMPLE = 1000
ALWAYS: tuple[Any, ...] = (paths.arrow,)
"""Beside `read`."""
SLOW: tuple[Any, ...] = (
    *[paths.live] * 3, *[paths.sql] * 3, *[paths.parquet] * 3, *[paths.stream] * 2, paths.sql_arrow, paths.dask,
    *[paths.polars if paths.pl is not None else paths.stream] * 2,
)  # fmt: skip
MODES = ["auto"] * 6 + ["json", "json", "text", "bytes"]


def check(
    log: Log, batches: Sequence[Append], mode: str, slow: Sequence[Any], seen: Counter[str] | None = None
) -> None:
    """Append the batches to a new log, and compare all that is read with the model."""
    seen = Counter() if seen is None else seen
    expected: list[Any] = []
    for batch in batches:
        seen[f"append {batch.label.partition(' of ')[0].partition(',')[0]}"] += 1
        _append(log, batch)
        if not batch.refused:
            expected += batch.bodies
        else:
            seen["refused"] += 1
    left = paths.of_frame(log.read(body="bytes"))
    raw = left[log.raw][1] if expected else []
    assert len(left[log.position][1]) == len(expected), f"{len(left[log.position][1])} records of {len(expected)}"
    for n, (body, cells) in enumerate(zip(raw, expected, strict=True)):
        wrong = _wrong(body, cells, log.service)
        assert wrong is None, f"record {n}: {wrong}"
    if not expected:
        return
    shown = columns(raw, mode, log.taken, log.raw, quoted=log.service == "synap")
    large = len(raw) > 2 * SAMPLE
    # The C interface, by which libraries hand Arrow to each other, ends names at NUL.
    cut = any("\0" in name or "\\x00" in kind for name, (kind, _) in shown.columns.items())
    for reader in (paths.read, *ALWAYS, *slow):
        if reader in (paths.sql, paths.sql_arrow, paths.stream) and mode != "auto":
            continue
        if reader is paths.dask and log.service == "synap":
            continue  # a room is read in one process only
        if reader in (paths.stream, paths.polars) and cut:
            continue
        if large and reader in (paths.arrow, paths.stream, paths.dask, paths.polars):
            continue
        seen[reader.__name__] += 1
        asked = shown.mode if reader is paths.live and mode == "auto" else mode
        found = paths.quiet(reader, log, asked, len(raw))
        _compare(reader.__name__, found, shown.columns, log)
    newest = raw[-3:]
    _compare(
        "tail",
        paths.of_frame(log.handle.tail(3, body=mode)),
        columns(newest, mode, log.taken, log.raw, log.service == "synap").columns,
        log,
    )
    if len(batches) == 1 and batches[0].exact and not batches[0].refused and log.handle is not None:
        seen["types="] += 1
        typed(log, batches[0])


def _append(log: Log, batch: Append) -> None:
    bad = batch.refused
    told: str | None = None
    try:
        log.append(batch.data, **batch.options)
    except kit.KitError as error:
        told = str(error)
    if told is None:
        assert not bad, f"{batch!r} was taken with {bad}"
    elif batch.bodies:  # nothing is no append to some services
        assert bad, f"{batch!r} was refused: {told}"
        assert any(_names(told, row, key) for row, key in bad), f"{told!r} names none of {bad}"


def _names(text: str, row: int, key: str | None) -> bool:
    """Whether a refusal names the place; keys may stand in it with escapes."""

    def bare(one: str) -> str:
        return repr(one)[1:-1].replace("\\", "")

    return (f"row {row}" in text or f"record {row}" in text) and (key is None or bare(key) in bare(text))


def _wrong(body: bytes, cells: Any, service: str) -> str | None:
    if isinstance(cells, dict):
        return problem(cells, parsed(body))
    if service == "synap":
        if isinstance(cells, bytes):
            try:
                cells = cells.decode()
            except UnicodeDecodeError:
                return None if body == cells else f"{cells!r} was written as {body!r}"
        return problem(cells, parsed(body))
    wanted = cells.encode() if isinstance(cells, str) else cells
    return None if body == wanted else f"{cells!r} was written as {body!r}"


def _compare(what: str, found: Shown, wanted: Shown, log: Log) -> None:
    beside = [name for name in log.taken if name in found]
    assert list(found) == [*beside, *wanted], f"{what} shows the columns {list(found)}, not {list(wanted)}"
    for name, (kind, values) in wanted.items():
        got_kind, got = found[name]
        assert got_kind == kind, f"{what}: column {name!r} is {got_kind}, not {kind}"
        assert repr(got) == repr(values), f"{what}: column {name!r} is {got!r}, not {values!r}"


def typed(log: Log, batch: Append) -> None:
    """`types=` brings back what was appended, in the types that it had."""
    types = {name: kind for name, (kind, _) in batch.exact.items()}
    table = paths.quiet(lambda log, *_: log.handle.arrow(types=types).read_all(), log, "", 0)
    names = _named(batch, log)
    frame = log.read(types=types)
    for name, (kind, made) in batch.exact.items():
        wanted = _as(made, kind)
        got = table.column(names[name]).combine_chunks()
        assert got.type.equals(kind), f"types=: {name!r} is {got.type}, not {kind}"
        assert _equal(got, wanted), f"types=: {name!r} is {got}, not {wanted}"
        shown = frame[names[name]]
        again = _as(shown, kind)
        assert _equal(again, wanted), f"types= of read: {name!r} is {shown}, not {wanted}"


def _named(batch: Append, log: Log) -> dict[str, str]:
    used = {*log.taken, log.raw}
    found = {}
    for key in [*batch.exact, *(key for key in batch.bodies[0] if key not in batch.exact)]:
        name = key
        while name in used:
            name = "body." + name
        used.add(name)
        found[key] = name
    return found


def _as(made: Any, kind: pa.DataType) -> Any:
    if type(made).__module__.startswith("polars"):
        made = made.to_arrow()
    if not isinstance(made, pa.Array | pa.ChunkedArray):
        if isinstance(made.dtype, pd.SparseDtype):
            made = pd.Series(np.asarray(made))
        objects = isinstance(made.dtype, np.dtype) and made.dtype.kind == "O"
        made = pa.array(made, kind if objects else None, from_pandas=True)
    if isinstance(made, pa.ChunkedArray):
        made = made.combine_chunks()
    return made.cast(kind)


def _equal(got: Any, wanted: Any) -> bool:
    return repr([_no_nan(one) for one in _comparable(got)]) == repr([_no_nan(one) for one in _comparable(wanted)])


def _comparable(array: Any) -> list[Any]:
    kind = array.type
    if pa.types.is_temporal(kind):
        width = pa.int32() if kind.bit_width == 32 else pa.int64()
        return (
            list(array.view(width).to_pylist())
            if not array.null_count
            else [
                None if not ok else n
                for ok, n in zip(array.is_valid().to_pylist(), array.view(width).to_pylist(), strict=True)
            ]
        )
    if pa.types.is_dictionary(kind):
        return list(array.cast(kind.value_type).to_pylist())
    if pa.types.is_list(kind) and pa.types.is_temporal(kind.value_type):
        return [array.value_lengths().to_pylist(), _comparable(array.flatten())]
    return list(array.to_pylist())


def _no_nan(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value


# --- many -------------------------------------------------------------------------------------------------------------


def run(
    services: Services, chosen: Sequence[str], examples: int, seed: int, seen: Counter[str] | None = None, slow: int = 2
) -> None:
    """Run so many examples; the first that is wrong is shown as small as it gets, and raised."""
    seen = Counter() if seen is None else seen
    most = slow

    @hypothesis.seed(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(
        appends(),
        st.sampled_from(list(chosen)),
        st.sampled_from(MODES),
        st.lists(st.sampled_from(SLOW), max_size=most, unique=True),
    )
    def example(batches: list[Append], service: str, mode: str, slow: list[Any]) -> None:
        largest = services.largest.get(service)
        if largest is not None and any(len(repr(body)) > largest for batch in batches for body in batch.bodies):
            return
        log = services.log(service)
        try:
            check(log, batches, mode, slow, seen)
            seen["examples"] += 1
        finally:
            log.drop()

    example()


def campaign(
    services: Services,
    chosen: Sequence[str],
    examples: int,
    seed: int,
    tell: Callable[[str], None] = print,
    part: int = 500,
) -> int:
    """Run many examples in parts, go on after what is wrong, and return how many parts found something."""
    seen: Counter[str] = Counter()
    found, began = 0, time.monotonic()
    number = 0
    while seen["examples"] < examples:
        try:
            run(services, chosen, min(part, examples - seen["examples"]), seed + number, seen)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            for one in error.exceptions if isinstance(error, ExceptionGroup) else [error]:
                found += 1
                tell(f"seed {seed + number}: {type(one).__name__}: {one}")
                for note in getattr(one, "__notes__", ()):
                    tell(f"  {note}")
        number += 1
        tell(
            f"{seen['examples']:,} examples, {found} findings, {time.monotonic() - began:.0f} s, seeds {seed} to {seed + number - 1}"
        )
    tell(", ".join(f"{name} {count:,}" for name, count in sorted(seen.items())))
    return found
