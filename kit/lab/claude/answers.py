"""The server's responses: bare objects, and refusals as `{"detail": ...}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response


class Refusal(Exception):
    """Ends a request with an error answer; with `detail` None it is the plain text of an unhandled exception."""

    def __init__(self, status: int, detail: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> Response:
        if self.detail is None:
            return Response("Internal Server Error", self.status, media_type="text/plain")
        return Response(compact({"detail": self.detail}), self.status, self.headers, media_type="application/json")


def compact(value: Any) -> bytes:
    """Return JSON without spaces, as UTF-8."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def answer(value: Any) -> Response:
    """Return an answer with an object."""
    return Response(compact(value), media_type="application/json")


def injected(status: int) -> bytes:
    """Return the body of an error that a fault rule asked for."""
    known = {429: "Rate limit exceeded. Please try again later.", 503: "Worker pool overloaded. Try again later."}
    return compact({"detail": f"{known.get(status, 'Injected failure.')} (asked for by a fault rule)"})
