"""What a folder of Parquet files holds, and up to which position: one small file that is replaced whole.

A file of records counts from the moment that the manifest names it. So the position and the records can never be at
odds, whenever the process that writes ends: what the manifest does not name is a leftover, and is written again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import InputError
from .store import UNFINISHED, Store

NAME = "_kit_manifest.json"
_FORM = 1


@dataclass(frozen=True)
class Part:
    """A file: the records from `first` up to, not including, `stop`, or those of one partition among them."""

    name: str
    first: int
    stop: int
    rows: int


@dataclass
class Manifest:
    """The files of a folder, and the position at which to go on."""

    source: str
    start: int
    next: int
    partition_by: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @classmethod
    def read(cls, store: Store) -> Manifest | None:
        """The manifest of a folder; None where there is none."""
        text = store.read(NAME)
        if text is None:
            return None
        try:
            found = json.loads(text)
            if found["form"] != _FORM:
                raise ValueError(f"form {found['form']!r}")
            parts = [Part(str(p["name"]), int(p["first"]), int(p["stop"]), int(p["rows"])) for p in found["parts"]]
            if any(part.name.startswith("/") or ".." in part.name.split("/") for part in parts):
                raise ValueError("a file outside of the folder")
            source, names = str(found["source"]), [str(name) for name in found["partition_by"]]
            return cls(source, int(found["start"]), int(found["next"]), names, parts)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise InputError(f"{store.where(NAME)} is no manifest of this toolkit: {error}") from None

    def write(self, store: Store) -> None:
        """Puts it in the place of the one before."""
        told: dict[str, Any] = {
            "form": _FORM,
            "source": self.source,
            "start": self.start,
            "next": self.next,
            "partition_by": self.partition_by,
            "parts": [{"name": p.name, "first": p.first, "stop": p.stop, "rows": p.rows} for p in self.parts],
        }
        with store.writing(NAME) as file:
            file.write(json.dumps(told, indent=1).encode())

    def sweep(self, store: Store) -> None:
        """Removes what an interrupted writer left: files that no manifest names."""
        known = {part.name for part in self.parts}
        for name in store.names():
            base = name.rpartition("/")[2]
            ours = base.startswith("part-") and base.endswith(".parquet")
            if (ours and name not in known) or (base.startswith(".") and base.endswith(UNFINISHED)):
                store.remove(name)
