"""The server's responses: bare objects, and errors in the documented shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

CODES = {
    400: "invalid_argument",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "invalid_argument",
    429: "rate_limited",
    500: "internal",
    503: "unavailable",
}


class Refusal(Exception):
    """Ends a request with an error answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        beside: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details
        self.headers = dict(headers or {})
        self.beside = beside
        """What stands beside `error` at the top level of the body."""

    def body(self) -> bytes:
        error: dict[str, Any] = {"code": CODES.get(self.status, "internal"), "message": self.message}
        if self.details is not None:
            error["details"] = self.details
        return compact({"error": error, **(self.beside or {})})

    def response(self) -> Response:
        return Response(self.body(), self.status, self.headers, media_type="application/json")


def compact(value: Any) -> bytes:
    """Return JSON without spaces, as UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def answer(value: Any, status: int = 200) -> Response:
    """Return an answer with a bare object."""
    return Response(compact(value), status, media_type="application/json")


def nothing() -> Response:
    """Answer 204, without a body."""
    return Response(status_code=204)


def injected(status: int) -> bytes:
    """Return the body of an error that a fault rule asked for."""
    beside = {"retry_after": 1} if status == 429 else None
    return Refusal(status, f"injected by a fault rule ({status})", beside=beside).body()
