"""Agent sessions: each runs as its own task and stores every step, so that it resumes after a restart.

A step is one transaction: the session's new state, its events, its artifact and its webhook deliveries are stored
together or not at all. No event is lost or repeated, whenever the process is killed.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import uuid
from collections.abc import Callable
from typing import Any

from ...common.store import Store
from ..answers import Refusal
from ..fields import now
from ..pages.deliveries import Deliveries
from ..sql.sandbox import Sandbox
from .plans import Plan, Step, plan, request_for
from .records import AWAITING, ENDED, EVENT_OF, RUNNING, Record, artifact_shown, insert, result_of, shown


class Sessions:
    """All sessions of the server."""

    def __init__(self, store: Store, sandbox: Sandbox, deliveries: Deliveries) -> None:
        self._store = store
        self._sandbox = sandbox
        self._deliveries = deliveries
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._bells: dict[str, asyncio.Event] = {}

    def start(self) -> None:
        """Resume the sessions that were running when the server ended."""
        for row in self._store.read("select id from sessions where status = ?", (RUNNING,)):
            self._go(row["id"])

    async def stop(self) -> None:
        """Stop the tasks; the sessions continue at the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def run(self, profile: str, task: str, params: dict[str, Any]) -> str:
        """Start a session; its id."""
        session_id = f"plat_{uuid.uuid4()}"
        steps = plan(profile, task, params).last

        def begin(db: sqlite3.Connection) -> None:
            insert(db, session_id, profile, task, params, steps, now())
            record = Record(db, session_id)
            record.say("session.started", {"profile_id": profile, "task": task, "steps": steps})

        await self._store.write(begin)
        self._go(session_id)
        return session_id

    async def resume(self, session_id: str, given: dict[str, Any]) -> None:
        """Give a waiting session its input."""

        def take(db: sqlite3.Connection) -> None:
            row = db.execute("select * from sessions where id = ?", (session_id,)).fetchone()
            if row is None:
                raise _unknown(session_id)
            if row["status"] != AWAITING:
                raise Refusal(409, f"session {session_id} is not waiting for input; it is {row['status']}")
            record = Record(db, session_id)
            record.say("session.resumed", {"input": given})
            record.change(status=RUNNING, input_request=None)
            action = given.get("action")
            if action in ("finish", "cancel"):
                script = _plan_of(row)
                step = Step("Done", 0, ends="complete") if action == "finish" else Step("Canceled", 0, ends="canceled")
                self._apply(db, row, script, step, None)

        await self._store.write(take)
        self._ring(session_id)
        self._deliveries.wake()
        self._go(session_id)

    def shown(self, session_id: str) -> dict[str, Any]:
        """Return the status object."""
        return shown(self._row(session_id))

    def _row(self, session_id: str) -> sqlite3.Row:
        rows = self._store.read("select * from sessions where id = ?", (session_id,))
        if not rows:
            raise _unknown(session_id)
        return rows[0]

    def ended(self, session_id: str) -> bool:
        return self._row(session_id)["status"] in ENDED

    def last_event(self, session_id: str) -> int:
        """Return the id of the newest event."""
        return int(self._row(session_id)["events"])

    def events(self, session_id: str, after: int, limit: int) -> list[tuple[int, str, bytes]]:
        """Return the events after one, each with its id, its type and its frame for the stream."""
        rows = self._store.read(
            "select id, type, body from events where session_id = ? and id > ? order by id limit ?",
            (session_id, after, limit),
        )
        return [
            (row["id"], row["type"], f"id: {row['id']}\nevent: {row['type']}\ndata: {row['body']}\n\n".encode())
            for row in rows
        ]

    def bell(self, session_id: str) -> asyncio.Event:
        """Return an event that is set at the session's next step."""
        return self._bells.setdefault(session_id, asyncio.Event())

    async def settled(self, session_id: str, seconds: float) -> dict[str, Any]:
        """Return the status object when the session has ended or waits, or when the time is over."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    bell = self.bell(session_id)
                    if self.shown(session_id)["status"] != RUNNING:
                        break
                    await bell.wait()
        except TimeoutError:
            pass
        return self.shown(session_id)

    def _ring(self, session_id: str) -> None:
        bell = self._bells.pop(session_id, None)
        if bell is not None:
            bell.set()

    def _go(self, session_id: str) -> None:
        before = self._tasks.get(session_id)
        if before is not None and not before.done():
            return  # it has not checked yet, and will find the new work itself
        task = asyncio.ensure_future(self._drive(session_id))
        self._tasks[session_id] = task

        def done(ended: asyncio.Task[None]) -> None:
            if self._tasks.get(session_id) is ended:
                del self._tasks[session_id]

        task.add_done_callback(done)

    async def _drive(self, session_id: str) -> None:
        """Take one step after the other until the session ends or waits."""
        script = _plan_of(self._row(session_id))
        while True:
            row = self._row(session_id)
            if row["status"] != RUNNING:
                return
            step = script.steps[row["position"]]
            await asyncio.sleep(step.seconds)
            rows = await self._looked_up(step)
            await self._store.write_once_possible(self._taking(row, script, step, rows))
            self._ring(session_id)
            self._deliveries.wake()

    async def _looked_up(self, step: Step) -> list[dict[str, Any]] | None:
        if step.sql is None:
            return None
        try:
            return (await self._sandbox.query(step.sql, 20)).values()
        except Refusal:
            return []  # no engine at the moment; the session need not fail

    def _taking(
        self, row: sqlite3.Row, script: Plan, step: Step, rows: list[dict[str, Any]] | None
    ) -> Callable[[sqlite3.Connection], None]:
        def take(db: sqlite3.Connection) -> None:
            current = db.execute("select * from sessions where id = ?", (row["id"],)).fetchone()
            if current["status"] == RUNNING and current["position"] == row["position"]:
                self._apply(db, current, script, step, rows)

        return take

    def _apply(
        self, db: sqlite3.Connection, row: sqlite3.Row, script: Plan, step: Step, rows: list[dict[str, Any]] | None
    ) -> None:
        """Write one step down."""
        record = Record(db, row["id"])
        read, written = step.tokens
        record.change(
            position=row["position"] + 1,
            step=step.name,
            turns=row["turns"] + bool(step.text),
            input_tokens=row["input_tokens"] + read,
            output_tokens=row["output_tokens"] + written,
        )
        if step.ends:
            self._finish(db, record, row, script, step.ends)
        elif step.ask:
            request = request_for(step.ask, row["task"])
            record.change(status=AWAITING, input_request=json.dumps(request))
            record.say("session.awaiting_input", {"input_request": request})
        else:
            progress = round((row["position"] + 1) / script.last, 4)
            record.say("step.started", {"step": step.name, "index": row["position"], "progress": progress})
            if step.sql is not None:
                record.say("tool.call", {"tool": "data.query", "sql": step.sql})
                record.say("tool.result", {"tool": "data.query", "rows": rows})
            if step.artifact:
                self._artifact(db, record, script, step.artifact)
            record.say("message", {"role": "assistant", "text": step.text})
            record.say("step.completed", {"step": step.name, "index": row["position"], "progress": progress})

    def _finish(self, db: sqlite3.Connection, record: Record, row: sqlite3.Row, script: Plan, status: str) -> None:
        artifacts = db.execute("select * from artifacts where session_id = ?", (row["id"],)).fetchall()
        outcome: dict[str, Any]
        if status == "failed":
            error = {"code": "agent_failed", "message": script.failure or "the agent failed"}
            record.change(status=status, error=json.dumps(error))
            outcome = {"error": error}
        else:
            result = None if status == "canceled" else result_of(row, script, artifacts)
            record.change(status=status, position=script.last + 1, result=json.dumps(result) if result else None)
            outcome = {"result": result} if result else {}
        record.say(EVENT_OF[status], {"status": status, **outcome})
        if status != "canceled":
            self._deliveries.put(
                db,
                EVENT_OF[status],
                {
                    "session_id": row["id"],
                    "profile_id": row["profile_id"],
                    "task": row["task"],
                    "status": status,
                    **outcome,
                },
            )

    def _artifact(self, db: sqlite3.Connection, record: Record, script: Plan, change: str) -> None:
        session_id = record.session_id
        row = db.execute("select * from artifacts where session_id = ?", (session_id,)).fetchone()
        if change == "create":
            artifact_id = f"art_{uuid.uuid5(uuid.NAMESPACE_OID, session_id).hex[:24]}"
            db.execute(
                "insert into artifacts values (?, ?, 'document', ?, 'draft', 1, ?)",
                (artifact_id, session_id, script.title, f"# {script.title}\n\nA first draft."),
            )
            artifact = artifact_shown(db.execute("select * from artifacts where id = ?", (artifact_id,)).fetchone())
            self._tell(db, record, "artifact.created", {"artifact": artifact})
        elif row is not None and change == "revise":
            version = row["current_version"] + 1
            db.execute(
                "update artifacts set current_version = ?, content = ? where id = ?",
                (version, f"# {script.title}\n\nThe revised text.", row["id"]),
            )
            summary = "Shortened the opening, checked the figures"
            self._tell(
                db,
                record,
                "artifact.updated",
                {"artifact_id": row["id"], "version": version, "change_summary": summary},
            )
        elif row is not None:
            db.execute("update artifacts set status = 'final' where id = ?", (row["id"],))
            moved = {"artifact_id": row["id"], "previous_status": row["status"], "new_status": "final"}
            self._tell(db, record, "artifact.status_changed", moved)

    def _tell(self, db: sqlite3.Connection, record: Record, event: str, data: dict[str, Any]) -> None:
        """Send an event to the stream and to webhooks alike."""
        record.say(event, data)
        self._deliveries.put(db, event, data)


def _plan_of(row: sqlite3.Row) -> Plan:
    return plan(row["profile_id"], row["task"], json.loads(row["input_params"]))


def _unknown(session_id: str) -> Refusal:
    return Refusal(404, f"no session has the id {session_id[:80]!r}")
