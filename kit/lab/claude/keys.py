"""Keys: their projects, permissions and rate limits."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..common.store import Store


@dataclass(frozen=True, slots=True)
class Key:
    """A key and its project."""

    digest: str
    project_id: str
    rate_limit: int
    profile: str | None


class Keys:
    """The keys of the server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = {
            row["digest"]: Key(row["digest"], row["project_id"], row["rate_limit"], row["profile"])
            for row in store.read("select * from keys")
        }

    def know(self, key: str, project: str, rate_limit: int, profile: str | None) -> Key:
        """Make a key known while the server runs, or give a known one other rights."""
        made = self._known[digest(key)] = Key(digest(key), project, rate_limit, profile)
        return made

    async def add(self, key: str, project: str, rate_limit: int, profile: str | None) -> Key:
        """Make a key known for good, or give a known one other rights."""

        def put(db: sqlite3.Connection) -> None:
            db.execute(
                "insert or replace into keys values (?, ?, ?, ?, ?)",
                (digest(key), project, rate_limit, profile, round(time.time() * 1000)),
            )

        await self._store.write(put)
        return self.know(key, project, rate_limit, profile)

    def find(self, key: str) -> Key | None:
        # By its digest, so that the time of the look-up reveals nothing about existing keys.
        return self._known.get(digest(key))


def digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def main_key(token: str) -> str:
    """Return the key that a lab gives out, in the service's form."""
    return f"cc_{hashlib.sha256(f'claude {token}'.encode()).hexdigest()[:40]}"


class RateLimit:
    """A number of requests of a key in each window of the clock; denied requests are not counted.

    >>> limit = RateLimit(60, clock=lambda: 100.0)
    >>> [limit.take("key", 2) for _ in range(3)]
    [True, True, False]
    """

    def __init__(self, window: float, clock: Callable[[], float] = time.time) -> None:
        self._window = window
        self._clock = clock
        self._now = 0.0
        self._taken: dict[str, int] = {}

    def take(self, digest: str, most: int) -> bool:
        """Count one request; whether it may pass."""
        now = self._clock() // self._window
        if now != self._now:
            self._now, self._taken = now, {}
        taken = self._taken.get(digest, 0)
        if taken >= most:
            return False
        self._taken[digest] = taken + 1
        return True
