"""The Claude Code API service: nothing is paid twice, and what was paid is told."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import io
import random
import warnings
from functools import partial
from typing import Any

import kit
from kit.claude import AsyncClaudeClient, ClaudeAPIError, ClaudeClient
from kit.claude.wire.json_messages import patience

from .running import Op, Run, Scenario

TIMEOUT = 5.0


class Paid(Scenario):
    """Prompts by every way there is, and the client's book against the server's."""

    name = "claude.paid"
    service = "claude"
    error = ClaudeAPIError
    pieces = 50
    connections = 8
    patience = patience(TIMEOUT) + 0.5
    strict = True
    retries = 2

    def ops(self, chance: random.Random) -> list[Op]:
        kinds = ("complete", "complete", "batch", "task", "stream", "socket", "usage")
        return [
            (chance.randrange(4), chance.choice(kinds), chance.choice((0, 0, 0.3, 4, 5.5)), chance.random() * 0.3)
            for _ in range(chance.randint(4, 16))
        ]

    def prepare(self, run: Run) -> None:
        self.clients: list[Any] = []

    def client(self, run: Run, kind: Any) -> Any:
        made = kind(run.env["CLAUDE_API_URL"], run.env["CLAUDE_API_KEY"], timeout=TIMEOUT, retry_delay=0.05)
        self.clients.append(made)
        run.closes(made.close)
        return made

    def work(self, run: Run) -> None:
        async def one(number: int) -> None:
            client = self.client(run, AsyncClaudeClient)
            for n, (mine, kind, delay, pause) in enumerate(run.ops):
                if mine == number:
                    await asyncio.sleep(pause)
                    prompt = f"prompt {n} [lab words=30 delay={delay}]"
                    # On a WebSocket the time is for the next piece.
                    most = 60.0 if kind == "socket" else 0.0
                    found, error = await run.tried(kind, lambda k=kind, p=prompt: self.asked(client, k, p), most)
                    run.check(error is not None or bool(found), kind, "gave nothing")

        run.together(*(one(number) for number in range(3)))
        client = self.client(run, ClaudeClient)
        for n, (mine, _, delay, pause) in enumerate(run.ops):
            if mine == 3:
                run.world.sleep(pause)
                prompt = f"prompt {n} [lab words=30 delay={delay}]"
                run.tries("complete", lambda prompt=prompt: client.complete(prompt, model="haiku"))

    async def asked(self, client: Any, kind: str, prompt: str) -> Any:
        if kind == "complete":
            return (await client.complete(prompt, model="haiku")).content
        if kind == "batch":
            return (await client.batch([f"{prompt} {n}" for n in range(3)], model="haiku")).results
        if kind == "task":
            return (await client.agentic_task(prompt, timeout=TIMEOUT))["status"]
        if kind == "usage":
            return str((await client.get_usage("day")).total_tokens)
        transport = "ws" if kind == "socket" else "http"
        return "".join([piece async for piece in client.stream(prompt, model="haiku", transport=transport)])

    def judge(self, run: Run) -> None:
        run.world.sleep(400)  # what a client gave up on goes on for a while
        there: dict[str, list[float]] = collections.defaultdict(list)
        for row in run.house.server._store.read("select request_id, cost from usage"):  # type: ignore[attr-defined]
            there[row["request_id"]].append(row["cost"])
        completed: dict[str, list[float]] = collections.defaultdict(list)
        unknown: collections.Counter[str] = collections.Counter()
        for client in self.clients:
            for line in client.book.lines():
                if line.status == "completed":
                    completed[line.request_id].append(line.cost)
                else:
                    unknown[line.request_id] += 1
        for name, costs in completed.items():
            run.check(sorted(there[name]) == sorted(costs), "told to be paid", costs, "and charged", there[name])
        for name, most in unknown.items():
            run.check(len(there[name]) <= most, "charged more often than it was asked:", there[name], most)
        strange = {name for name, costs in there.items() if costs} - set(completed) - set(unknown)
        run.check(not strange, "charged, and in no book:", len(strange))


class Frames(Paid):
    """Batches of prompts as frames: broken off, gone on with, each prompt paid once."""

    name = "claude.frames"
    pieces = 40
    connections = 10
    patience = 200.0
    retries = 8

    def ops(self, chance: random.Random) -> list[Op]:
        return [(chance.choice((1, 3, 9)), chance.choice((0, 0.3, 3)), chance.choice((1, 2, 4))) for _ in range(2)]

    def work(self, run: Run) -> None:
        explorer = kit.connect("claude", environment=run.env, timeout=TIMEOUT)
        run.closes(explorer.close)
        self.clients.append(explorer.client)
        for n, (count, delay, at_once) in enumerate(run.ops):
            prompts = [f"batch {n} prompt {m} [lab words=20 delay={delay}]" for m in range(count)]
            given: dict[str, Any] = {"model": "haiku", "timeout": TIMEOUT, "at_once": at_once, "patience": 30}
            keep = run.house.folder / f"batch-{n}.jsonl"
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore", UserWarning)  # that it has stopped: it is gone on with
                found = run.tries("batch", partial(explorer.batch, prompts, keep=keep, **given))
                if explorer.last_batch is not None and (found is None or set(found["status"]) != {"completed"}):
                    run.world.sleep(40)  # what was sent is answered, or given up
                    found = run.tries("resume", explorer.last_batch.resume)
            if found is not None:
                run.check(found["prompt"].tolist() == prompts, "the frame has other prompts")
                statuses = set(found["status"])
                run.check(statuses <= {"completed", "failed", "unknown", "not run"}, "statuses", statuses)
                done = found[found["status"] == "completed"]
                run.check(done["content"].str.len().gt(0).all(), "completed, and without an answer")
