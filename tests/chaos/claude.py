"""The Claude Code API service in trouble: nothing is paid for twice, and what was paid for is told."""

from __future__ import annotations

import collections
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import kit
from kit.claude import AsyncClaudeClient, ClaudeClient

from .running import Bench, Run


class ClaudeBench(Bench):
    service = "claude"

    def open(self) -> None:
        env = self.environment()
        given: dict[str, Any] = {"api_key": env["CLAUDE_API_KEY"], "timeout": 1, "retry_delay": 0.001}
        self.clients = {
            "sync": ClaudeClient(env["CLAUDE_API_URL"], **given),
            "async": AsyncClaudeClient(env["CLAUDE_API_URL"], **given),
        }
        self.explorer = kit.connect("claude", environment=env, timeout=1)
        self.sure = kit.connect("claude", environment=self.house.env)

    def close(self) -> None:
        self.explorer.close()
        self.sure.close()
        super().close()

    def again(self, run: Run) -> None:
        assert run.do(run.client.health())["status"]
        assert self.explorer.health()["status"]

    def verbs(self) -> dict[str, Callable[[Run], None]]:
        names = ("complete", "batch", "frame", "task", "stream", "socket", "live", "usage", "tells", "metrics")
        return {name: getattr(self, name) for name in names}

    # --- the books --------------------------------------------------------------------------------------------------

    def _settled(self) -> None:
        """Returns when nothing runs any more: what a client gave up on goes on for a while."""
        until = time.monotonic() + 15
        while time.monotonic() < until:
            pool = self.sure.client.health()["services"]["worker_pool"]["detail"]
            if not pool["active_workers"] and not pool["queued_tasks"]:
                return
            time.sleep(0.01)
        raise AssertionError("the server still works on something")

    def _rows(self) -> dict[str, list[float]]:
        """What the server has charged, by request."""
        where = f"file:{self.folder}/data/claude.sqlite?mode=ro"
        found: dict[str, list[float]] = collections.defaultdict(list)
        with sqlite3.connect(where, uri=True) as db:
            for name, cost in db.execute("select request_id, cost from usage"):
                found[name].append(cost)
        db.close()
        return found

    def _balanced(self, run: Run, *clients: Any) -> None:
        """The client's book against the server's, request by request."""
        self._settled()
        lines = [line for client in clients for line in client.book.lines()]
        completed: dict[str, list[float]] = collections.defaultdict(list)
        unknown: collections.Counter[str] = collections.Counter()
        for line in lines:
            if line.status == "completed":
                completed[line.request_id].append(line.cost)
            else:
                unknown[line.request_id] += 1
        until = time.monotonic() + 5
        while True:
            there = self._rows()
            missing = [name for name, costs in completed.items() if sorted(there[name]) != sorted(costs)]
            if not missing or time.monotonic() > until:
                break
            time.sleep(0.02)  # the last line is on its way to the disk
        run.check(not missing, "told to be paid, and the server has it otherwise:", missing[:3])
        for name, most in unknown.items():
            run.check(len(there[name]) <= most, "charged more often than it was asked:", name, there[name])

    def _clients(self) -> list[Any]:
        return [*self.clients.values(), self.explorer.client]

    # --- verbs ------------------------------------------------------------------------------------------------------

    def complete(self, run: Run) -> None:
        with run.under():
            for n in range(2):
                prompt = f"{run.name} {n} {run.wide()}"
                got = run.attempt(lambda prompt=prompt: run.client.complete(prompt, model="haiku"))
                run.check(run.error is not None or bool(got.content), "an answer without content")
        self._balanced(run, *self._clients())

    def batch(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: run.client.batch([f"{run.name} {n}" for n in range(5)], model="haiku"))
        if run.error is None:
            run.check(len(got.results) == 5, "a batch of 5 gave", len(got.results))
        self._balanced(run, *self._clients())

    def frame(self, run: Run) -> None:
        prompts = [f"{run.name} {n}" for n in range(6)]
        with run.under():
            got = run.attempt(
                lambda: self.explorer.batch(
                    prompts, model="haiku", timeout=1, at_once=2, patience=2, keep=self.folder / f"{run.name}.jsonl"
                )
            )
        if run.error is None:
            run.check(got["prompt"].tolist() == prompts, "the frame has other prompts")
            run.check(
                set(got["status"]) <= {"completed", "failed", "unknown", "not run"}, "statuses", set(got["status"])
            )
        else:
            run.check(self.explorer.last_batch is not None, "what was paid for is not kept")
        self._balanced(run, *self._clients())

    def task(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: run.client.agentic_task(run.name, timeout=1))
        run.check(run.error is not None or got["status"] == "completed", "a task gave", got)
        self._balanced(run, *self._clients())

    def _pieces(self, run: Run, transport: str) -> None:
        pieces: list[str] = []

        async def follow() -> None:
            async for piece in run.client.stream(run.name, model="haiku", transport=transport):
                pieces.append(piece)

        def read() -> Any:
            if run.colour == "async":
                return follow()
            pieces.extend(run.client.stream(run.name, model="haiku", transport=transport))
            return None

        with run.under():
            run.attempt(read)
        run.check(run.error is not None or bool("".join(pieces)), "a stream without content")
        self._balanced(run, *self._clients())

    def stream(self, run: Run) -> None:
        self._pieces(run, "http")

    def socket(self, run: Run) -> None:
        self._pieces(run, "ws")

    def live(self, run: Run) -> None:
        with run.under():
            answer = run.attempt(lambda: self.explorer.live(run.name, model="haiku", timeout=1, transport="ws"))
            if answer is not None:
                run.attempt(lambda: answer.wait(timeout=10))
                repr(answer)

    def usage(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: run.client.get_usage("day"))
        run.check(run.error is not None or got.total_tokens >= 0, "usage gave", got)

    def tells(self, run: Run) -> None:
        with run.under():
            run.attempt(lambda: run.client.health())
            run.attempt(lambda: run.client.capabilities())
            model = run.attempt(lambda: run.client.route("short"))
            run.check(run.error is not None or isinstance(model, str), "a route of", model)

    def metrics(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: self.explorer.metrics())
        if run.error is None:
            run.check({"time", "metric", "value", "unit"} <= set(got.columns), "metrics gave", list(got.columns))

    # --- kills ------------------------------------------------------------------------------------------------------

    def kill_work(self, run: Run) -> Callable[[], None]:
        n = 0
        while run.error is None and n < 3000:
            run.attempt(lambda n=n: run.client.complete(f"{run.name} {n}", model="haiku"))
            n += 1

        def verdict() -> None:
            self.sure.close()
            self.sure = kit.connect("claude", environment=self.house.env)
            self._balanced(run, *self._clients())

        return verdict
