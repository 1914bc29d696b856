"""The service's JSON: envelopes, errors, events. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...core.http.operations import Response, asked_pause
from ..errors import AmdahlError, AmdahlInputError
from ..types import RateLimit

PREFIX = "/api/platform/v1"
_SHOWN = 200


def encode(body: Any) -> bytes | None:
    """Return a request's JSON body."""
    if body is None:
        return None
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise AmdahlInputError(f"the body cannot be sent as JSON: {error}") from None


def unwrap(payload: Any) -> Any:
    """Return the object itself where it came as `{"data": ...}` and nothing beside.

    >>> unwrap({"data": [1]}), unwrap({"data": [1], "total": 1})
    ([1], {'data': [1], 'total': 1})
    """
    if isinstance(payload, dict) and len(payload) == 1 and "data" in payload:
        return payload["data"]
    return payload


def judge(response: Response) -> Any:
    """Return the payload of an answer; `AmdahlError` if the service refused, also inside a 2xx."""
    if not response.body:
        if response.ok:
            return None
        raise AmdahlError(response.status, "unknown", f"HTTP {response.status}")
    try:
        payload = response.json()
    except ValueError:
        raise unreadable(response) from None
    if not response.ok:
        error = refusal(response.status, payload)
        error.retry_after = asked_pause(response)
        raise error
    inner = unwrap(payload)
    if isinstance(inner, dict) and inner.get("success") is False and isinstance(inner.get("error"), dict | str):
        raise refusal(response.status, inner, whole=payload)
    return inner


def unreadable(response: Response) -> AmdahlError:
    """Return the error for an answer that is not JSON, such as a proxy's page or another server's."""
    text = response.text()
    if response.ok:
        shown = f"the answer is not JSON: {text[:_SHOWN]!r}"
    else:
        shown = text[:_SHOWN].strip() or f"HTTP {response.status}"
    return AmdahlError(response.status, "unknown", shown, text[:10_000])


def refusal(status: int, payload: Any, whole: Any = None) -> AmdahlError:
    """Return the error that a body tells, in any of the shapes the service is known to use."""
    body = unwrap(payload)
    code, message = None, None
    if isinstance(body, dict):
        error = body.get("error")
        if isinstance(error, dict):
            code, message = error.get("code"), error.get("message")
        elif isinstance(error, str) and "code" in body:
            code, message = body["code"], error
        elif isinstance(error, str):
            code, message = error, body.get("message")
            if message is None and " " in error:
                code, message = None, error
        else:
            code, message = body.get("code"), body.get("message")
    return AmdahlError(
        status,
        code if isinstance(code, str) and code else "unknown",
        message if isinstance(message, str) and message else f"HTTP {status}",
        payload if whole is None else whole,
    )


def rate_limit(headers: Mapping[str, str], now: float) -> RateLimit | None:
    """Return the rate limit in the headers, or None without one."""
    remaining, reset = headers.get("x-ratelimit-remaining"), headers.get("x-ratelimit-reset")
    if remaining is None and reset is None:
        return None
    # Python counts superscripts as digits, and a number of thousands of digits is not a count.
    number = remaining is not None and len(remaining) < 20 and remaining.isascii() and remaining.isdigit()
    return RateLimit(int(remaining) if remaining and number else None, _number(reset), now)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def event_payload(kind: str, data: str) -> dict[str, Any]:
    """Return the object that an event carries; text that is not an object is kept as its `data`."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = data
    if isinstance(value, dict) and "type" in value:
        return value
    return {"type": kind, "data": value}
