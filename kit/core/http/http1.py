"""HTTP/1.1 as a client speaks it: heads, written and read, and where bodies end. No I/O.

What is unclear is refused, not guessed: two readings of one answer are how one call gets what another one asked for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from ..errors import InputError, Lost
from .chunked import Framing, Malformed, UntilEnd, framing_of

_LARGEST_HEAD = 100 * 1024
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: .*)?")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\0\r\n]*")
_TARGET = re.compile(r"[!-~]+")
_VISIBLE = "".join(map(chr, range(33, 127)))
_LONGEST = 1_000_000.0
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a service is, as a connection is made to it."""

    scheme: str
    host: str
    port: int

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    @property
    def name(self) -> str:
        """What requests call it: the host, with the port where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def origin_of(url: str) -> Origin:
    """Return where an address leads; ValueError or TypeError where it is none.

    >>> origin_of("http://[::1]:8080/base").name, origin_of("https://host:443").name
    ('[::1]:8080', 'host')
    """
    if not isinstance(url, str):
        raise TypeError(f"it is a {type(url).__name__}, not a str")
    if any(char <= " " or char == "\x7f" for char in url):
        raise ValueError("it has a space or a control character in it")
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host.isascii():
        host = host.encode("idna").decode()
    if not re.fullmatch(r"[\w.:%~-]*", host, re.ASCII):
        raise ValueError(f"{host!r} is not the name of a host")
    port = parts.port
    if port == 0:
        raise ValueError("its port is 0")
    return Origin(parts.scheme, host, port or _PORTS.get(parts.scheme, 0))


def quoted(target: str) -> str:
    """Return a path with its query as it may stand in the first line of a request; what is quoted already stays."""
    return target if _TARGET.fullmatch(target) else quote(target, _VISIBLE)


def head_lines(headers: Mapping[str, str]) -> bytes:
    """Return headers as they are sent; those that would end the line they stand in are refused.

    >>> head_lines({"accept": "text/html", "x-a": "1"})
    b'accept: text/html\\r\\nx-a: 1\\r\\n'
    """
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise InputError(f"{name!r:.100} is not the name of a header")
        # The value is not quoted back: it may be a credential.
        if not (value.isascii() and _VALUE.fullmatch(value)):
            raise InputError(f"the value of header {name!r} has a line end or a character that is not ASCII")
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode()


class Headers(Mapping[str, str]):
    """The headers of an answer, looked up without regard to case; one that stands several times is joined by commas."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values
        """By their names in lower case."""

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, slots=True)
class Head:
    """The first part of an answer."""

    status: int
    headers: dict[str, str]
    kept: bool
    """Whether the connection serves another request when the answer is over."""


def parse_head(data: bytes | bytearray) -> Head:
    """Return what stands before the empty line, without the line end before that.

    >>> parse_head(b"HTTP/1.1 200 OK\\r\\nA: 1\\r\\na:2").headers
    {'a': '1, 2'}
    """
    if b"\r\n " in data or b"\r\n\t" in data:
        data = re.sub(rb"\r\n[ \t]+", b" ", data)  # a value may continue in the next line
    try:
        lines = data.decode().split("\r\n")
    except UnicodeDecodeError:
        lines = data.decode("latin-1").split("\r\n")
    begins = _STATUS.fullmatch(lines[0])
    ends = len(lines) - 1
    if begins is None or b"\0" in data or data.count(b"\n") != ends or data.count(b"\r") != ends:
        raise Malformed("the answer is not HTTP/1.1")
    headers: dict[str, str] = {}
    for n in range(1, len(lines)):
        name, colon, value = lines[n].partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise Malformed("a line of the answer's head is not a header")
        name, value = name.lower(), value.strip(" \t")
        if name not in headers:
            headers[name] = value
        elif name != "content-length" or headers[name] != value:
            headers[name] += f", {value}"
    options = headers.get("connection")
    closes = options is not None and "close" in [option.strip() for option in options.lower().split(",")]
    return Head(int(begins[2]), headers, begins[1] == "1" and not closes)


def _framing(method: str, head: Head) -> Framing:
    if method == "HEAD" or head.status in (204, 304):
        return framing_of({"content-length": "0"}) or UntilEnd()
    framing = framing_of(head.headers)
    if framing is not None:
        return framing
    if "transfer-encoding" in head.headers or "content-length" in head.headers:
        raise Malformed("the answer does not say clearly where it ends")
    return UntilEnd()


class Incoming:
    """The answer to one request, as it is received: first its head, then its body."""

    __slots__ = ("_framing", "_method", "_seen", "head", "parts")

    head: Head
    _framing: Framing

    def __init__(self, method: str) -> None:
        self._method = method
        self._seen: bytes | bytearray = b""
        self.parts: Iterator[bytes] = iter(())
        """The pieces of the body that have come, and were not taken yet."""

    def begin(self, data: bytes) -> bool:
        """Take what came, and return whether the head is whole now. Provisional answers are passed over."""
        if not data:
            raise Lost("the connection broke: it was closed before an answer came")
        before = len(self._seen)
        if before:
            self._seen = bytearray(self._seen)
            self._seen += data
        else:
            self._seen = data
        start = 0
        while (end := self._seen.find(b"\r\n\r\n", max(start, before - 3))) >= 0:
            head = parse_head(self._seen[start:end])
            start = end + 4
            if head.status >= 200:
                self.head, self._framing = head, _framing(self._method, head)
                rest, self._seen = bytes(self._seen[start:]), b""
                # Also where nothing came: a body of no bytes is over now, and any byte behind it is one too many.
                self.parts = self._framing.feed(rest)
                return True
            if head.status == 101:
                raise Malformed("the peer has switched to another protocol without being asked")
        self._seen = self._seen[start:]
        if len(self._seen) > _LARGEST_HEAD:
            raise Malformed("the head of the answer is too long")
        if b"\n" in data and self._seen.count(b"\n") != self._seen.count(b"\r\n"):
            raise Malformed("a line of the answer's head does not end with CRLF")  # its end would never be seen
        return False

    def take(self, data: bytes) -> None:
        """Take what came of the body; nothing at all is the end of the connection."""
        if data:
            self.parts = self._framing.feed(data)
        else:
            self._framing.ended()

    @property
    def over(self) -> bool:
        """Whether the body has ended, as far as its pieces were taken."""
        return self._framing.over

    @property
    def reusable(self) -> bool:
        """Whether the connection is at the beginning of another answer now."""
        framing = self._framing
        return framing.over and self.head.kept and not framing.rest and not isinstance(framing, UntilEnd)


@dataclass(slots=True, repr=False)
class HttpRequest:
    """A request as it goes out, and how many seconds to wait for a connection and for each piece of the answer."""

    method: str
    target: str
    lines: bytes
    """The headers, a line each."""
    body: bytes
    connect: float | None
    read: float | None
    until: float | None = None
    """When all of it must be over, by `time.monotonic`; then no wait goes beyond that."""

    def head(self) -> bytes:
        """Return all that stands before the body."""
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (self.method.encode(), self.target.encode(), self.lines)


def countable(seconds: float | None) -> float | None:
    """Return the seconds to wait, as far as a socket can count them: in milliseconds, in 31 bits."""
    return seconds if seconds is None or seconds < _LONGEST else _LONGEST


def within(seconds: float | None, until: float) -> float:
    """Return the seconds to wait, for a call that must be over then: never quite none."""
    left = max(0.001, until - time.monotonic())
    return left if seconds is None else min(seconds, left)
