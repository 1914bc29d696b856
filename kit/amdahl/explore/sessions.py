"""Agent sessions in a notebook: a handle on one, the list of those started here, and a run with progress."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...core import progress
from ...core.errors import KitError
from ...core.faces import state_of
from ...core.html import one_line, table, text
from ...core.tables.into import GivesFrames
from ..client import agents
from ..client.client import AmdahlClient
from ..client.exchange import PATIENT
from ..errors import AmdahlInputError
from ..types import TERMINAL, AgentSession, SessionEvent
from .listings import session_schema, with_varying

if TYPE_CHECKING:
    import pandas as pd

    from ...live.view import LiveView
    from .feeding import SessionSource

Answer = Mapping[str, Any] | str | Callable[[Any], Mapping[str, Any] | str | None] | None
"""The input for a paused session: a dict, a text, or a function that is given the question and returns one of these."""

_POLL_FIRST, _POLL_LAST = 0.15, 2.0


class Session:
    """One agent session: `status()`, `events()`, `resume(...)`, `wait()`; the last known state is in `state`.

    Made by `a.run(...)`, `a.start(...)` or `a.sessions[id]`; making it costs no traffic.
    """

    def __init__(self, client: AmdahlClient, session_id: str, state: AgentSession | None = None) -> None:
        self._client = client
        self.id = session_id
        self.state: dict[str, Any] = dict(state or {})
        if not session_id or not isinstance(session_id, str):
            raise AmdahlInputError(
                f"{session_id!r} is not a session id", hint="they look like plat_… and come from a.run(...)"
            )

    @property
    def result(self) -> Any:
        """The result of the session, as last known; None until it is complete."""
        return self.state.get("result")

    def status(self) -> dict[str, Any]:
        """Return the current state of the session from the service."""
        self.state = dict(state_of(self._client).driver.run(agents.status_of(self._client, self.id, PATIENT)))
        return self.state

    def resume(self, answer: Mapping[str, Any] | str) -> Session:
        """Give a paused session its input; a text means `{"message": text}`."""
        value = {"message": answer} if isinstance(answer, str) else dict(answer)
        self.state.update(agents.resume_agent(self._client, self.id, value))
        return self

    def wait(self, timeout: float = 600.0) -> Session:
        """Wait until the session has ended or asks for input, and return it."""
        self.state = dict(agents.wait_for_agent(self._client, self.id, interval_s=0.5, timeout_s=timeout))
        return self

    def events(self) -> pd.DataFrame:
        """Return the log of a session, one row per event: its id, time, type, and its data as JSON text.

        It waits for the end of a session that still runs. One that is paused would keep this waiting, so its log
        ends at the pause.
        """
        import pyarrow as pa

        from ...core.tables.frames import from_rows

        rows = [
            {
                "id": event.id or None,
                "time": event.payload.get("timestamp"),
                "type": event.payload["type"],
                "data": json.dumps(event.payload.get("data"), ensure_ascii=False),
            }
            for event in self._until_pause()
        ]
        schema = pa.schema(
            [("id", pa.string()), ("time", pa.timestamp("ms", "UTC")), ("type", pa.string()), ("data", pa.string())]
        )
        return from_rows(rows, schema, session_id=self.id)

    def live(self, *, where: Any = None, rows: int = 20, from_checkpoint: Any = None, **columns: Any) -> LiveView:
        """Return a live view of all events of the session, past and future. It ends with the session.

        `where`, or `column=value` such as `type="step.completed"`, says which; see `kit.Feed`.
        """
        from ...live.view import live

        return live(self._source(), rows, where, {"from_checkpoint": from_checkpoint}, columns)

    def _source(self) -> SessionSource:
        from .feeding import SessionSource

        return SessionSource(self._client, self.id)

    def _until_pause(self) -> Iterator[SessionEvent]:
        walk = agents.follow(self._client, self.id, lambda event: event)
        events = state_of(self._client).driver.walk(walk)
        paused_after = None
        if self.status()["status"] == "awaiting_input":
            paused_after = "awaiting"
        for event in events:
            yield event
            if paused_after and paused_after in event.payload["type"]:
                if self.status()["status"] == "awaiting_input":
                    events.close()
                    return
                paused_after = None

    def __repr__(self) -> str:
        return one_line(f"<Session {self.id}: {self.state.get('status', 'not asked yet')}>")

    def _repr_html_(self) -> str:
        known = [(key, value) for key, value in self.state.items() if key != "session_id"]
        more = {"awaiting_input": "It waits: .resume({...}). ", "running": ".live() shows it, .wait() waits for it. "}
        hint = more.get(self.state.get("status", ""), "") + ".events() returns its log."
        return text(f"Session {self.id}. {hint}") + table(("field", "value"), known)


class Sessions(GivesFrames):
    """The sessions started here: call it for a frame of their states, index it for a handle on one."""

    def __init__(self, client: AmdahlClient) -> None:
        self._client = client
        self._known: dict[str, Session] = {}

    def __call__(self) -> pd.DataFrame:
        """Return one row per session started here; the state of unfinished ones is requested again."""
        from ...core.tables.frames import from_rows

        rows = []
        for session in self._known.values():
            if session.state.get("status") not in TERMINAL:
                session.status()
            rows.append(session.state)
        return from_rows(rows, session_schema() if rows else with_varying(session_schema(), ("result",)))

    def __getitem__(self, session_id: str) -> Session:
        return self._known.get(session_id) or Session(self._client, session_id)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._known.values()))

    def __len__(self) -> int:
        return len(self._known)

    def add(self, session: Session) -> Session:
        """Remember a session that was started here."""
        self._known[session.id] = session
        return session

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._known)

    def __repr__(self) -> str:
        return f"<{len(self)} sessions started here; call it for a DataFrame, index it by session id>"

    def _repr_html_(self) -> str:
        rows = [(session.id, session.state.get("status"), session.state.get("task")) for session in self]
        return text(repr(self)[1:-1]) + table(("session_id", "last known status", "task"), rows)


def watch(session: Session, answer: Answer, timeout: float) -> Session:
    """Show a session's progress until it has ended, and answers it where it pauses.

    Without an answer, and with no user to ask, a paused session is returned as it is.
    """
    deadline = time.monotonic() + timeout
    pause = _POLL_FIRST
    bar = progress.bar(1.0, what=session.id[:13], unit="", bar_format="{desc} {percentage:3.0f}% |{bar}| {postfix}")
    try:
        while True:
            state = session.status()
            done = state.get("progress")
            if isinstance(done, int | float):
                bar.n = max(bar.n, min(1.0, float(done)))
            bar.set_postfix_str(str(state.get("step") or state["status"])[:60])
            if state["status"] in TERMINAL:
                return session
            if state["status"] == "awaiting_input":
                reply = _answer_to(state, answer)
                if reply is None:
                    return session
                session.resume(reply)
                pause = _POLL_FIRST
                continue
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"session {session.id} was still running after {timeout:g} s; it continues at the service"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, _POLL_LAST)
    finally:
        bar.close()


def _answer_to(state: Mapping[str, Any], answer: Answer) -> Mapping[str, Any] | str | None:
    """Return the input for a pause: from the caller, else from the user at the notebook, else None."""
    prompt = state.get("input_request")
    if callable(answer):
        return answer(prompt)
    if answer is not None:
        return answer
    if not _can_ask_user():
        return None
    question = (
        prompt.get("prompt") or prompt.get("message") or prompt.get("type") if isinstance(prompt, dict) else prompt
    )
    try:
        reply = input(f"{question or 'The session waits for input'} (empty: leave it paused) ")
    except (EOFError, KitError):
        return None
    return reply or None


def _can_ask_user() -> bool:
    """Return whether the user can be asked: in a kernel whose front end takes input, or in a terminal."""
    if "ipykernel" in sys.modules:
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
        kernel = getattr(shell, "kernel", None)
        return bool(getattr(kernel, "_allow_stdin", False))
    return sys.stdin is not None and sys.stdin.isatty()
