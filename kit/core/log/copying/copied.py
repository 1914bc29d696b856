"""What a copy has done, and the file from which a later run resumes."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...files import draft
from ...html import one_line, table, text
from ..dataset import View
from ..finding.scan import size_of
from ..source import Ranged

FORM = "kit.copy/1"
_LONGEST = 64 * 1024


@dataclass
class Copied:
    """The result of a copy. It was asked to copy positions `start` up to `stop`; `next` is the first one not copied."""

    source: str = ""
    target: str = ""
    question: str = ""
    start: int = 0
    stop: int = 0
    next: int = 0
    low: int = 0
    """Where the target ended after the last batch that is known to be copied."""
    pending: tuple[int, int] | None = None
    """Of a batch under way: the position after it in the source, and how many records it has."""
    exact: bool = True
    """Whether the target checks positions, so that no record is written twice."""
    records: int = 0
    bytes: int = 0
    skipped: int = 0
    """Records that the filter left out."""
    recovered: int = 0
    """Records whose acknowledgement was lost, and that were found in the target."""
    uncertain: int = 0
    """Records that may be in the target twice, as it cannot check positions."""
    left_behind: dict[str, int] = field(default_factory=dict)
    """Columns that the target cannot keep, and how many records had values in them."""
    complete: bool = False
    why: str = ""
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether all figures are of the kinds that a copy writes."""
        counts = [self.start, self.stop, self.next, self.low, self.records, self.bytes, self.skipped, self.recovered]
        counts += [self.uncertain, *(self.pending or ())]
        texts = [self.source, self.target, self.question, self.why]
        left = self.left_behind
        return (
            all(type(count) is int and count >= 0 for count in counts)
            and all(isinstance(words, str) for words in texts)
            and (self.pending is None or (isinstance(self.pending, tuple) and len(self.pending) == 2))
            and (isinstance(left, dict) and all(type(count) is int for count in left.values()))
            and isinstance(self.seconds, int | float)
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the figures; JSON takes them."""
        return {"form": FORM, **asdict(self)}

    def __str__(self) -> str:
        words = f"copied {self.records:,} records ({size_of(self.bytes)}) from {self.source} to {self.target}"
        if self.skipped:
            words += f", {self.skipped:,} left out by the filter"
        words += f": {self.why}" if self.why else ""
        if self.uncertain:
            words += f"; {self.uncertain:,} may be there twice"
        elif not self.exact:
            words += "; the target cannot check, and nothing was lost on the way"
        return one_line(words)

    def __repr__(self) -> str:
        return f"<Copied: {self}>"

    def _repr_html_(self) -> str:
        rows: list[tuple[Any, Any]] = [
            ("copied", f"{self.records:,} records, {size_of(self.bytes)}, in {self.seconds:.1f} s"),
            ("positions", f"{self.start:,} up to {self.next:,} of {self.stop:,}"),
            ("each once", "yes" if self.exact else f"the target cannot check; {self.uncertain:,} may be there twice"),
        ]
        if self.recovered:
            rows.append(("answers lost", f"of {self.recovered:,} records, which were found to be there"))
        rows += [(f"{name} left behind", f"{count:,}") for name, count in self.left_behind.items()]
        return text(self) + table(("", ""), rows)


class Notebook:
    """How far a copy has come, in a file that is always complete, or in memory where no file is named."""

    def __init__(self, given: Any, source: Ranged, target: Ranged, question: str) -> None:
        self._source, self._target = source, target
        digest = hashlib.sha256(question.encode("utf-8", "backslashreplace")).hexdigest()[:16]
        self._question = f"{digest} {question}"[:400]
        self.path: Path | None = None
        self._before: Copied | None = None
        if isinstance(given, str | os.PathLike):
            self.path = Path(given)
            if not self.path.parent.is_dir():
                raise source.refuse(f"checkpoint={given!r}: there is no folder {str(self.path.parent)!r}")
            self._before = self._read(self.path) if self.path.exists() else None
        elif given is not None:
            self._before = self._of(getattr(given, "partial", given), "checkpoint=")

    def begin(self, view: View, open_end: bool) -> Copied:
        """Return where to begin: at the requested position, or where an earlier copy stopped."""
        before = self._before
        if before is None:
            first, stop = view.range
            low = self._target.bounds()[1]
            checks = self._target.checks
            return Copied(self._source.label, self._target.label, self._question, first, stop, first, low, None, checks)
        for what, noted, own in (
            ("of", before.source, self._source.label),
            ("to", before.target, self._target.label),
            ("with", before.question, self._question),
        ):
            if noted != own:
                raise self._source.refuse(
                    one_line(f"the checkpoint is from a copy {what} {noted}, but this copy is {what} {own}"),
                    hint="name another file, or remove it to start again",
                )
        stop = view.range[1] if open_end else max(before.stop, view.range[1])
        return replace(before, stop=max(stop, before.next), complete=False, why="")

    def write(self, copied: Copied) -> None:
        """Keep where it stands."""
        if self.path is None:
            return
        with draft(self.path) as unfinished:
            unfinished.write_text(json.dumps(copied.as_dict()))

    def _read(self, path: Path) -> Copied:
        try:
            with path.open("rb") as file:
                return self._of(json.loads(file.read(_LONGEST)), f"the checkpoint {path}")
        except (ValueError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise self._source.refuse(f"the checkpoint {path} is not JSON", hint="name another file") from None

    def _of(self, given: Any, what: str) -> Copied:
        if isinstance(given, Copied):
            return given
        known = {one.name for one in fields(Copied)} | {"form"}
        if not isinstance(given, dict) or given.get("form") != FORM or not set(given) <= known:
            raise self._source.refuse(f"{what} was not written by copy_to()", hint="name another file")
        entries = {name: value for name, value in given.items() if name != "form"}
        pending = entries.get("pending")
        if isinstance(pending, list):
            entries["pending"] = tuple(pending)
        copied = Copied(**entries)
        if not copied.sound:
            raise self._source.refuse(f"{what} is damaged", hint="name another file, or remove it to start again")
        return copied
