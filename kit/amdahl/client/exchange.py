"""One exchange with the service, through a blocking or an async client."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ...core.http.operations import Operation, Request, Response, call
from ...core.http.operations import exchange as whole
from ...core.http.retry import ONCE, Policy
from ..errors import AmdahlInputError
from ..wire import json_messages as wire

CONNECT_TIMEOUT = 5.0

PATIENT = Policy(attempts=4, base=0.5, cap=8.0)
"""The explorer's retries: on 429 and 5xx, as the reference's `with_retry`."""


def exchange(
    client: Any,
    method: str,
    path: str,
    json_body: Any = None,
    params: Mapping[str, Any] | None = None,
    *,
    op: str = "",
    policy: Policy = ONCE,
    safe: bool | None = None,
    attempt: Callable[[Request], Operation[Response]] = whole,
) -> Operation[Response]:
    """Return the answer, whatever its status, and store its rate limit on the client."""
    if not path.startswith("/"):
        raise AmdahlInputError(f"path {path!r} must start with /", hint="give one such as /pages")
    method = method.upper()
    request = Request(
        method,
        path,
        op=op or f"{method} {path}",
        params=params,
        body=wire.encode(json_body),
        safe=method == "GET" if safe is None else safe,
    )
    response = yield from call(request, policy, attempt)
    limit = wire.rate_limit(response.headers, time.time())
    if limit is not None:
        client.rate_limit = limit
    return response
