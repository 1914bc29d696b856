"""Amdahl in a notebook: queries, pages, agents and webhooks as DataFrames."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from ...core.clock import Clock
from ...core.environment import Environment
from ...core.errors import KitError, warn
from ...core.explorer import Explorer
from ...core.faces import state_of
from ...core.log.places import count_of
from ...core.secrets import Secret, hidden, masked
from ..client import agents, data, paging, webhooks
from ..client.client import AmdahlClient, settings_of
from ..client.exchange import PATIENT, exchange
from ..errors import AmdahlInputError
from ..types import WebhookEvent
from ..wire import json_messages as wire
from .listings import page_schema, webhook_schema, with_varying
from .receiver import Deliveries
from .sessions import Answer, Session, Sessions, watch

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ...live.view import LiveView


CLIENT = AmdahlClient


def connect(
    environment: Environment | Mapping[str, str],
    *,
    url: str | None = None,
    base_url: str | None = None,
    api_key: str | Secret | None = None,
    timeout: float | None = 30.0,
    api_version: str | None = None,
    verify: Any = True,
    clock: Clock | None = None,
) -> Amdahl:
    """Return the explorer for `kit.connect("amdahl", ...)`."""
    environment = Environment(environment)
    url, api_key = masked(url or base_url), hidden(api_key)
    base_url = url
    settings = settings_of(url, api_key, timeout, api_version, verify, environment, "url= or base_url")
    assert settings.credential is not None
    options: dict[str, Any] = {"api_version": api_version, "verify": verify, "clock": clock}
    return Amdahl(AmdahlClient(settings.base_url, settings.credential, timeout, **options))


class Amdahl(Explorer[AmdahlClient]):
    """Explore the Amdahl Platform: every verb returns a DataFrame or a handle.

    >>> import kit
    >>> with kit.Lab("amdahl", join=False) as lab:
    ...     lab.amdahl.query("select count(*) as n from interactions")["n"].tolist()
    [50000]

    `client` is the plain client, for calls that have no verb here.
    """

    service = "amdahl"
    title = "Amdahl"
    tree = "kit.amdahl.explore.browsing"
    shown = ".query(sql), .explore(), .pages(), .webhooks(), .run(profile, task)"
    tries = (
        (".query(sql)", "the rows of a SELECT over interactions"),
        (".explore()", "its columns, with samples"),
        (".pages(), .webhooks()", "what is set up"),
        (".run(profile, task)", "an agent's session, followed to its end"),
        (".sessions(), .live(session_id)", "the sessions started here; one as it goes on"),
        (".deliveries(), .deliveries().live()", "webhook deliveries, as they arrive"),
        (".metrics()", "rate limit and usage"),
    )

    def __init__(self, client: AmdahlClient) -> None:
        super().__init__(client)
        self.sessions = Sessions(client)
        """The sessions started here: call it for a frame, index it for a handle."""

    def query(self, sql: str, limit: int | None = None) -> pd.DataFrame:
        """Return the result of a SELECT over `interactions`, typed by the server's schema: an empty result has the same
        types.

        The service gives 1000 rows unless `limit` asks for more. A result that was cut says so: by a warning, and in
        `df.attrs["truncated"]`.
        """
        from ...core.tables.frames import to_frame

        most = _limit(limit)
        result = self._run(data.query_columns(self.client, sql, most))
        attrs = {"truncated": result.truncated, "row_count": result.row_count}
        if result.notes:
            attrs["notes"] = result.notes
            warn("; ".join(result.notes))
        if result.truncated and most is None:  # the caller chose this limit
            warn(f"the result was cut at {result.table.num_rows:,} rows; ask for more with limit=")
        return to_frame(result.table, attrs, nullable=result.typed)

    def arrow(self, sql: str, limit: int | None = None) -> pa.RecordBatchReader:
        """Return the same result as Arrow batches, in the server's own types. The service sends it in one answer.

        The answer is decoded as it arrives. A result that was cut says so by a warning, as in `query`.
        """
        most = _limit(limit)
        result = self._run(data.query_columns(self.client, sql, most))
        notes = list(result.notes)
        if result.truncated and most is None:
            notes.append(f"the result was cut at {result.table.num_rows:,} rows; ask for more with limit=")
        for note in notes:
            warn(note)
        return result.table.to_reader(65_536)

    def explore(self, scope: str = "schema", *, include_samples: bool = True) -> pd.DataFrame:
        """Return the columns of the table, one row for each, with its type and sample values.

        `scope` is "schema", "clusters", "knowledge" or "all"; the whole answer is in `df.attrs["answer"]`.
        """
        from ...core.tables.frames import from_rows

        body = {"scope": scope, "include_samples": include_samples}
        response = self._run(
            exchange(self.client, "POST", "/data/explore", body, op="explore", policy=PATIENT, safe=True)
        )
        answer = wire.judge(response)
        return from_rows(_first_rows(answer, scope), answer=answer)

    def pages(self, **filters: Any) -> pd.DataFrame:
        """Return one row per page, newest first. Filters are the service's: `status=`, `q=`, `created_at_gte=`, ..."""
        return self._listing("/pages", filters, page_schema(), ("spec",))

    def webhooks(self) -> pd.DataFrame:
        """Return one row per webhook, without their secrets: the service shows a secret once, at registration."""
        return self._listing("/webhooks", {}, webhook_schema())

    def me(self) -> dict[str, Any]:
        """Return the owner of the key and its permissions."""
        context: dict[str, Any] = self.client.get("/me/context")
        return context

    def start(self, profile: str, task: str, **input: Any) -> Session:
        """Start a session, and return it. It runs at the service."""
        state = agents.start_agent(self.client, profile_id=profile, task=task, input_params=input)
        return self.sessions.add(Session(self.client, state["session_id"], state))

    def run(self, profile: str, task: str, *, answer: Answer = None, timeout: float = 600.0, **input: Any) -> Session:
        """Return an agent's session, followed to its end with a progress bar.

        Where the session pauses for input, `answer` is given: a dict, a text, or a function of what it asks for.
        Without one you are asked below the cell; where no question can be asked, the paused session is
        returned, to be resumed by hand.
        """
        return watch(self.start(profile, task, **input), answer, timeout)

    def events(self, session_id: str) -> pd.DataFrame:
        """Return the log of a session, one row per event. Wait for the end of a running session."""
        return self.sessions[session_id].events()

    def live(self, session_id: str, **options: Any) -> LiveView:
        """Return a live view of a session's events. The options are those of `a.sessions[id].live()`."""
        return self.sessions[session_id].live(**options)

    def deliveries(
        self,
        port: int = 0,
        *,
        events: list[WebhookEvent] | None = None,
        secret: str | Secret | None = None,
        register: bool = True,
    ) -> Deliveries:
        """Return a receiver for webhook deliveries on this machine: verifies each over its raw bytes and lists it.

        It registers a webhook for `events` (all by default) that sends to it, and deletes it on `close()`.
        `register=False` with the `secret` of a webhook that exists only listens, behind a tunnel of your own, say.
        """
        if not register:
            if secret is None:
                raise AmdahlInputError("register=False needs secret=, that of the webhook that sends here")
            return Deliveries(secret, port)
        import secrets as random

        def registered(url: str, secret: Secret) -> tuple[Secret, Callable[[], None]]:
            hook = webhooks.register_webhook(
                self.client,
                url=url,
                events=list(events or get_args(WebhookEvent)),
                description="kit: deliveries to this notebook",
                secret=secret.reveal(),
            )
            # A service that makes its own secrets may ignore the given one.
            return Secret(hook.get("secret") or secret), partial(self._take_back, hook["id"])

        return Deliveries(secret or random.token_hex(32), port, registered)

    def _take_back(self, hook_id: str) -> None:
        try:
            webhooks.delete_webhook(self.client, hook_id)
        except KitError as error:
            warn(f"webhook {hook_id} could not be deleted: {error}")

    def metrics(self) -> pd.DataFrame:
        """Return the rate limit and the usage of the sessions started here, as tidy rows.

        Columns: time, metric, value, unit, and the labels session_id, profile, status.
        """
        from ...core.metrics import Sample, tidy

        samples: list[Sample] = []
        now = round(time.time() * 1000)
        if self.client.rate_limit is None:
            self.me()
        limit = self.client.rate_limit
        if limit is not None:
            time_ms = round(limit.seen_at * 1000)
            if limit.remaining is not None:
                samples.append(Sample(time_ms, "rate_limit_remaining", limit.remaining, "requests"))
            if limit.reset is not None:
                # Some servers send the time, others the seconds until then.
                left = limit.reset - limit.seen_at if limit.reset > 1e9 else limit.reset
                samples.append(Sample(time_ms, "rate_limit_reset", max(0.0, left), "s"))
        self.sessions()
        for session in self.sessions:
            state = session.state
            of = {"session_id": session.id, "profile": state.get("profile_id"), "status": state.get("status")}
            usage = state.get("usage")
            for name, value in usage.items() if isinstance(usage, dict) else ():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    samples.append(Sample(now, f"session_{name}", value, "tokens" if "tokens" in name else "count", of))
        return tidy(samples, ("session_id", "profile", "status"))

    def _where(self) -> str:
        """Return the address."""
        return self.client.base_url

    def _listing(
        self, path: str, filters: Mapping[str, Any], schema: pa.Schema, varying: tuple[str, ...] = ()
    ) -> pd.DataFrame:
        from ...core.tables.frames import from_rows

        walk = paging.items(self.client, path, params=dict(filters), policy=PATIENT)
        rows = [*state_of(self.client).driver.walk(walk)]
        return from_rows(rows, schema if rows else with_varying(schema, varying))

    def _run(self, operation: Any) -> Any:
        return state_of(self.client).driver.run(operation)


def _first_rows(answer: Any, scope: str) -> list[dict[str, Any]]:
    """Return the list of objects in an answer that best fits the scope; an object without one is a row per key."""
    if isinstance(answer, list):
        return [row for row in answer if isinstance(row, dict)]
    if not isinstance(answer, dict):
        return []
    for key in (scope, "schema", "columns", *answer):
        value = answer.get(key)
        if isinstance(value, dict):
            value = value.get("columns") or value.get("items")
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            return value
    return [{"key": key, "value": value} for key, value in answer.items()]


def _limit(given: Any) -> int | None:
    if isinstance(given, str | list | tuple | dict):
        raise AmdahlInputError(
            f"{given!r:.80} is not a limit, and the service accepts no parameters",
            hint="write the value in the SQL; in a cell, %%amdahl inserts {expressions} safely",
        )
    return count_of(given, "limit", AmdahlInputError)
