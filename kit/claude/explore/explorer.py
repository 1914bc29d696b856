"""The Claude Code API service in a notebook: readable answers, and batches and usage as DataFrames."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

from ...core.clock import Clock
from ...core.environment import Environment, elsewhere, missing
from ...core.explorer import Explorer
from ...core.faces import state_of
from ...core.log.declared import Gap
from ...core.secrets import Secret, hidden, masked
from ..client.client import ClaudeClient, settings_of
from ..client.streaming import checked, opened
from ..types import Response, Transport
from ..wire import json_messages as wire
from .live import LiveAnswer
from .prompts import Prompts
from .recorded_costs import by_time, usage_by_time
from .results import TaskResult

if TYPE_CHECKING:
    import pandas as pd

    from .feeding import AnswerSource


CLIENT = ClaudeClient


def connect(
    environment: Environment | Mapping[str, str],
    *,
    url: str | None = None,
    base_url: str | None = None,
    api_key: str | Secret | None = None,
    timeout: float | None = None,
    max_retries: int = 3,
    retry_delay: float = 1.0,
    project_id: str | None = None,
    project_keys: Mapping[str, str | Secret] | None = None,
    max_cost: float | None = None,
    verify: Any = True,
    clock: Clock | None = None,
) -> Claude:
    """Return the explorer for `kit.connect("claude", ...)`. `max_cost` limits the spending through it, in USD."""
    environment = Environment(environment)
    url, api_key = masked(url or base_url), hidden(api_key)
    base_url = url
    project_keys = {name: hidden(key) for name, key in dict(project_keys or {}).items()}  # type: ignore[misc]
    settings, seconds = settings_of(url, api_key, timeout, verify, environment)
    note = elsewhere(environment, "CLAUDE_API_KEY", "CLAUDE_API_URL")
    lacking = missing("claude", (settings.credential, "an API key", "api_key", "CLAUDE_API_KEY"), note=note)
    if lacking is not None:
        raise lacking
    options: dict[str, Any] = {"max_retries": max_retries, "retry_delay": retry_delay, "project_id": project_id}
    options |= {"project_keys": project_keys, "verify": verify, "clock": clock}
    return Claude(ClaudeClient(settings.base_url, settings.credential, seconds, **options), max_cost)


class Claude(Prompts, Explorer[ClaudeClient]):
    """Explore the Claude Code API service.

    >>> from kit.claude import ClaudeClient
    >>> Claude(ClaudeClient("http://127.0.0.1:1", "cc_00"))
    <Claude at http://127.0.0.1:1: .ask(prompt), .batch(prompts), .task(...), .usage(), .live(prompt)>

    `client` is the plain client; `budget` limits spending, see `Guard`.
    """

    service = "claude"
    title = "Claude Code API service"
    shown = ".ask(prompt), .batch(prompts), .task(...), .usage(), .live(prompt)"
    tries = (
        (".ask(prompt)", "an answer, with what it took"),
        (".live(prompt)", "an answer that fills as it comes"),
        (".batch(prompts, model=)", "one row per prompt; .resume() after an interrupt"),
        ('.batch("... {column}", over=df, columns="topic: a|b")', "typed columns for each row of a frame"),
        (".classify(df.text, choices), .extract(...), .score(...)", "the same for one column"),
        (".preview(...), .estimate(prompts)", "what that would ask, and cost"),
        (".task(description, allow_tools=)", "an agentic task, with .log and .artifacts"),
        (".usage(period), .metrics(), .ledger()", "what was spent"),
        (".budget(max_cost=5)", "a limit on this side"),
    )
    lacks = {"browse": Gap("the service keeps nothing to click through", ".models(), .capabilities() and .usage()")}

    def ask(
        self, prompt: str, model: str | None = "auto", *, timeout: float | None = None, project_id: str | None = None
    ) -> Response:
        """Return the answer to a prompt, which shows its text, tokens and cost."""
        with self.budget.holding(self._likely(prompt, model), "ask"):
            return self.client.complete(prompt, model, timeout, project_id)

    def live(
        self,
        prompt: str,
        model: str | None = "auto",
        *,
        timeout: float | None = None,
        project_id: str | None = None,
        transport: Transport = "http",
    ) -> LiveAnswer:
        """Return the answer to a prompt, shown as it arrives, while other cells run.

        `transport="ws"` streams by WebSocket, for servers that really stream, such as the lab; by "http" the service
        gives the answer whole.
        """
        return LiveAnswer(*self._streamed("live", prompt, model, timeout, project_id, transport))

    def _source(
        self,
        prompt: str,
        model: str | None = "auto",
        *,
        timeout: float | None = None,
        project_id: str | None = None,
        transport: Transport = "http",
    ) -> AnswerSource:
        """Return the source for `kit.Feed(c, prompt="...")`: the pieces of the answer, with their times."""
        from .feeding import AnswerSource

        return AnswerSource(*self._streamed("feed", prompt, model, timeout, project_id, transport))

    def _streamed(
        self,
        op: str,
        prompt: str,
        model: str | None,
        timeout: float | None,
        project_id: str | None,
        transport: Transport,
    ) -> tuple[Callable[[], AsyncIterator[str | Response]], str]:
        """Return a function that requests the pieces of an answer, within the budget; and the model."""
        likely = self._likely(prompt, model)
        self.budget.check(likely, op)
        checked(transport)
        seconds = None if timeout is None else wire.seconds(timeout)
        client = self.client.beside()
        state, project = state_of(client), wire.project_of(project_id, client.project_id)
        name = wire.chosen_model(model) or "auto"

        async def pieces() -> AsyncIterator[str | Response]:
            # Reserved only once it begins: a feed may never be opened.
            with self.budget.holding(likely, op) as release:
                async with aclosing(opened(state, prompt, model, seconds, project, transport)) as answer:
                    async for piece in answer:
                        if transport == "http" or isinstance(piece, Response):
                            release()  # the whole answer is there
                        yield piece

        return pieces, name

    def task(
        self,
        description: str,
        allow_tools: list[str] | None = None,
        allow_agents: list[str] | None = None,
        allow_skills: list[str] | None = None,
        *,
        timeout: float = 300,
        max_cost: float = 1.0,
        model: str | None = None,
        project_id: str | None = None,
        working_directory: str | None = None,
    ) -> TaskResult:
        """Return the result of an agentic task; `.log` and `.artifacts` are DataFrames.

        `max_cost` is compared by the service after the run. On this side a task with more than is left of
        `budget.max_cost` is not sent.
        """
        with self.budget.holding(wire.usd(max_cost, "max_cost"), "task"):
            return TaskResult(
                self.client.agentic_task(
                    description,
                    allow_tools,
                    allow_agents,
                    allow_skills,
                    timeout,
                    max_cost,
                    model,
                    project_id,
                    working_directory,
                )
            )

    def usage(
        self, period: str = "month", project_id: str | None = None, *, over: Literal["day", "hour"] | None = None
    ) -> pd.DataFrame:
        """Return the usage, one row per model: model, tokens, cost, token_share, cost_share; totals are in
        `df.attrs`.

        `period` is "month" (since the 1st), "week" or "day". The service tells sums only: `over="day"` or "hour" gives
        what this client knows by time (`source` "client"), and what the service counts beyond it without a time
        (`source` "service"). `kit.plots.usage(c.usage(over="day"), over="day")` draws it.
        """
        from ..wire.frames import usage_frame

        stats = self.client.get_usage(period, project_id)
        return usage_frame(stats) if over is None else usage_by_time(stats, self._paid(kept=True), over)

    def ledger(self, *, over: Literal["day", "hour"] | None = None, kept: bool = False) -> pd.DataFrame:
        """Return the costs of this explorer, call by call, or by model over each day or hour (of UTC).

        A call whose answer was lost is "unknown": it may have been paid. `kept=True` also includes what
        other kernels of this machine have paid to this service, as far as they were notebooks.
        """
        from ..wire.frames import ledger_frame

        lines = self._paid(kept)
        return ledger_frame(lines) if over is None else by_time(lines, over)

    def models(self) -> pd.DataFrame:
        """Return the models, and USD for a million of their tokens."""
        from ..wire.frames import price_frame

        return price_frame()

    def capabilities(self) -> pd.DataFrame:
        """Return the agents and skills that tasks may ask for: kind, name, description."""
        import pyarrow as pa

        from ...core.tables.frames import from_rows

        listed = self.client.capabilities()
        rows = [
            {"kind": kind, "name": item.get("name"), "description": item.get("description")}
            for kind, place in (("agent", "agents"), ("skill", "skills"))
            for item in listed.get(place) or ()
            if isinstance(item, dict)
        ]
        return from_rows(rows, pa.schema([(name, pa.string()) for name in ("kind", "name", "description")]))

    def metrics(self, period: str = "month") -> pd.DataFrame:
        """Return usage and cost by model in a period, and the budget, as tidy rows. Call by call there is `ledger()`.

        Columns: time, metric, value, unit, and the labels model, project_id, period.
        """
        from ..wire.frames import metric_frame

        return metric_frame(self.client.get_usage(period), time.time())

    def health(self) -> dict[str, Any]:
        """Return the health of the service."""
        return self.client.health()

    def _where(self) -> str:
        """Return the address."""
        return self.client.base_url

    def close(self) -> None:
        """Close the connections."""
        super().close()
        if self._keeper is not None:
            self._keeper.flush()
        self.cache.close()

    def _likely(self, prompt: str, model: str | None) -> float:
        return self.budget.likely(wire.prompt_text(prompt), wire.chosen_model(model))
