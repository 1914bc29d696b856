"""The server's responses: JSON, and errors in the service's shapes."""

from __future__ import annotations

from typing import Any

from ....s2.errors import CODES, S2ServerError
from ....s2.settings import Compression
from ....s2.wire.compression import compress
from ....s2.wire.fields import dumps
from ....s2.wire.json_messages import error_json
from .exchange import Exchange

JSON = {"content-type": "application/json"}
WORTH_PACKING = 1024
_CODES_BY_STATUS = {
    408: "request_timeout",
    409: "transaction_conflict",
    429: "rate_limited",
    500: "other",
    502: "hot_server",
    503: "unavailable",
    504: "upstream_timeout",
}


def refusal(code: str, message: str) -> S2ServerError:
    """Return the error with this code, under the code's status."""
    return S2ServerError(code, message, CODES[code].status)


def injected(status: int) -> bytes:
    """Return the body of an error that a fault rule asked for."""
    known = _CODES_BY_STATUS.get(status) or next(
        (code for code, code_of in CODES.items() if code_of.status == status), "other"
    )
    return dumps({"code": known, "message": f"injected by a fault rule ({status})"})


async def answer_json(exchange: Exchange, value: Any, status: int = 200, **headers: str) -> None:
    """Answer with a value as JSON; underscores in names of headers stand for hyphens."""
    headers_out = {**JSON, **{name.replace("_", "-"): text for name, text in headers.items()}}
    await answer_packed(exchange, status, headers_out, dumps(value))


async def answer_packed(exchange: Exchange, status: int, headers: dict[str, str], body: bytes) -> None:
    """Answer with a body, packed if the client takes that and it is worth it."""
    packing = accepted(exchange.headers.get("accept-encoding", ""))
    if packing is not Compression.NONE and len(body) >= WORTH_PACKING:
        packed = compress(body, packing)
        if len(packed) < len(body):
            body, headers = packed, {**headers, "content-encoding": packing.value}
    await exchange.answer(status, headers, body)


async def answer_error(exchange: Exchange, error: S2ServerError, **headers: str) -> None:
    """Answer with an error."""
    headers_out = {**JSON, **{name.replace("_", "-"): text for name, text in headers.items()}}
    await exchange.answer(error.status_code, headers_out, error_json(error))


def accepted(header: str) -> Compression:
    """Return the packing that an `accept-encoding` asks for.

    >>> accepted("gzip, deflate, zstd"), accepted("br")
    (<Compression.ZSTD: 'zstd'>, <Compression.NONE: 'none'>)
    """
    names = {part.partition(";")[0].strip().lower() for part in header.split(",")}
    return next((one for one in (Compression.ZSTD, Compression.GZIP) if one.value in names), Compression.NONE)
