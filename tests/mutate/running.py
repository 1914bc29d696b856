"""Runs of pure tests in forks that have the large libraries imported already, on a copy of the tree."""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from .sites import Change, changes, marked

LIBRARIES = [
    "IPython", "anyio._backends._asyncio", "duckdb", "google.protobuf.message", "h2.connection", "httpx", "hypothesis",
    "ipywidgets", "matplotlib.pyplot", "msgpack", "numpy", "pandas", "pyarrow.compute", "pyarrow.parquet", "websockets",
]  # fmt: skip
LONGEST = 60, 10
"""Seconds after which tests are taken not to end: so many, and so many times as long as they took."""


class Tree:
    """A copy of the repository's files, to be changed at will; what happens to the repository does not reach it."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True).stdout
        for name in filter(None, listed.decode().split("\0")):
            if (root / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, folder / name)
        self.changes = changes(folder)
        self.before = {path: (folder / path).read_bytes() for path in {change.path for change in self.changes}}
        self._times = {path: (folder / path).stat().st_mtime for path in self.before}
        self._changed = 0

    def mark(self) -> None:
        """Have all files that can be changed tell which functions are called."""
        for path, source in self.before.items():
            (self.folder / path).write_text(marked(path, source))

    def change(self, change: Change, source: bytes) -> None:
        """Write the file with the change, as of a time of its own.

        Python takes a compiled form for that of a file by the second and the size: two changes of one file within a
        second would be taken for each other.
        """
        self._changed += 1
        self._write(change.path, source, self._changed)

    def restore(self) -> None:
        """Undo marks and changes."""
        for path, source in self.before.items():
            if (self.folder / path).read_bytes() != source:
                self._write(path, source, self._times[path])

    def _write(self, path: str, source: bytes, time: float) -> None:
        (self.folder / path).write_bytes(source)
        os.utime(self.folder / path, (time, time))


class Which:
    """A plugin of pytest: which tests run, in which order; and what each of them takes and calls."""

    def __init__(
        self, order: dict[str, int] | None, told: Callable[[str, float, set[Any]], None] | None = None
    ) -> None:
        self.order, self.told = order, told
        self.called: set[Any] = set()
        self.took = 0.0
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.order is not None:
            items[:] = sorted(
                (one for one in items if one.nodeid in self.order), key=lambda one: self.order[one.nodeid]
            )

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.took += report.duration
        if report.failed:
            self.failed = report.nodeid
        if report.when == "teardown":
            if self.told is not None and not self.failed:
                self.told(report.nodeid, self.took, set(builtins.CALLED))  # type: ignore[attr-defined]
            self.took, self.failed = 0.0, self.failed if self.told is None else ""
            getattr(builtins, "CALLED", set()).clear()


def prepare() -> None:
    """Import what every run needs, and nothing of the package."""
    for name in LIBRARIES:
        __import__(name)


def in_fork(tree: Tree, work: Callable[[], int], seconds: float, *, compiled: bool = False) -> int | None:
    """Return with what the work ended in a child in the tree, None where it took too long.

    What it imports is kept in its compiled form where that is asked for, so that later children are quicker.
    """
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setsid()
            os.chdir(tree.folder)
            sys.dont_write_bytecode = not compiled
            for name in [name for name in sys.modules if name.partition(".")[0] in ("kit", "tests")]:
                del sys.modules[name]
            sys.path[:] = [str(tree.folder), *(one for one in sys.path if Path(one or ".").resolve() != tree.root)]
            os.environ["PYTHONPATH"] = str(tree.folder)
            log = os.open(tree.folder / "last.log", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            os.dup2(log, 1)
            os.dup2(log, 2)
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    # The child leads a session of its own, so what its tests started ends with it.
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _pytest(words: Iterable[str], plugin: Which) -> int:
    ours = ["-n", "0", "-p", "no:cacheprovider", "-q", "--tb=short", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*ours, *words], plugins=[plugin]))


Calls = dict[str, tuple[float, set[tuple[str, str]]]]
"""For each test, how long it takes and which functions it calls."""


def calls(tree: Tree, kept: Path) -> Calls:
    """Return what the pure tests call that pass; what the file holds of test files that are unchanged is not run again."""
    known = json.loads(kept.read_text()) if kept.exists() else {}
    stamps = {
        path.relative_to(tree.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((tree.folder / "tests" / "pure").glob("test_*.py"))
    }
    known = {path: found for path, found in known.items() if found["stamp"] == stamps.get(path)}
    new = {path: {"stamp": stamp, "tests": {}} for path, stamp in stamps.items() if path not in known}
    file = tree.folder / "calls.jsonl"

    def work() -> int:
        builtins.CALLED = set()  # type: ignore[attr-defined]
        with file.open("w") as out:

            def told(test: str, took: float, called: set[Any]) -> None:
                out.write(json.dumps([test, took, sorted(called)]) + "\n")
                out.flush()

            return _pytest(new, Which(None, told))

    if new:
        tree.mark()
        in_fork(tree, work, 7200)
        tree.restore()
        for line in file.read_text().splitlines():
            test, *found = json.loads(line)
            new[test.partition("::")[0]]["tests"][test] = found
        known |= new
        kept.write_text(json.dumps(known))
    in_fork(tree, lambda: _pytest(["--collect-only", "tests/pure"], Which(None)), 1200, compiled=True)
    return {
        test: (took, {(path, name) for path, name in called})
        for found in known.values()
        for test, (took, called) in found["tests"].items()
    }


def judge(tree: Tree, change: Change | None, parts: list[list[str]], calls: Calls) -> str:
    """Return by what a change is noticed: the name of a test, or a word; empty where nothing notices it.

    Each part is a run of its own, up to the first test that fails.
    """
    if change is not None:
        source = change.applied(tree.before[change.path])
        try:
            compile(source, change.path, "exec", dont_inherit=True)
        except SyntaxError:
            return "no Python"
        tree.change(change, source)
    noticed = tree.folder / "noticed.txt"
    try:
        for tests in parts:

            def work(tests: list[str] = tests) -> int:
                plugin = Which({test: n for n, test in enumerate(tests)})
                code = _pytest(["-x", *dict.fromkeys(test.partition("::")[0] for test in tests)], plugin)
                noticed.write_text(plugin.failed or f"ended with {code}")
                return code

            noticed.write_text("")
            code = in_fork(tree, work, LONGEST[0] + LONGEST[1] * sum(calls[test][0] for test in tests))
            if code is None:
                return "no end"
            if code != 0:
                return noticed.read_text() or f"ended with {code}"
        return ""
    finally:
        tree.restore()
