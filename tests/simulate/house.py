"""The lab's own servers on the made-up loop. What they do in threads and processes is done here in turn."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import io
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import kit.lab.amdahl.server as amdahl_server
import kit.lab.amdahl.sql.sandbox as amdahl_sandbox
import kit.lab.claude.server as claude_server
import kit.lab.common.web as web
import kit.lab.kimberlite.listener as kimberlite_listener
import kit.lab.kimberlite.server as kimberlite_server
import kit.lab.kimberlite.sql.workers as kimberlite_workers
import kit.lab.s2.http.listener as s2_listener
import kit.lab.s2.server as s2_server
import kit.lab.synap.server as synap_server
from kit.kimberlite.wire.extensions import Extensions
from kit.lab.common import store
from kit.lab.common.faults import FaultPlan, Rule
from kit.lab.common.unbroken import Unbroken
from kit.lab.kimberlite.refusal import Refusal
from kit.lab.kimberlite.sql.pipe import HEAD
from kit.lab.kimberlite.sql.worker import Worker
from kit.lab.services import House as Rooms
from kit.lab.services import Server, create

from .faults import Fault
from .network import Listening
from .world import World

_WORKER = "from kit.lab.amdahl.sql import worker; worker._LOCKED['threads'] = '1'; worker.main()"
"""With several threads the engine gives rows that are not ordered in another order each time."""
TOKEN = "5e" * 24
_SHARED = Path("/dev/shm")


class Steps(store.Store):
    """The store without its thread: what waits is committed together, after a time that the disk takes."""

    def __init__(self, path: Path, schema: str) -> None:
        self._writer = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._writer.row_factory = sqlite3.Row
        # The files go with the run: nobody needs them on a disk.
        self._writer.execute("pragma journal_mode=wal")
        self._writer.execute("pragma synchronous=off")
        self._writer.executescript(schema)
        self._reader = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._reader.row_factory = sqlite3.Row
        self._loop = asyncio.get_running_loop()
        self._unbroken = Unbroken()
        self._waiting: list[Any] = []
        self._chance = random.Random(path.name)

    async def write(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        done = self._loop.create_future()
        if not self._waiting:
            self._loop.call_later(self._chance.choice((0.0001, 0.001, 0.01)), self._step)
        self._waiting.append((job, done))
        return await done

    def _step(self) -> None:
        batch, self._waiting = self._waiting, []
        if batch:
            store._deliver(self._commit(batch))

    async def close(self) -> None:
        self._step()
        self._writer.close()
        self._reader.close()


class StatementSteps:
    """A process for SQL of Kimberlite, without the process."""

    def __init__(self, folder: Path, extensions: Extensions, *, writes: bool) -> None:
        self._folder, self._writes, self._extensions = folder, writes, extensions
        self._out = io.BytesIO()
        self._worker: Worker | None = None
        self.started: dict[str, Any] = {}
        self.over = False

    @property
    def alive(self) -> bool:
        return not self.over and self._worker is not None

    def end(self) -> None:
        if self._worker is not None and not self.over:
            self._worker._tenants.close()
        self.over = True

    async def gone(self) -> None:
        pass

    async def start(self) -> None:
        self._worker = Worker(self._folder, self._out, writes=self._writes, extensions=self._extensions)
        self.started = json.loads(self._said()[1])

    async def run(self, order: dict[str, Any], body: bytes, seconds: float) -> Any:
        assert self._worker is not None
        await asyncio.sleep(0.002)
        self._worker.run(order, body)
        letter, payload = self._said()
        if letter == b"E":
            told = json.loads(payload)
            raise Refusal(told["code"], told["message"])
        if letter == b"R":
            return kimberlite_workers.Result(body=payload)
        return kimberlite_workers.Result(value=json.loads(payload))

    def _said(self) -> tuple[bytes, bytes]:
        said = self._out.getvalue()
        self._out.seek(0)
        self._out.truncate()
        letter, length = HEAD.unpack(said[: HEAD.size])
        assert length == len(said) - HEAD.size
        return letter, said[HEAD.size :]


class _QuerySteps(amdahl_sandbox._Process):
    """The process for SQL of Amdahl: one for all runs, as what it answers depends on the question alone."""

    _child: Any = None
    _known: dict[str, Any] = {}
    """What it has answered: the same question is answered the same."""

    def __init__(self, *_: Any) -> None:
        self._late = self._busy = self._ended = False

    @classmethod
    def begin(cls) -> None:
        """Start it, unless it runs."""
        if cls._child is not None and cls._child.poll() is None:
            return
        folder = tempfile.mkdtemp(prefix="kit-simulate-")
        settings = {"file": f"{folder}/interactions.duckdb", "demo": True, "make": True, "memory": 1 << 30}
        cls._child = subprocess.Popen(
            [sys.executable, "-c", _WORKER, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        cls._child.stdout.read(9)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        atexit.register(cls._child.kill)

    @property
    def alive(self) -> bool:
        return not self._ended

    @property
    def over(self) -> bool:
        return self._ended

    def end(self) -> None:
        self._ended = True

    async def gone(self) -> None:
        pass

    async def start(self) -> None:
        pass

    async def run(self, order: dict[str, Any], flow: Any = None) -> Any:
        await asyncio.sleep(0.002)
        asked = json.dumps(order)
        if asked not in self._known:
            try:
                self._known[asked] = self._run(order, flow)
            except amdahl_sandbox.Refusal as refusal:
                self._known[asked] = refusal
        found = self._known[asked]
        if isinstance(found, Exception):
            raise found.with_traceback(None)
        return replace(found, pieces=list(found.pieces))

    @contextlib.contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        yield


_REPLACED = [
    *((one, "Store", Steps) for one in (s2_server, kimberlite_server, synap_server, claude_server, amdahl_server)),
    *((one, "listening_socket", Listening) for one in (web, s2_listener, kimberlite_listener, synap_server)),
    (kimberlite_workers, "_Process", StatementSteps),
    (amdahl_sandbox, "_Process", _QuerySteps),
]


class House:
    """One service's server in a world."""

    def __init__(self, world: World, service: str) -> None:
        self.world, self.service = world, service
        self.folder = Path(tempfile.mkdtemp(prefix="kit-simulate-", dir=_SHARED if _SHARED.is_dir() else None))
        world.loop.network.outside = re.compile(re.escape(bytes(self.folder)) + rb'|"created_at":"[^"]{20,}"')
        self.faults = FaultPlan()
        self._rules: list[Rule] = []
        self.server: Server
        self.env: dict[str, str] = {}

    def __enter__(self) -> House:
        if self.service == "amdahl":
            _QuerySteps.begin()
        self._before = [(holder, name, getattr(holder, name)) for holder, name, _ in _REPLACED]
        for holder, name, value in _REPLACED:
            setattr(holder, name, value)
        # A clock that jumps an hour, and a process that stands still beside, would take rooms what they keep for an hour.
        with mock.patch.dict(os.environ, {"KIT_SYNAP_RETENTION": str(10**9)}):
            self.server = create(self.service, Rooms(self.folder, TOKEN, self.faults, demo=False))
        self.world.run(self.server.start())
        self.env = self.server.env()
        for name in ("KIMBERLITE_ADDRESS", "SYNAP_RPC_URL"):
            if name in self.env:
                self.world.loop.network.framed.add(int(self.env[name].rpartition(":")[2]))
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.world.run(self.server.stop())
        finally:
            for holder, name, value in self._before:
                setattr(holder, name, value)
            shutil.rmtree(self.folder, ignore_errors=True)

    def plan(self, faults: list[Fault]) -> None:
        """Let these go wrong, counted from now."""
        self.world.plan(faults)
        for fault in faults:
            if fault.kind.isdigit():
                self._rules.append(Rule("*", fault.kind, skip=fault.at, retry_after=fault.seconds or None))
                self.faults.add(self._rules[-1])

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        self.world.loop.network.calm()
        for rule in self._rules:
            if rule.seen:
                self.world.loop.network.met[rule.kind] += 1
        self._rules.clear()
        self.faults.clear()
