"""The reference's client, blocking and async."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any

from ...core import loop
from ...core.clock import Clock, clocked
from ...core.environment import OWN, Environment
from ...core.faces import AsyncFace, SyncFace, coloured, state_of, verb
from ...core.html import one_line
from ...core.http.exchange import AsyncDriver, Driver, Settings
from ...core.http.operations import Operation, Timeouts
from ...core.secrets import Secret, fit, hidden, masked
from ..errors import ClaudeInputError
from ..types import BatchResponse, Response, Transport, UsageStats
from ..wire import json_messages as wire
from . import streaming, tasks
from .batches import batching
from .exchange import CONNECT_TIMEOUT, ask, policy
from .guard import Guard
from .spend_log import SpendLog, Spent
from .state import ClientState

URL = "http://localhost:8006"
TIMEOUT = 300.0


def settings_of(
    base_url: str | None,
    api_key: str | Secret | None,
    timeout: float | None,
    verify: Any = True,
    environment: Environment = OWN,
) -> tuple[Settings, float]:
    """Return where and how to ask, and how long to wait: from the arguments, else the environment, else what is
    usual."""
    if timeout is None:
        text = environment.text("CLAUDE_TIMEOUT")
        try:
            timeout = wire.seconds(float(text) if text else TIMEOUT)
        except ValueError:
            raise ClaudeInputError(f"the variable CLAUDE_TIMEOUT is {text!r}: give seconds above 0") from None
    named = environment.address("CLAUDE_API_URL") or URL
    key = hidden(api_key) or environment.secret_for("CLAUDE_API_KEY", base_url, [named])
    settings = Settings(
        "claude",
        base_url or named,
        fit(key, ClaudeInputError),
        timeouts=Timeouts(CONNECT_TIMEOUT, 30.0),
        verify=verify,
        refusal=ClaudeInputError,
    )
    return settings, wire.seconds(timeout)


def _texts(pieces: Any) -> Iterator[str]:
    return (piece for piece in pieces if isinstance(piece, str))


async def _async_texts(pieces: Any) -> AsyncIterator[str]:
    try:
        async for piece in pieces:
            if isinstance(piece, str):
                yield piece
    finally:
        await pieces.aclose()


class Verbs:
    """The verbs of both clients."""

    _state: ClientState
    _driver_type: Callable[[Settings], Any]

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | Secret | None = None,
        timeout: float | None = None,
        max_retries: int = 3,
        project_id: str | None = None,
        retry_delay: float = 1.0,
        *,
        project_keys: Mapping[str, str | Secret] | None = None,
        verify: Any = True,
        clock: Clock | None = None,
    ) -> None:
        base_url, api_key = masked(base_url), hidden(api_key)
        hidden_keys = {name: hidden(key) for name, key in dict(project_keys or {}).items()}
        project_keys = None  # this frame may be shown
        settings, timeout = settings_of(base_url, api_key, timeout, verify)
        settings = clocked(settings, clock, ClaudeInputError)
        if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
            raise ClaudeInputError(f"max_retries={max_retries!r}: give the number of tries in all, such as 3")
        if isinstance(retry_delay, bool) or not isinstance(retry_delay, int | float) or not 0 <= retry_delay <= 300:
            raise ClaudeInputError(f"retry_delay={retry_delay!r}: give seconds from 0 to 300")
        wire.project_of(project_id, None)
        self.base_url = settings.base_url.rstrip("/")
        self.project_id = project_id
        self.max_retries = max_retries
        keys = {name: key for name, secret in hidden_keys.items() if (key := fit(secret, ClaudeInputError)) is not None}
        self._state = ClientState(self._driver_type(settings), timeout, policy(max_retries, retry_delay), keys)

    @property
    def timeout(self) -> float:
        """Seconds that a call may take, by default."""
        return self._state.timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._state.timeout = wire.seconds(seconds)

    @property
    def spent(self) -> Spent:
        """What this client has spent so far, and the number of its calls with unknown cost."""
        return self._state.book.spent

    @property
    def book(self) -> SpendLog:
        """All calls that were or may have been paid."""
        return self._state.book

    @property
    def last_batch(self) -> BatchResponse:
        """What the last `batch()` has brought so far: after an interrupt, the answers that had come and are paid."""
        return batching.summed(list(self._state.last_batch))

    def drive(self, operation: Operation[Any]) -> Any:
        """Run an operation of this service on the client's connections, blocking or awaited like the client's calls."""
        self._state.check_open()
        return self._state.driver.run(operation)

    @verb
    def complete(
        self,
        prompt: str,
        model: str | None = "auto",
        timeout: float | None = None,
        project_id: str | None = None,
    ) -> Operation[Response]:
        """Return the answer to a prompt.

        `model` is "haiku", "sonnet", "opus", or "auto" for the service's choice. `timeout` is in seconds, for the whole
        call and at the service, which takes 1 to 300. A call that may have been paid for is never retried.
        """
        return (
            yield from streaming.complete(
                self._state,
                wire.prompt_text(prompt),
                wire.chosen_model(model),
                self._state.limited(timeout),
                wire.project_of(project_id, self.project_id),
            )
        )

    @verb
    def agentic_task(
        self,
        description: str,
        allow_tools: list[str] | None = None,
        allow_agents: list[str] | None = None,
        allow_skills: list[str] | None = None,
        timeout: float = 300,
        max_cost: float = 1.0,
        model: str | None = None,
        project_id: str | None = None,
        working_directory: str | None = None,
    ) -> Operation[dict[str, Any]]:
        """Run a task with tools, agents and skills; return `status`, `result`, `artifacts`, `execution_log`,
        `usage`.

        `max_cost` in USD is compared by the service after the run: a dearer one raises `BudgetExceededError`, with what
        it did cost. The service takes whole seconds, at most 600.
        """
        return (
            yield from tasks.run(
                self._state,
                wire.prompt_text(description, "description"),
                wire.names(allow_tools, "allow_tools"),
                wire.names(allow_agents, "allow_agents"),
                wire.names(allow_skills, "allow_skills"),
                math.ceil(wire.seconds(timeout)),
                max_cost,
                wire.chosen_model(model),
                wire.project_of(project_id, self.project_id),
                working_directory,
            )
        )

    @verb
    def batch(
        self,
        prompts: Iterable[str | Mapping[str, Any]],
        model: str | None = "auto",
        parallel: bool = True,
        timeout: float | None = None,
        project_id: str | None = None,
    ) -> Operation[BatchResponse]:
        """Return the answers to many prompts, in their order: `results`, each "completed" or "failed", and totals.

        They go at most 50 to a request, one request after the other; the service runs a few of a request at once.
        `parallel=False` sends each by itself. `timeout` is for each prompt. Where a later request fails, what came
        before it, and is paid, is given back, and the rest says why it failed. After an interrupt, `last_batch` has it.
        """
        return (
            yield from batching.batch(
                self._state,
                prompts,
                wire.chosen_model(model),
                parallel,
                self._state.limited(min(30.0, self.timeout) if timeout is None else timeout),
                wire.project_of(project_id, self.project_id),
            )
        )

    def over(self, over: Any, prompt: str, **options: Any) -> Any:
        """Return a batch of a prompt with `{column}` in it over the rows of a DataFrame, not yet run.

        `resume()` runs it and gives the frame; on `AsyncClaudeClient` it is awaited. Options are those of
        `kit.claude.Batch`: `columns`, `model`, `cache`, `repair`, `repeats`, `max_cost` and so on.
        """
        from .batches.runs import AsyncBatch, Batch

        self._state.check_open()
        kind: Any = AsyncBatch if isinstance(self, AsyncFace) else Batch
        return kind(self, Guard(self._state.book), prompt, over=over, **options)

    @verb
    def get_usage(self, period: str = "month", project_id: str | None = None) -> Operation[UsageStats]:
        """Return the usage of a project in the "month", the last "week" or "day", by model, and the rest of its
        limit."""
        if period not in wire.PERIODS:
            raise ClaudeInputError(f"period={period!r} is not a period", hint=f"choose from {', '.join(wire.PERIODS)}")
        project = wire.project_of(project_id, self.project_id)
        params = {"period": period, "project_id": project}
        answer = yield from ask(
            self._state, "GET", "/v1/usage", "get_usage", params=params, within=min(30, self.timeout), project=project
        )
        stats = wire.stats_of(answer)
        self._state.note_project(project, stats.project_id)
        return stats

    @verb
    def health(self) -> Operation[dict[str, Any]]:
        """Return the service's health: `status`, `version`, `services`. "degraded" is the usual state of one without
        Redis."""
        return wire.parsed(
            (yield from ask(self._state, "GET", "/health", "health", within=min(10, self.timeout))), "health"
        )

    @verb
    def capabilities(self) -> Operation[dict[str, Any]]:
        """Return the agents and skills that tasks may ask for."""
        within = min(30, self.timeout)
        answer = yield from ask(self._state, "GET", "/v1/capabilities", "capabilities", within=within)
        return wire.parsed(answer, "capabilities")

    @verb
    def route(self, prompt: str, context_size: int = 0, project_id: str | None = None) -> Operation[str]:
        """Return the model that the service would choose for a prompt."""
        project = wire.project_of(project_id, self.project_id)
        return (yield from batching.route(self._state, wire.prompt_text(prompt), project, context_size))

    def _about(self) -> str:
        project = f", project {self.project_id}" if self.project_id else ""
        return one_line(f"<{type(self).__name__} at {self.base_url}{project}>")

    @coloured(_texts, _async_texts)
    def stream(
        self,
        prompt: str,
        model: str | None = "auto",
        timeout: float | None = None,
        project_id: str | None = None,
        *,
        transport: Transport = "http",
    ) -> Any:
        """Return the answer to a prompt, piece by piece.

        By "http" the service gives it whole, and the pieces are cut here; "ws" asks its WebSocket, which embedded
        servers really stream and the hosted service does not.
        """
        return streaming.opened(
            self._state, prompt, model, timeout, wire.project_of(project_id, self.project_id), transport
        )


class ClaudeClient(Verbs, SyncFace[ClientState]):
    """The Claude Code API service with calls that block.

    >>> ClaudeClient("http://127.0.0.1:1", api_key="cc_00", project_id="demo")
    <ClaudeClient at http://127.0.0.1:1, project demo>

    Without arguments it reads `CLAUDE_API_URL`, `CLAUDE_API_KEY` and `CLAUDE_TIMEOUT`. `max_retries` is how often a
    call is tried in all; only calls that cannot have run are repeated. A key belongs to a project, and the service
    charges that project whatever `project_id` says; use `project_keys={project: key}` to switch. Debug records go to
    the logger `client`.
    """

    _driver_type = Driver
    _twin: AsyncClaudeClient | None = None

    def beside(self) -> AsyncClaudeClient:
        """Return the same client for the background loop; its calls are in the same book."""
        self._state.check_open()
        if self._twin is None:
            settings = self._state.driver.settings
            self._twin = AsyncClaudeClient(
                settings.base_url,
                settings.credential,
                self.timeout,
                self.max_retries,
                self.project_id,
                self._state.policy.base,
                project_keys=self._state.project_keys,
                verify=settings.verify,
                clock=settings.clock,
            )
            state_of(self._twin).book = self._state.book
        # Either may have been set since.
        self._twin.timeout, self._twin.project_id = self.timeout, self.project_id
        return self._twin

    def close(self) -> None:
        """Close the connections."""
        super().close()
        twin, self._twin = self._twin, None
        if twin is not None:
            loop.call(twin.close)


class AsyncClaudeClient(Verbs, AsyncFace[ClientState]):
    """The Claude Code API service with calls that are awaited; the same verbs and arguments as `ClaudeClient`.

    >>> AsyncClaudeClient("http://127.0.0.1:1", api_key="cc_00", project_id="demo")
    <AsyncClaudeClient at http://127.0.0.1:1, project demo>
    """

    _driver_type = AsyncDriver
