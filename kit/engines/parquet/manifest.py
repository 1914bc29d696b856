"""The contents of a folder of Parquet files, and the position that they reach: both follow from the names of the files.

    part-FIRST-to-STOP-rows-ROWS-file-N-of-M.parquet

Records from FIRST up to, not including, STOP are in M files, one for each partition. They count once all M exist, and
each file appears complete. So the position and the records always agree, whenever the writing process ends: an
incomplete group of files is written again. There is no other file beside them, as engines take every file of a folder
for a part of the table.

Folders from earlier versions have a JSON file that names their first files; the others continue those.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from ...core.errors import InputError
from .store import UNFINISHED, Store

OLD = "_kit_manifest.json"
METADATA_KEY = b"kit"
"""The key of the file's metadata under which it is described."""
_FORM = 1
_NAME = re.compile(r"part-(\d{20})-to-(\d{20})-rows-(\d{1,19})-file-(\d{1,6})-of-(\d{1,6})\.parquet")
_OLD_NAME = re.compile(r"part-\d{20}\.parquet")


@dataclass(frozen=True)
class Part:
    """A file with the records from `first` up to, not including, `stop`, or with those of one partition among them."""

    name: str
    first: int
    stop: int
    rows: int


def name_of(first: int, stop: int, rows: int, number: int = 1, count: int = 1) -> str:
    """Return the name of a file; numbers begin with 1.

    >>> name_of(0, 12, 12)
    'part-00000000000000000000-to-00000000000000000012-rows-12-file-1-of-1.parquet'
    """
    return f"part-{first:020d}-to-{stop:020d}-rows-{rows}-file-{number}-of-{count}.parquet"


@dataclass
class Manifest:
    """The files of a folder, and the position to continue at."""

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
        """Return the manifest of a folder; None if it has no file of this toolkit."""
        names = store.names()
        manifest = _of_json(store)
        parts = _following(names, manifest.next if manifest else None, store)
        if manifest is None:
            if not parts:
                return None
            source, keys = _described(store, parts[0].name)
            manifest = cls(source, parts[0].first, parts[0].first, keys)
        manifest.parts += parts
        manifest.next = max([manifest.next, *(part.stop for part in parts)])
        return manifest

    def reaches(self, store: Store) -> int:
        """Return the position up to which the folder now has the records, whichever process wrote them."""
        before = _of_json(store)
        parts = _following(store.names(), before.next if before else None, store)
        return max([before.next if before else self.start, *(part.stop for part in parts)])

    def sweep(self, store: Store) -> None:
        """Remove what an interrupted writer left: files that do not count."""
        known = {part.name for part in self.parts}
        for name in store.names():
            base = name.rpartition("/")[2]
            if (is_ours(name) and name not in known) or (base.startswith(".part-") and base.endswith(UNFINISHED)):
                store.remove(name)


def is_ours(name: str) -> bool:
    """Return whether a file is called as those that are written here, and is where they are: there, or in
    partitions."""
    *folders, base = name.split("/")
    return all("=" in folder for folder in folders) and bool(_NAME.fullmatch(base) or _OLD_NAME.fullmatch(base))


def _following(names: Iterable[str], start: int | None, store: Store) -> list[Part]:
    """Return the files that count, those of one range after those of another; an error where one between them is
    gone."""
    groups: dict[tuple[int, int, int], dict[int, Part]] = {}
    for name in names:
        match = _NAME.fullmatch(name.rpartition("/")[2])
        if match is not None and is_ours(name):
            first, stop, rows, number, count = map(int, match.groups())
            groups.setdefault((first, stop, count), {})[number] = Part(name, first, stop, rows)
    parts: list[Part] = []
    at = start
    for (first, stop, count), files in sorted(groups.items(), key=lambda item: item[0]):
        if len(files) < count or (at is not None and first < at):
            continue
        if at is not None and first > at:
            raise InputError(
                f"{store.path}: files of the records {at} to {first - 1} are missing, but later ones exist",
                hint="restore them, or give another folder; kit.scan with a pattern, '**/*.parquet', reads the rest",
            )
        parts += [files[number] for number in sorted(files)]
        at = stop
    return parts


def _described(store: Store, name: str) -> tuple[str, list[str]]:
    """Return the source and the partition columns from a file's metadata."""
    try:
        description = json.loads(
            pq.read_metadata(store.where(name), filesystem=store.filesystem).metadata[METADATA_KEY]
        )
        return str(description["source"]), [str(one) for one in description.get("partition_by", [])]
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{store.where(name)} is not a file of this toolkit: {error!r:.200}") from None


def _of_json(store: Store) -> Manifest | None:
    """Return the manifest of a folder that an earlier version began."""
    text = store.read(OLD)
    if text is None:
        return None
    try:
        fields = json.loads(text)
        if fields["form"] != _FORM:
            raise ValueError(f"form {fields['form']!r}")
        parts = [Part(str(p["name"]), int(p["first"]), int(p["stop"]), int(p["rows"])) for p in fields["parts"]]
        if any(part.name.startswith("/") or ".." in part.name.split("/") for part in parts):
            raise ValueError("a file outside the folder")
        source, names = str(fields["source"]), [str(name) for name in fields["partition_by"]]
        return Manifest(source, int(fields["start"]), int(fields["next"]), names, parts)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"{store.where(OLD)} is not a manifest of this toolkit: {error}") from None
