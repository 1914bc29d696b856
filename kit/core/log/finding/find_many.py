"""Finding records in many logs, one after the other, with one receipt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ... import progress
from ...errors import InputError, Interrupted, KitError, warn
from ...html import one_line
from ...tables.json.typed import checked
from ..places import count_of
from .find import Criteria, Hunt
from .found import framed
from .scan import Scan

if TYPE_CHECKING:
    import pandas as pd

    from ...tables.frames import BodyMode
    from ..dataset import Ranged


def find_many(
    sources: Mapping[str, Callable[[], Ranged]],
    column: str,
    question: Criteria,
    start: Any,
    until: Any,
    limit: int | None,
    resume: Any,
    body: BodyMode,
    types: Mapping[str, Any] | None,
) -> pd.DataFrame:
    """See `LookingThrough.find`."""
    left, typed = count_of(limit), checked(types or {})
    before = None if resume is None else Scan.of(resume)
    names = list(sources)
    hunts: dict[str, Hunt] = {}
    failed: dict[str, str] = {}
    parts: dict[str, dict[str, Any]] = {}
    ended = ""
    if not names:
        raise InputError(f"no {column} has such a name")

    def frame() -> pd.DataFrame:
        scan = _whole(column, hunts, parts, names, ended)
        searched = list(hunts.values()) or [Hunt(sources[names[0]](), question, start, until, 0, None)]
        made = framed(searched, body, typed, column, names[:1] if not hunts else list(hunts), scan)
        made.attrs["failed"] = failed
        return made

    with progress.bar(len(names), what="find", unit=f" {column}s") as bar:
        try:
            for name in names:
                part = None if before is None else before.parts.get(name)
                if part is not None and part["complete"] and not part["open"]:
                    parts[name] = part
                elif left == 0:
                    ended = f"limit={limit} was reached"
                    if part is not None:
                        parts[name] = part
                else:
                    begin = start if part is None else "earliest"
                    hunt = hunts[name] = Hunt(sources[name](), question, begin, until, left, part)
                    try:
                        hunt.run()
                    except KitError as error:
                        if isinstance(error, InputError) or error.status in (401, 403):
                            raise
                        failed[name] = one_line(str(error).splitlines()[0])
                    left = None if left is None else left - (hunt.scan.found or 0)
                bar.update(1)
        except KeyboardInterrupt:
            ended = "interrupted"
            raise Interrupted(frame(), "matches") from None
    if failed:
        name, reason = next(iter(failed.items()))
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        warn(one_line(f"some could not be searched: {name}: {reason}{more}; df.attrs['failed'] lists all of them"))
        ended = ended or f"{len(failed)} could not be read"
    return frame()


def _whole(
    column: str,
    hunts: Mapping[str, Hunt],
    parts: dict[str, dict[str, Any]],
    names: list[str],
    ended: str,
) -> Scan:
    """Return the receipt of all: figures of this search, and where each log stands."""
    scans = {name: hunt.scan for name, hunt in hunts.items()}
    own = list(scans.values())
    receipts = {**parts, **{name: scan.as_dict() for name, scan in scans.items()}}
    complete = len(receipts) == len(names) and all(part["complete"] for part in receipts.values())
    firsts = [scan.first_time for scan in own if scan.first_time is not None]
    lasts = [scan.last_time for scan in own if scan.last_time is not None]
    return Scan(
        source=f"{len(names)} {column}s",
        question=own[0].question if own else "",
        newest_first=bool(own and own[0].newest_first),
        open=any(part["open"] for part in receipts.values()),
        records=sum(scan.records for scan in own),
        bytes=sum(scan.bytes for scan in own),
        found=sum(scan.found or 0 for scan in own),
        first_time=min(firsts, default=None),
        last_time=max(lasts, default=None),
        complete=complete,
        why="all there was" if complete else ended or next((scan.why for scan in own if not scan.complete), ""),
        seconds=sum(scan.seconds for scan in own),
        parts={name: receipts[name] for name in sorted(receipts)},
    )
