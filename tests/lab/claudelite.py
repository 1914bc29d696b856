"""The embedded Claude Code API service in this process, on a loop in a thread of its own, and clients of it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import httpx

from kit.claude import ClaudeClient
from kit.claude.explore.explorer import Claude, connect
from kit.lab.claude.server import ClaudeServer
from kit.lab.claude.tuning import Tuning
from kit.lab.common.faults import FaultPlan, Rule
from kit.lab.services import House


class ClaudeLab:
    """A server, and what points at it."""

    def __init__(self, folder: Path, demo: bool = False, token: str = "the-token", **tuning: float) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.plan = FaultPlan()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.server = ClaudeServer(House(folder, token, self.plan, demo), Tuning(**{"token_seconds": 0, **tuning}))
        self.on_loop(self.server.start())
        self.env: dict[str, str] = self.server.env()
        self.url = self.env["CLAUDE_API_URL"]
        self.key = self.env["CLAUDE_API_KEY"]

    def on_loop(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def fault(self, kind: str | int, path: str = "*", **details: Any) -> None:
        async def add() -> None:
            self.plan.add(Rule("claude", str(kind), path, **details))

        self.on_loop(add())

    def client(self, **options: Any) -> ClaudeClient:
        return ClaudeClient(self.url, options.pop("api_key", self.key), **{"retry_delay": 0.001, **options})

    def explorer(self, **options: Any) -> Claude:
        return connect(self.env, **options)

    def make_key(self, project: str, profile: str | None = "enterprise", rate_limit: int = 100_000, **more: Any) -> str:
        key: str = self._control("POST", "keys", project_id=project, profile=profile, rate_limit=rate_limit, **more)[
            "key"
        ]
        return key

    def limit(self, project: str, tokens: int | None) -> None:
        self._control("PUT", "budgets", project_id=project, monthly_limit=tokens)

    def _control(self, method: str, what: str, **body: Any) -> Any:
        answer = httpx.request(
            method, f"{self.url}/lab/{what}", json=body, headers={"authorization": f"Bearer {self.key}"}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def raw(self, method: str, path: str, body: Any = None, key: str | None = "", **headers: str) -> httpx.Response:
        """A plain request; `key=None` sends none."""
        if key is not None:
            headers["authorization"] = f"Bearer {key or self.key}"
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        return httpx.request(method, self.url + path, content=content, headers=headers, timeout=20)

    def rows(self) -> list[sqlite3.Row]:
        """All usage that is on disk."""
        db = sqlite3.connect(self.folder / "claude.sqlite")
        db.row_factory = sqlite3.Row
        try:
            return db.execute("select * from usage where kind != 'demo'").fetchall()
        finally:
            db.close()

    def close(self) -> None:
        self.on_loop(self.server.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def served(tmp_path_factory):
    """A server for the tests of a file; for a fixture called `lab`."""
    lab = ClaudeLab(tmp_path_factory.mktemp("claude"))
    yield lab
    lab.close()


def exploring(lab):
    """An explorer of the fixture `lab`."""
    with lab.explorer() as c:
        yield c
