"""The embedded Kimberlite in this process, on a loop in a thread of its own, and an explorer of it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from kit.kimberlite.explore.explorer import Kimberlite, connect
from kit.lab.common.faults import FaultPlan, Rule
from kit.lab.kimberlite.server import KimberliteServer
from kit.lab.services import House


class KimberliteLab:
    """A server with the demo data, and what points at it."""

    def __init__(self, folder: Path, demo: bool = True) -> None:
        self.plan = FaultPlan()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = KimberliteServer(House(folder, "the-root-token", self.plan, demo))
        self._on_loop(self._server.start())
        self.env: dict[str, str] = self._server.env()
        self.address = self.env["KIMBERLITE_ADDRESS"]
        self.key = self.env["KIMBERLITE_API_KEY"]

    def _on_loop(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def faults(self, kind: str, path: str = "*", **details: Any) -> None:
        self.plan.add(Rule("kimberlite", kind, path, **details))

    def explorer(self, **options: Any) -> Kimberlite:
        return connect(self.env, **options)

    def close(self) -> None:
        self._on_loop(self._server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
