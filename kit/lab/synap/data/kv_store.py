"""Keys and values: bytes with an optional expiry, stored on disk, watched by pattern."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Iterable

from ..refusal import Refusal
from .journal import Journal, Row

_INT64 = range(-(2**63), 2**63)
_FAR = 2**62
_SPARE = 1000
"""Entries of passed or replaced ends that are not worth clearing away."""
LARGEST = 64 * 1024 * 1024
"""The largest value in bytes that appending may produce."""


def now_ms() -> int:
    """Return the clock of all ends, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class KvStore:
    """The keys and values of the server."""

    def __init__(self, journal: Journal, rows: Iterable[Row] = ()) -> None:
        self._journal = journal
        self._values: dict[str, bytes] = {}
        self._ends: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self._versions: dict[str, int] = {}
        self.changed: Callable[[str, str, int, bytes | None], None] | None = None
        """Told key, what happened, version and value."""
        self.gets = self.sets = self.dels = self.hits = self.misses = 0
        self.bytes = 0
        now = now_ms()
        for key, value, end in rows:
            if end is None or end > now:
                self._put(key, value, end)
            else:
                journal.kv_store[key] = None
                journal.touch()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> bytes | None:
        """Return the value, counted as a read."""
        self.gets += 1
        value = self._values.get(key)
        if value is not None and key in self._ends and self._over(key):
            value = None
        if value is None:
            self.misses += 1
        else:
            self.hits += 1
        return value

    def peek(self, key: str) -> bytes | None:
        """Return the value, not counted."""
        value = self._values.get(key)
        return None if value is None or (key in self._ends and self._over(key)) else value

    def set(
        self, key: str, value: bytes, ttl: int | None = None, *, keep_end: bool = False, event: str = "set"
    ) -> None:
        """Put a value; without `ttl` (seconds) it has no end."""
        self.sets += 1
        end = self._ends.get(key) if keep_end else None if ttl is None else now_ms() + min(ttl, _FAR // 1000) * 1000
        self._change(key, value, end)
        self._tell(key, event, value)

    def set_until(self, key: str, value: bytes, end: int) -> None:
        """Put a value that ends at a time in milliseconds."""
        self.set(key, value)
        self._end(key, end)

    def delete(self, key: str, event: str = "del") -> bool:
        """Return whether it was there."""
        if event == "del":
            self.dels += 1
            if key in self._ends and self._over(key):
                return False
        if key not in self._values:
            return False
        self._change(key, None, None)
        self._tell(key, event, None)
        version = self._versions.pop(key, None)
        if version is not None:
            self._journal.changed(self._versions.__setitem__, key, version)
        return True

    def add(self, key: str, amount: int) -> int:
        """Add `amount` to a value that is a whole number; return the new number."""
        value = self.peek(key)
        try:
            total = (0 if value is None else whole_number(value)) + amount
        except ValueError:
            raise Refusal("Invalid value: Value is not a valid integer") from None
        if total not in _INT64:
            raise Refusal("Invalid value: Integer overflow")
        self.set(key, str(total).encode(), keep_end=True, event="incrby" if amount >= 0 else "decrby")
        return total

    def append(self, key: str, value: bytes) -> int:
        """Put bytes behind a value; its length then."""
        whole = (self.peek(key) or b"") + value
        self.set(key, _sized(whole), keep_end=True, event="append")
        return len(whole)

    def part(self, key: str, start: int, end: int) -> bytes:
        """Return the bytes of a value from one to another, the last one included; negative ones count from the end."""
        value = self.get(key) or b""
        first = max(0, len(value) + start) if start < 0 else start
        behind = max(0, len(value) + end + 1) if end < 0 else end + 1
        return value[first:behind]

    def overwrite(self, key: str, offset: int, value: bytes) -> int:
        """Put bytes over a part of a value, after zeros where it is shorter; its length then."""
        if offset + len(value) > LARGEST:
            raise _too_large()
        before = self.peek(key) or b""
        whole = before[:offset].ljust(offset, b"\0") + value + before[offset + len(value) :]
        self.set(key, whole, keep_end=True, event="setrange")
        return len(whole)

    def swap(self, key: str, value: bytes) -> bytes | None:
        """Put a value without an end; the one before."""
        before = self.get(key)
        self.set(key, value)
        return before

    def set_new(self, pairs: Iterable[tuple[str, bytes]]) -> bool:
        """Put all values if none of the keys is there; whether they were put."""
        items = list(pairs)
        if any(self.peek(key) is not None for key, _ in items):
            return False
        for key, value in items:
            self.set(key, value)
        return True

    def copy(self, source: str, target: str, *, replace: bool = False) -> bool:
        """Put a value, with its end, under another key as well; False where that is taken."""
        value, end = self.peek(source), self._ends.get(source)
        if value is None:
            raise Refusal(f"Key not found: {source}")
        if source == target:
            return True
        if not replace and self.peek(target) is not None:
            return False
        self.set(target, value)
        if end is not None:
            self._end(target, end)
        return True

    def rename(self, source: str, target: str, *, replace: bool = True) -> bool:
        """Give a value, with its end, another key; False where that is taken and not to be replaced."""
        done = self.copy(source, target, replace=replace)
        if done and source != target:
            self.delete(source)
        return done

    def any_key(self) -> str | None:
        """Return one of the keys, at random."""
        keys = self.keys()
        return random.choice(keys) if keys else None

    def expire(self, key: str, seconds: int) -> bool:
        """Give a key an end; whether it is there."""
        if self.peek(key) is None:
            return False
        self._end(key, now_ms() + min(seconds, _FAR // 1000) * 1000)
        self._tell(key, "expire", self._values.get(key))
        return True

    def persist(self, key: str) -> bool:
        """Take a key's end away; whether it had one."""
        if self.peek(key) is None or key not in self._ends:
            return False
        self._change(key, self._values[key], None)
        self._tell(key, "persist", self._values[key])
        return True

    def ttl(self, key: str) -> int | None:
        """Return the seconds left, or None without an expiry; a missing key is refused."""
        if self.peek(key) is None:
            raise Refusal(f"Key not found: {key}")
        end = self._ends.get(key)
        return None if end is None else max(0, end - now_ms()) // 1000

    def keys(self) -> list[str]:
        """Return all keys."""
        return [key for key in list(self._values) if key not in self._ends or not self._over(key)]

    def scan(self, prefix: str, limit: int) -> list[str]:
        """Return up to that many of the keys that begin with the prefix."""
        return [key for key in self.keys() if key.startswith(prefix)][: max(0, limit)]

    def sweep(self) -> None:
        """Remove expired values."""
        now = now_ms()
        while self._heap and self._heap[0][0] <= now:
            end, key = heapq.heappop(self._heap)
            if self._ends.get(key) == end:
                self.delete(key, "expired")

    def _over(self, key: str) -> bool:
        if self._ends[key] > now_ms():
            return False
        self.delete(key, "expired")
        return True

    def _change(self, key: str, value: bytes | None, end: int | None) -> None:
        """Put a value, or none, here and on the way to disk."""
        before = self._values.get(key), self._ends.get(key)
        self._put(key, value, end)
        self._journal.kv_store[key] = None if value is None else (key, value, end)
        self._journal.changed(self._put, key, *before)

    def _put(self, key: str, value: bytes | None, end: int | None) -> None:
        before = self._values.get(key)
        if value is None:
            if before is not None:
                del self._values[key]
                self._ends.pop(key, None)
                self.bytes -= len(key) + len(before)
            return
        self.bytes += len(value) - len(before) if before is not None else len(key) + len(value)
        self._values[key] = value
        if end is None:
            self._ends.pop(key, None)
        else:
            self._ends[key] = end
            heapq.heappush(self._heap, (end, key))
            if len(self._heap) > 2 * len(self._ends) + _SPARE:
                # Most are of ends that were replaced, for example by one that renews them again and again.
                self._heap = [(end, key) for key, end in self._ends.items()]
                heapq.heapify(self._heap)

    def _end(self, key: str, end: int) -> None:
        self._change(key, self._values[key], end)

    def _tell(self, key: str, event: str, value: bytes | None) -> None:
        if self.changed is None:
            return
        self._versions[key] = version = self._versions.get(key, 0) + 1
        tell = self.changed
        # A change that is refused in the end is not reported to watchers.
        self._journal.when_kept(lambda error: tell(key, event, version, value) if error is None else None)


def _sized(value: bytes) -> bytes:
    if len(value) > LARGEST:
        raise _too_large()
    return value


def _too_large() -> Refusal:
    return Refusal(f"Invalid value: a value grows to at most {LARGEST >> 20} MiB")


def whole_number(value: bytes) -> int:
    """Return the whole number that a value spells; Python alone would also accept `1_0` and ` 1`."""
    digits = value.removeprefix(b"-").removeprefix(b"+") if len(value) < 22 else b""
    if not digits.isdigit():
        raise ValueError
    return int(value)
