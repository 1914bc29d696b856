"""Paid answers on disk, shared by all notebooks and processes of a user.

The key of a question is made of the service's address, the requested model, the whole prompt with its values, the
columns, the version of the instruction, and the number of the repeat. A change in any of them asks again; nothing else
does: not the time, the project, nor how prompts were grouped.

A question is recorded before it is sent. So two processes never send the same one, and if an answer was lost because
the process died, that is known: the question may have been paid for, and is sent again only on request.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....core.html import one_line
from ...errors import ClaudeInputError
from ...types import BatchResult, Paid, Usage
from ...wire.columns_spec import VERSION

if TYPE_CHECKING:
    import pandas as pd

FILE = "claude-answers.sqlite"
_SQL = """
create table if not exists answers (
    key blob primary key, service text not null, model text not null, prompt text not null, columns text not null,
    repeat integer not null, owner text not null, sent real not null, at real, content text, input_tokens integer,
    output_tokens integer, cost real
);
create table if not exists paid (
    at real not null, service text not null, method text not null, model text not null, project text,
    status text not null, tokens integer, cost real, request_id text not null
);
create index if not exists paid_at on paid (at);
"""
_CHUNK = 2000
_WAIT = 30.0
"""Seconds to wait while another process writes."""
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@lru_cache(maxsize=4096)
def _usage(into: int, out: int) -> Usage:
    """Count of tokens: many answers have the same."""
    return Usage(into, out, into + out)


def folder() -> Path:
    """Return the user's cache folder: `KIT_CACHE_DIR`, else that of the system."""
    own = os.environ.get("KIT_CACHE_DIR")
    if own:
        return Path(own).expanduser()
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "kit" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/kit"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kit"


class Keys:
    """Makes the keys of questions that share address, model and columns.

    >>> keys = Keys("http://localhost:8006", "haiku", "")
    >>> keys.of("Hello") == keys.of("Hello"), keys.of("Hello") == keys.of("Hello", repeat=1)
    (True, False)
    """

    def __init__(self, service: str, model: str | None, columns: str) -> None:
        kind = f"{VERSION}\0{service}\0{model}\0{len(columns)}\0{columns}\0"
        self._kind = hashlib.blake2b(kind.encode("utf-8", "surrogatepass"), digest_size=16)

    def of(self, prompt: str, repeat: int = 0) -> bytes:
        """Return the key of a question."""
        digest = self._kind.copy()
        digest.update(f"{repeat}\0{prompt}".encode("utf-8", "surrogatepass"))
        return digest.digest()


