"""The base of folds: a fold takes each row of a feed once, in order, and returns its result at any time."""

from __future__ import annotations

import base64
import json
import threading
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pyarrow as pa

from ...core.errors import InputError, KitError
from ...core.words import nearest

_LARGEST = 1024 * 1024 * 1024
"""The largest state in a checkpoint, in bytes, unpacked."""


def unseen(name: str, columns: Collection[str]) -> str:
    """Return the note about a column that no row has had so far."""
    near = nearest(name, columns)
    return f"no record has had {name!r} so far" + (f"; {near}" if near else "")


class Fold(ABC):
    """A result that grows with each row. `lock` guards it: one thread adds rows, another one reads results."""

    label: str
    """What it computes, in a few words."""
    keys: tuple[str, ...] = ()
    """The columns that identify a row of its result."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.lock = threading.Lock()
        self.missed = 0
        """How many rows had left the buffer of the feed before the fold began."""
        self.key = json.dumps(spec, sort_keys=True, default=str)
        """What it computes, as JSON: a state in a checkpoint belongs to the fold with the same key."""

    @abstractmethod
    def add(self, table: pa.Table) -> None:
        """Take rows."""

    @abstractmethod
    def result(self) -> pa.Table:
        """Return the result of the rows so far."""

    @abstractmethod
    def figures(self) -> dict[str, int]:
        """Return figures beside the result."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return the whole state, as values of JSON."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""

    def notes(self) -> Iterable[str]:
        """Return what a reader should know about the result."""
        return ()

    def dump(self) -> str:
        """Return the whole state as text, for a checkpoint."""
        with self.lock:
            whole = json.dumps({"missed": self.missed, **self.state()}, separators=(",", ":")).encode()
        if len(whole) > _LARGEST:
            raise KitError(f"{self.label}: its state has {len(whole):,} bytes, which is too large for a checkpoint")
        return base64.b64encode(zlib.compress(whole, 1)).decode()

    def load(self, blob: Any) -> None:
        """Restore what `dump` returned. It comes from a file, so it may be anything."""
        try:
            opened = zlib.decompressobj()
            whole = opened.decompress(base64.b64decode(blob, validate=True), _LARGEST)
            if not opened.eof:
                raise ValueError("cut off, or too large")
            state = json.loads(whole)
            self.missed = int(state["missed"])
            self.restore(state)
        except KitError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, ArithmeticError, RecursionError,
                LookupError, zlib.error, pa.ArrowException) as error:  # fmt: skip
            raise InputError(
                f"the checkpoint's state of {self.label} is damaged: {type(error).__name__}: {error}",
                hint="begin without from_checkpoint, from the start of the log",
            ) from None
