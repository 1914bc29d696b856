"""Webhook deliveries: an outbox in the database, and the tasks that send from it.

A delivery is stored in the same transaction as its event, and leaves the outbox when a receiver has answered 2xx or all
tries are used up. After a restart the waiting ones are sent: a receiver may get one twice, but never misses one. Each
webhook gets its deliveries in order; a slow webhook does not delay others.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import sqlite3
from typing import TYPE_CHECKING, Any

from ...common.store import Store
from ..answers import compact
from ..fields import now, stamp

if TYPE_CHECKING:
    import httpx

BUSINESS = "biz_lab"
TRIES = 4
TIMEOUT = 5.0
_KEPT = 10_000
"""Finished deliveries that are kept."""
PENDING, DELIVERED, GAVE_UP, DROPPED = STATUSES = ("pending", "delivered", "gave_up", "dropped")


class Deliveries:
    """The outbox of webhook deliveries."""

    def __init__(self, store: Store, retry_seconds: float) -> None:
        self._store = store
        self._retry_seconds = retry_seconds
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._client: httpx.AsyncClient | None = None

    async def start(self) -> None:
        """Clear old records and continue with waiting deliveries."""
        if self._store.read("select count(*) from deliveries")[0][0] > _KEPT:
            await self._store.write(
                lambda db: db.execute(
                    "delete from deliveries where status <> 'pending' and seq < (select max(seq) - ? from deliveries)",
                    (_KEPT,),
                )
            )
        self.wake()

    async def stop(self) -> None:
        """Stop the tasks; what waits is sent after the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def put(self, db: sqlite3.Connection, event: str, data: dict[str, Any]) -> None:
        """Queue an event for each active webhook that wants it, within the transaction of what happened."""
        at = now()
        body: bytes | None = None
        for hook in db.execute("select id, events from webhooks where active = 1 order by seq").fetchall():
            if event in hook["events"].split():
                body = body or compact({"event": event, "business_id": BUSINESS, "timestamp": stamp(at), **data})
                db.execute(
                    "insert into deliveries (id, webhook_id, event, body, status, words, created_at, updated_at)"
                    " values (?, ?, ?, ?, ?, ?, ?, ?)",
                    (f"dlv_{secrets.token_hex(12)}", hook["id"], event, body, PENDING, event, at, at),
                )

    def audit(self, db: sqlite3.Connection, action: str, resource_id: str) -> None:
        """Queue an event about a write that a user made."""
        entry = {
            "id": f"aud_{secrets.token_hex(12)}",
            "action": action,
            "resource_type": action.split(".")[0],
            "resource_id": resource_id,
            "created_at": stamp(now()),
        }
        self.put(db, "audit_log.entry_created", {"entry": entry})

    def wake(self) -> None:
        """Start sending what has been committed."""
        for row in self._store.read("select distinct webhook_id from deliveries where status = 'pending'"):
            hook_id = row["webhook_id"]
            if hook_id not in self._tasks:
                task = asyncio.ensure_future(self._drain(hook_id))
                self._tasks[hook_id] = task

    async def _drain(self, hook_id: str) -> None:
        try:
            while True:
                waiting = self._store.read(
                    "select * from deliveries where webhook_id = ? and status = 'pending' order by seq limit 1",
                    (hook_id,),
                )
                if not waiting:
                    return
                await self._deliver(waiting[0])
        finally:
            # In the same turn of the loop as the empty result, so that no wake-up is lost in between.
            del self._tasks[hook_id]

    async def _deliver(self, delivery: sqlite3.Row) -> None:
        """Try one delivery until it is settled."""
        attempts = delivery["attempts"]
        while True:
            hooks = self._store.read("select * from webhooks where id = ?", (delivery["webhook_id"],))
            if not hooks or not hooks[0]["active"]:
                return await self._settle(delivery, DROPPED, attempts, "the webhook is gone or not active")
            attempts += 1
            error = await self._try(hooks[0], delivery)
            if error is None:
                return await self._settle(delivery, DELIVERED, attempts, None)
            if attempts >= TRIES:
                return await self._settle(delivery, GAVE_UP, attempts, error)
            await self._settle(delivery, PENDING, attempts, error)
            await asyncio.sleep(self._retry_seconds * 2 ** (attempts - 1))

    async def _try(self, hook: sqlite3.Row, delivery: sqlite3.Row) -> str | None:
        """Send it once; what went wrong, or None."""
        import httpx

        if self._client is None:
            # Proxies are for other machines; receivers are on this one.
            self._client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=TIMEOUT)
        body = bytes(delivery["body"])
        signature = hmac.new(hook["secret"].encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "kit-lab-webhooks",
            "X-Webhook-Event": delivery["event"],
            "X-Webhook-Delivery": delivery["id"],
            "X-Webhook-Signature": signature,
            "X-Amdahl-Signature": f"sha256={signature}",
        }
        try:
            async with asyncio.timeout(TIMEOUT):
                async with self._client.stream("POST", hook["url"], content=body, headers=headers) as response:
                    return None if response.is_success else f"the receiver answered {response.status_code}"
        except (TimeoutError, httpx.TimeoutException):
            return f"the receiver did not answer within {TIMEOUT:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return f"{type(error).__name__}: {error}"[:200]

    async def _settle(self, delivery: sqlite3.Row, status: str, attempts: int, error: str | None) -> None:
        at = now()

        def write(db: sqlite3.Connection) -> None:
            db.execute(
                "update deliveries set status = ?, attempts = ?, last_error = ?, updated_at = ? where seq = ?",
                (status, attempts, error, at, delivery["seq"]),
            )
            if status == DELIVERED:
                db.execute("update webhooks set last_delivery_at = ? where id = ?", (at, delivery["webhook_id"]))
            elif status == GAVE_UP:
                db.execute(
                    "update webhooks set failure_count = failure_count + 1, last_error = ? where id = ?",
                    (error, delivery["webhook_id"]),
                )

        await self._store.write_once_possible(write)
