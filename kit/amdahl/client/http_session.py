"""`client.session`: requests in the style of the `requests` library, with the client's credential."""

from __future__ import annotations

import codecs
import json as _json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Self

from ...core.http.exchange import Driver
from ...core.http.operations import DEFAULT_LIMIT, Emit, Next, Open, Request, Response, Shut, Stream, Timeouts, Walk
from ...core.secrets import Secret
from ..errors import AmdahlInputError
from ..wire import json_messages as wire
from .exchange import CONNECT_TIMEOUT

_OWN = object()
_PIECE = 8192


class Session:
    """Requests below the client's address, with its credential: `client.session.get(url, stream=True)`.

    It has the verbs and answers of a `requests.Session` that the guide's code uses. Each request carries the
    credential, which is shown nowhere and sent to no other address: such a URL is refused. Failures of the connection
    are `TransportError`.
    """

    def __init__(self, driver: Driver, timeout: float | None) -> None:
        self._driver = driver
        self._timeout = timeout
        self.headers: dict[str, str | Secret] = {}
        """Sent with each request, beside the credential."""

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: bytes | str | None = None,
        headers: Mapping[str, str | Secret] | None = None,
        timeout: float | tuple[float | None, float | None] | Any | None = _OWN,
        stream: bool = False,
    ) -> Answer:
        """Return the answer, whatever its status; with `stream=True` as soon as it begins, its body to be iterated.

        `timeout` is in seconds, or a pair for connecting and for each piece; None waits forever.
        """
        if json is not None and data is not None:
            raise AmdahlInputError("json= and data= are both given", hint="give one of them")
        body = wire.encode(json) if data is None else data.encode() if isinstance(data, str) else bytes(data)
        timeout = self._timeout if timeout is _OWN else timeout
        connect, read = timeout if isinstance(timeout, tuple) else (CONNECT_TIMEOUT, timeout)
        for seconds in (connect, read):
            if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
                raise AmdahlInputError(f"timeout={timeout!r}: give seconds above 0, or None to wait forever")
        method = method.upper()
        path = self._path(url)
        prepared = Request(
            method,
            path,
            op=f"{method} {path.partition('?')[0]}",
            params=params,
            headers={**self.headers, **(headers or {})},
            body=body,
            timeouts=Timeouts(connect, read),
            # A streamed body has no limit; each piece is small.
            limit=2**62 if stream else DEFAULT_LIMIT,
        )
        pieces = self._driver.walk(_opened(prepared))
        head = next(pieces)
        answer = Answer(head, f"{self._driver.settings.base_url.rstrip('/')}{prepared.target}", pieces)
        if not stream:
            answer.content  # noqa: B018  reads it, and gives the connection back
        return answer

    def get(self, url: str, **options: Any) -> Answer:
        """Return the answer to a GET. See `request`."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> Answer:
        """Return the answer to a POST. See `request`."""
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Any) -> Answer:
        """Return the answer to a PUT. See `request`."""
        return self.request("PUT", url, **options)

    def patch(self, url: str, **options: Any) -> Answer:
        """Return the answer to a PATCH. See `request`."""
        return self.request("PATCH", url, **options)

    def delete(self, url: str, **options: Any) -> Answer:
        """Return the answer to a DELETE. See `request`."""
        return self.request("DELETE", url, **options)

    def close(self) -> None:
        """Close the connections, which are the client's: it is closed too."""
        self._driver.close()

    def _path(self, url: str) -> str:
        base = self._driver.settings.base_url.rstrip("/")
        path = url if isinstance(url, str) and url.startswith("/") else ""
        if not path and isinstance(url, str) and url.startswith(base):
            path = url[len(base) :] or "/"
        if not path.startswith("/") or path.startswith("//"):
            raise AmdahlInputError(
                "the session sends its credential only to its own address", hint=f"give a URL that begins with {base}/"
            )
        return path.partition("#")[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Session at {self._driver.settings.base_url}>"


class Answer:
    """An answer in the style of `requests`. Iterate over it, or use `content`, `text` or `json()`."""

    def __init__(self, head: Stream, url: str, pieces: Iterator[Any]) -> None:
        self.status_code = head.status
        self.headers = head.headers
        self.url = url
        self._pieces = pieces
        self._content: bytes | None = None
        self._taken = False

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status_code < 400

    @property
    def reason(self) -> str:
        """The status in words."""
        try:
            return HTTPStatus(self.status_code).phrase
        except ValueError:
            return ""

    @property
    def content(self) -> bytes:
        """The whole body."""
        if self._content is None:
            self._content = b"".join(self._rest())
        return self._content

    @property
    def text(self) -> str:
        """The whole body as text."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body as JSON; raise ValueError if it is not JSON."""
        return _json.loads(self.content)

    def raise_for_status(self) -> None:
        """Raise an `AmdahlError` where the status is 400 or above."""
        if not self.ok:
            wire.judge(Response(self.status_code, self.headers, self.content))
            raise wire.unreadable(Response(self.status_code, self.headers, self.content))

    def iter_content(self, chunk_size: int | None = None, decode_unicode: bool = False) -> Iterator[Any]:
        """Yield the body in pieces as they come, none longer than `chunk_size`."""
        size = chunk_size or _PIECE
        decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a letter may be in two pieces
        for piece in self._rest() if self._content is None else [self._content]:
            for start in range(0, len(piece), size):
                part = piece[start : start + size]
                if not decode_unicode:
                    yield part
                elif text := decoder.decode(part):
                    yield text
        if decode_unicode and (text := decoder.decode(b"", final=True)):
            yield text

    def iter_lines(self, chunk_size: int | None = None, decode_unicode: bool = False) -> Iterator[Any]:
        """Yield the body line by line, without the line ends."""
        rest = b""
        for piece in self.iter_content(chunk_size):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                line = line.removesuffix(b"\r")
                yield line.decode("utf-8", "replace") if decode_unicode else line
        if rest:
            yield rest.decode("utf-8", "replace") if decode_unicode else rest

    def _rest(self) -> Iterator[bytes]:
        if self._taken:
            raise AmdahlInputError("the body of this answer was read as a stream and was not kept")
        self._taken = True
        return self._pieces

    def close(self) -> None:
        """Give the connection back; a body that is not read yet is lost."""
        closing = getattr(self._pieces, "close", None)
        if closing is not None:
            closing()

    def __iter__(self) -> Iterator[bytes]:
        return self.iter_content()

    def __bool__(self) -> bool:
        return self.ok

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"


def _opened(request: Request) -> Walk[Any]:
    """Return an answer: its head, then the pieces of its body."""
    stream: Stream = yield Open(request)
    yield Emit(stream)
    while piece := (yield Next(stream)):
        yield Emit(piece)
    yield Shut(stream)
