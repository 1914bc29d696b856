"""Webhooks: managing them, and verifying deliveries."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, cast
from urllib.parse import quote

from ...core.faces import helper
from ...core.http.operations import Operation
from ..types import Webhook
from ..wire import json_messages as wire
from .exchange import exchange

SIGNATURE_HEADERS = ("x-webhook-signature", "x-amdahl-signature")


@helper
def register_webhook(
    client: Any, *, url: str, events: list[str], description: str | None = None, secret: str | None = None
) -> Operation[Webhook]:
    """Return the new webhook, with the `secret` that its deliveries are signed with; it is shown only once."""
    payload: dict[str, Any] = {"url": url, "events": events}
    if description:
        payload["description"] = description
    if secret:
        payload["secret"] = secret
    return cast(Webhook, wire.judge((yield from exchange(client, "POST", "/webhooks", payload, op="register_webhook"))))


@helper
def list_webhooks(client: Any) -> Operation[dict[str, Any]]:
    """Return the first page of the list of webhooks, as the service sends it; `iter_pages` walks all."""
    return cast("dict[str, Any]", wire.judge((yield from exchange(client, "GET", "/webhooks", op="list_webhooks"))))


@helper
def update_webhook(client: Any, webhook_id: str, patch: dict[str, Any]) -> Operation[Webhook]:
    """Return the webhook after a change of the given fields."""
    response = yield from exchange(client, "PATCH", _path(webhook_id), patch, op="update_webhook")
    return cast(Webhook, wire.judge(response))


@helper
def delete_webhook(client: Any, webhook_id: str) -> Operation[None]:
    """Delete the webhook. Returns nothing."""
    wire.judge((yield from exchange(client, "DELETE", _path(webhook_id), op="delete_webhook")))


def verify_webhook_signature(raw_body: bytes, signature_header: str | None, secret: str) -> bool:
    """Return whether the signature is the raw body's under this secret; takes hex with or without `sha256=` before it.

    >>> import hashlib, hmac
    >>> good = hmac.new(b"s", b"{}", hashlib.sha256).hexdigest()
    >>> verify_webhook_signature(b"{}", good, "s"), verify_webhook_signature(b"{} ", "sha256=" + good, "s")
    (True, False)

    Give it the bytes as they came: parsed and written again they are not what was signed.
    """
    if not signature_header or not isinstance(signature_header, str):
        return False
    signature = signature_header.removeprefix("sha256=")
    if len(signature) != 64 or not set(signature) <= set("0123456789abcdefABCDEF"):
        return False
    expected = hmac.new(secret.encode(), raw_body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature.lower())


def _path(webhook_id: str) -> str:
    return f"/webhooks/{quote(webhook_id, safe='')}"
