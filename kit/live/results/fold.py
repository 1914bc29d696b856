"""What a fold is: it is given each row of a feed once, in order, and can tell its result at any time."""

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
"""Bytes of a state in a checkpoint, unpacked."""


def unseen(name: str, columns: Collection[str]) -> str:
    """Return what to say of a column that no row has had so far."""
    near = nearest(name, columns)
    return f"no record has had {name!r} so far" + (f"; {near}" if near else "")


class Fold(ABC):
    """A result in the making. `lock` guards it: rows come in one thread, results are asked for in another."""

    label: str
    """What it does with the rows, in a few words."""
    keys: tuple[str, ...] = ()
    """The columns that tell its rows apart."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.lock = threading.Lock()
        self.missed = 0
        """Rows that had left the buffer of the feed before this began."""
        self.key = json.dumps(spec, sort_keys=True, default=str)
        """What it computes: a checkpoint's state is that of the same fold."""

    @abstractmethod
    def add(self, table: pa.Table) -> None:
        """Take rows."""

    @abstractmethod
    def result(self) -> pa.Table:
        """Return what came of the rows so far."""

    @abstractmethod
    def figures(self) -> dict[str, int]:
        """Return what is counted beside the result."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return all that is known, as JSON has it."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Know what `told` gave."""

    def notes(self) -> Iterable[str]:
        """Return what one should know beside the result."""
        return ()

    def dump(self) -> str:
        """Return all that is known, for a checkpoint."""
        with self.lock:
            whole = json.dumps({"missed": self.missed, **self.state()}, separators=(",", ":")).encode()
        if len(whole) > _LARGEST:
            raise KitError(f"{self.label}: its state has {len(whole):,} bytes, which is too large for a checkpoint")
        return base64.b64encode(zlib.compress(whole, 1)).decode()

    def load(self, blob: Any) -> None:
        """Know what `dump` gave; it comes from a file, and may be anything."""
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