def age_of(given: Any, name: str = "max_age") -> float | None:
    """Return seconds: of a number, a timedelta, or a text such as "90s", "12h" or "7d".

    >>> age_of("12h"), age_of(timedelta(days=1)), age_of(None)
    (43200.0, 86400.0, None)
    """
    if given is None:
        return None
    if isinstance(given, timedelta):
        given = given.total_seconds()
    if isinstance(given, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", given)
        if match is not None and match[2] in _UNITS:
            given = float(match[1]) * _UNITS[match[2]]
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < 1e11:
        raise ClaudeInputError(f"{name}={given!r}: give seconds, a timedelta, or a text", hint='such as "12h" or "7d"')
    return float(given)


class Cache:
    """The cached answers, in one SQLite file: `c.cache.df` lists them, `c.cache.clear()` removes them.

    >>> Cache("answers.sqlite")
    <Cache answers.sqlite: .df, .clear(older_than=, model=, text=)>
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = None if path is None else Path(path).expanduser()
        self._db: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        self._pid = 0
        self._owner = ""
        self._under_way: set[bytes] = set()
        """Questions that this process has sent, and may yet be answered."""

    @property
    def path(self) -> Path:
        """The file."""
        return folder() / FILE if self._path is None else self._path

    def find(self, keys: Sequence[bytes], since: float = 0.0) -> dict[bytes, BatchResult | None]:
        """Return the known state of questions: an answer from `since` or later, or None for one that was sent."""
        results: dict[bytes, BatchResult | None] = {}
        if not keys or (self._db is None and not self.path.exists()):
            return results
        with self._use() as db:
            for at in range(0, len(keys), _CHUNK):
                part = keys[at : at + _CHUNK]
                marks = ",".join("?" * len(part))
                rows = db.execute(
                    f"select key, content, input_tokens, output_tokens, cost, at from answers where key in ({marks})",  # noqa: S608
                    part,
                )
                for key, content, into, out, cost, came in rows:
                    if content is None:
                        results[key] = None
                    elif came >= since:
                        results[key] = BatchResult("", "", "completed", content, _usage(into, out), cost)
        return results

    def claim(
        self, entries: Sequence[tuple[bytes, str, str, str, str, int]], since: float = 0.0, *, again: bool = False
    ) -> set[bytes]:
        """Record questions that are about to be sent; return those that no other process has recorded before.

        An entry is key, service, model, prompt, columns, repeat. Answers from before `since` give way; with `again`
        so do questions whose answer was lost.
        """
        now = time.time()
        taken = set()
        with self._use() as db, db:
            db.execute("begin immediate")
            for entry in entries:
                changed = db.execute(
                    "insert into answers (key, service, model, prompt, columns, repeat, owner, sent)"
                    " values (?, ?, ?, ?, ?, ?, ?, ?)"
                    " on conflict (key) do update set owner = excluded.owner, sent = excluded.sent, content = null"
                    " where (content is not null and at < ?) or (content is null and ?)",
                    (*entry, self._owner, now, since, again),
                ).rowcount
                if changed:
                    taken.add(entry[0])
        self._under_way |= taken
        return taken

    def over(self, keys: Iterable[bytes]) -> None:
        """Say that questions of this process will not be answered any more, if they have not been."""
        self._under_way.difference_update(keys)

    def coming(self, keys: Sequence[bytes], within: float) -> set[bytes]:
        """Return the questions that are being sent at the moment, whose answers will arrive soon."""
        pending = {key for key in keys if key in self._under_way}
        others = [key for key in keys if key not in pending]
        if not others or (self._db is None and not self.path.exists()):
            return pending
        alive: dict[str, bool] = {}
        with self._use() as db:
            for at in range(0, len(others), _CHUNK):
                part = others[at : at + _CHUNK]
                marks = ",".join("?" * len(part))
                for key, owner in db.execute(
                    f"select key, owner from answers where content is null and sent > ? and key in ({marks})",  # noqa: S608
                    (time.time() - within, *part),
                ):
                    if owner != self._owner and alive.setdefault(owner, _lives(owner)):
                        pending.add(key)
        return pending

    def came(self, results: Sequence[tuple[bytes, BatchResult]]) -> None:
        """Keep answers; a question that was refused without a cost is free again, one that was lost stays entered."""
        now = time.time()
        with self._use() as db, db:
            db.execute("begin immediate")
            for key, result in results:
                if result.status == "completed" and result.usage is not None:
                    used = result.usage
                    values = (now, result.content, used.input_tokens, used.output_tokens, result.cost, key)
                    db.execute(
                        "update answers set at = ?, content = ?, input_tokens = ?, output_tokens = ?, cost = ?"
                        " where key = ?",
                        values,
                    )
                elif result.paid is False:
                    db.execute(
                        "delete from answers where key = ? and owner = ? and content is null", (key, self._owner)
                    )

    def paid(self, service: str, lines: Sequence[Paid]) -> None:
        """Write down what calls cost, for the ledger over kernels."""
        with self._use() as db, db:
            db.executemany(
                "insert into paid values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        line.time,
                        service,
                        line.method,
                        line.model,
                        line.project_id,
                        line.status,
                        line.tokens,
                        line.cost,
                        line.request_id,
                    )
                    for line in lines
                ],
            )

    def lines(self, service: str, since: float = 0.0) -> list[Paid]:
        """Return the ledger's lines of a service, oldest first."""
        if self._db is None and not self.path.exists():
            return []
        with self._use() as db:
            rows = db.execute(
                "select at, method, model, tokens, cost, project, request_id, status from paid"
                " where service = ? and at >= ? order by at, rowid",
                (service, since),
            ).fetchall()
        return [Paid(at, how, model, None, None, tokens, *rest) for at, how, model, tokens, *rest in rows]

    @property
    def df(self) -> pd.DataFrame:
        """The cached answers, newest first: time, model, prompt, content, cost, state ("answer", or "lost"),
        service."""
        from ...wire.frames import cache_frame

        rows: list[tuple[Any, ...]] = []
        if self._db is not None or self.path.exists():
            with self._use() as db:
                rows = db.execute(
                    "select coalesce(at, sent), model, prompt, columns, content, input_tokens + output_tokens, cost,"
                    " service from answers order by 1 desc"
                ).fetchall()
        return cache_frame(rows)

    def clear(self, *, older_than: Any = None, model: str | None = None, text: str | None = None) -> int:
        """Let answers go: all, or those older than "7d", of a model, or with a text in the prompt; return how many.

        These questions are sent, and paid, again. Questions whose answer was lost are removed with them.
        """
        age = age_of(older_than, "older_than")
        conditions: list[str] = ["1"]
        values: list[Any] = []
        if age is not None:
            conditions.append("coalesce(at, sent) <= ?")
            values.append(time.time() - age)
        for word, value in (("model = ?", model), ("instr(prompt, ?) > 0", text)):
            if value is not None:
                conditions.append(word)
                values.append(value)
        if self._db is None and not self.path.exists():
            return 0
        with self._use() as db:
            with db:
                gone = db.execute(f"delete from answers where {' and '.join(conditions)}", values).rowcount  # noqa: S608
            if gone:
                db.execute("vacuum")
        return gone

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            db, self._db = self._db, None
            if db is not None and self._pid == os.getpid():
                db.close()

    @contextlib.contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._db is None or self._pid != os.getpid():
                self._open()
            assert self._db is not None
            try:
                yield self._db
            except sqlite3.DatabaseError as error:
                raise ClaudeInputError(
                    f"the cache {self.path} cannot be used: {error}", hint="remove that file, or give cache=False"
                ) from None

    def _open(self) -> None:
        path = self.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Prompts and answers are private to the user; SQLite gives its other files the same permissions.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            os.chmod(path, 0o600)
        except OSError as error:
            raise ClaudeInputError(
                f"the cache {path} cannot be created: {error}", hint="set KIT_CACHE_DIR, or give cache=False"
            ) from None
        try:
            db = sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = normal")
            db.execute("pragma cache_size = -65536")
            db.execute("pragma mmap_size = 268435456")
            db.executescript(_SQL)
        except sqlite3.DatabaseError as error:
            raise ClaudeInputError(
                f"the cache {path} cannot be read: {error}", hint="remove that file, or give cache=False"
            ) from None
        self._db, self._pid, self._owner = db, os.getpid(), f"{os.getpid()}:{uuid.uuid4().hex}"

    def __repr__(self) -> str:
        return one_line(f"<Cache {self.path}: .df, .clear(older_than=, model=, text=)>")

    def _repr_html_(self) -> str:
        from ....core.html import text

        frame = self.df
        return text(f"{len(frame):,} questions in {self.path}; .df lists them, .clear() lets them go")


def _lives(owner: str) -> bool:
    """Return whether the process that has asked is still there."""
    try:
        os.kill(int(owner.partition(":")[0]), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except OSError:
        pass  # it exists and belongs to another user
    with contextlib.suppress(OSError, IndexError):
        # A killed child that was not waited for yet exists only by its id.
        return Path(f"/proc/{owner.partition(':')[0]}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def in_notebook() -> bool:
    """Return whether this is a notebook's kernel, where answers are cached by default."""
    return "ipykernel" in sys.modules and getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)() is not None


def cache_of(given: Any, own: Cache) -> Cache | None:
    """Return the cache that `cache=` means: None is "in a notebook", a path another file.

    >>> cache_of(False, Cache("a.sqlite")), cache_of(True, Cache("a.sqlite"))
    (None, <Cache a.sqlite: .df, .clear(older_than=, model=, text=)>)
    """
    if isinstance(given, Cache):
        return given
    if given is None:
        given = in_notebook()
    if isinstance(given, bool):
        return own if given else None
    if isinstance(given, str | os.PathLike):
        return Cache(given)
    raise ClaudeInputError(f"cache={given!r}: give True, False, or a path")
