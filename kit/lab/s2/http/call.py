"""A request as handlers see it: its sender, resource and parameters."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from ....s2.errors import S2ServerError, WireError
from ....s2.limits import MAX_PAGE, MAX_STREAM_NAME, MAX_TOKEN_ID, MAX_U64
from ....s2.settings import Compression
from ....s2.wire.compression import decompress
from ....s2.wire.fields import loads
from ..account.names import basin_fault, basin_prefix_fault, prefix_fault, stream_fault
from ..account.rows import Page
from ..account.scopes import Principal
from .answers import refusal
from .exchange import Exchange, Slow, TooLarge

MAX_BODY = 2 * 1024 * 1024
"""The largest body of a request with one answer, compressed or not."""
_MAX_REQUEST_TOKEN = 36
_PACKINGS = {"": Compression.NONE, "identity": Compression.NONE, "gzip": Compression.GZIP, "zstd": Compression.ZSTD}
_PREFIX_FAULTS: dict[str, Callable[[str], str | None]] = {
    "basin": basin_prefix_fault,
    "stream": lambda prefix: prefix_fault(prefix, "stream prefix", MAX_STREAM_NAME),
    "token": lambda prefix: prefix_fault(prefix, "access token id prefix", MAX_TOKEN_ID),
}
_DIGITS = re.compile(r"\+?[0-9]+")


class Unsupported(Exception):
    """A body in a compression that the service does not know."""


@dataclass
class Call:
    """One request."""

    exchange: Exchange
    principal: Principal
    parts: list[str]
    """The path's segments below `/v1`, decoded."""
    patience: float
    permitted: tuple[str, str, str] | None = None
    """The permitted operation, with its basin and stream, for the metrics."""

    def name(self, index: int, fault: Callable[[str], str | None]) -> str:
        """Return the name at this place in the path."""
        name = self.parts[index]
        why = fault(name)
        if why:
            raise refusal("bad_path", f"Invalid URL: {why}")
        return name

    @cached_property
    def basin(self) -> str:
        """The basin that the header names."""
        name = self.exchange.headers.get("s2-basin")
        if name is None:
            raise refusal("bad_header", "Missing header `s2-basin`")
        why = basin_fault(name)
        if why:
            raise refusal("bad_header", f"Invalid header `s2-basin`: {why}")
        return name

    @cached_property
    def stream(self) -> str:
        """The stream that the path names, by its full name."""
        return self.full(self.name(1, stream_fault))

    def full(self, stream: str) -> str:
        """Return a stream's name with what the token puts before it."""
        name = self.principal.prefix + stream
        if self.principal.prefix and stream_fault(name):
            raise refusal("bad_path", f"Invalid URL: {stream_fault(name)}")
        return name

    def shown(self, info: dict[str, Any]) -> dict[str, Any]:
        """Return a stream's description, under the name that the token uses for it."""
        return {**info, "name": info["name"].removeprefix(self.principal.prefix)}

    def permit(
        self, operation: str, *, basin: str | None = None, stream: str | None = None, token: str | None = None
    ) -> None:
        """Refuse what the token does not allow."""
        self.principal.permit(operation, basin=basin, stream=stream, token=token)
        self.permitted = operation, basin or "", stream or ""

    @property
    def request_token(self) -> str | None:
        """What makes a repeated creation known as such."""
        token = self.exchange.headers.get("s2-request-token")
        if token is not None and len(token.encode("latin-1", "replace")) > _MAX_REQUEST_TOKEN:
            size = len(token.encode("latin-1", "replace"))
            raise refusal(
                "bad_header",
                "Invalid header `s2-request-token`: request token was longer than"
                f" {_MAX_REQUEST_TOKEN} bytes in length: {size}",
            )
        return token

    @cached_property
    def query(self) -> dict[str, str]:
        """The parameters after the path."""
        try:
            self.exchange.query.encode()  # some of its bytes may not be UTF-8
            pairs = parse_qsl(self.exchange.query, keep_blank_values=True, errors="strict", max_num_fields=100)
        except ValueError as error:
            raise _bad_query(str(error)) from None
        values: dict[str, str] = {}
        for name, value in pairs:
            if name in values:
                raise _bad_query(f"duplicate field `{name}`")
            values[name] = value
        return values

    def number(self, name: str, most: int = MAX_U64) -> int | None:
        """Return a parameter that is a whole number."""
        value = self.query.get(name)
        if value is None:
            return None
        if not _DIGITS.fullmatch(value):
            why = "invalid digit found in string" if value else "cannot parse integer from empty string"
            raise _bad_query(f"{name}: {why}")
        if len(value) > 25 or int(value) > most:
            raise _bad_query(f"{name}: number too large to fit in target type")
        return int(value)

    def page(self, what: str) -> Page:
        """Return which part of a listing is asked for."""
        for name in ("prefix", "start_after"):
            why = _PREFIX_FAULTS[what](self.query.get(name, ""))
            if why:
                raise _bad_query(f"{name}: {why}")
        limit = self.number("limit") or MAX_PAGE
        return Page(self.query.get("prefix", ""), self.query.get("start_after", ""), min(limit, MAX_PAGE))

    async def raw(self) -> bytes:
        """Return the body, unpacked."""
        packing = self.exchange.headers.get("content-encoding", "").strip().lower()
        if packing not in _PACKINGS:
            raise Unsupported(packing)
        try:
            body = await self.exchange.body(MAX_BODY, self.patience)
        except TooLarge:
            raise WireError("Failed to buffer the request body: length limit exceeded") from None
        except Slow:
            raise refusal("request_timeout", "the body of the request did not come in time") from None
        return decompress(body, _PACKINGS[packing], MAX_BODY)

    async def json(self) -> Any:
        """Return the body as JSON, which it must say that it is."""
        if not is_json(self.exchange.headers.get("content-type", "")):
            raise WireError("Expected request with `Content-Type: application/json`")
        return loads(await self.raw())

    async def maybe_json(self) -> Any:
        """Return the body as JSON; None without a body."""
        if "content-type" not in self.exchange.headers:
            body = await self.raw()
            if body:
                raise WireError("Expected request with `Content-Type: application/json`")
            return None
        body = await self.raw()
        if not body and not is_json(self.exchange.headers["content-type"]):
            return None
        if not is_json(self.exchange.headers["content-type"]):
            raise WireError("Expected request with `Content-Type: application/json`")
        value = loads(body)
        if value is None:
            raise WireError("a configuration must be an object, not null")
        return value


def segments(path: str) -> list[str]:
    """Return the segments of a path as sent, each decoded by itself: a name may hold `%2F`."""
    try:
        return [unquote_to_bytes(part).decode() for part in path.split("/")[1:]]
    except UnicodeError:
        raise refusal("bad_path", "Invalid URL: invalid UTF-8") from None


def mime(header: str) -> str:
    """Return the first media type of a header, without parameters.

    >>> mime("Text/HTML; q=1, application/json")
    'text/html'
    """
    return header.partition(",")[0].partition(";")[0].strip().lower()


def is_json(header: str) -> bool:
    mime_type = mime(header)
    return mime_type == "application/json" or (mime_type.startswith("application/") and mime_type.endswith("+json"))


def _bad_query(why: str) -> S2ServerError:
    return refusal("bad_query", f"Failed to deserialize query string: {why}")
