"""The raw body of an answer, piece by piece; a large one is read past the transport's parser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from .chunked import Framing, Sized, framing_of
from .network import BlockingStream, LoopStream
from .transport import FAILURES, httpx, translated

_FAST_FROM = 8 * 1024 * 1024
"""Bodies of at least this size bypass the transport's parser; their connection cannot be used again afterwards."""


def _framing(answer: httpx.Response) -> Framing | None:
    """Return how the body is framed, where reading it past the transport's parser saves something."""
    if answer.request.method == "HEAD" or answer.status_code in (204, 304):
        return None
    framing = framing_of(answer.headers)
    return None if isinstance(framing, Sized) and framing.left < _FAST_FROM else framing


def _bound(answer: httpx.Response, stream: Any) -> None:
    """Tell the connection how much the body is, so that what comes behind it is not taken for another answer."""
    if not isinstance(stream, BlockingStream | LoopStream) or not stream.at_body:
        return
    if answer.request.method == "HEAD" or answer.status_code in (204, 304):
        stream.expect(0)
    elif isinstance(framing := framing_of(answer.headers), Sized):
        stream.expect(framing.left)


def _patience(answer: httpx.Response) -> float | None:
    seconds: float | None = answer.request.extensions["timeout"]["read"]
    return seconds


def pieces(answer: httpx.Response) -> Iterator[bytes]:
    stream, framing = answer.extensions.get("network_stream"), _framing(answer)
    if framing is None or not isinstance(stream, BlockingStream) or not stream.at_body:
        _bound(answer, stream)
        yield from answer.iter_raw()
        return
    try:
        yield from stream.body(framing, _patience(answer))
    except FAILURES as error:
        raise translated(error) from None
    if framing.end:
        for _ in answer.iter_raw():
            pass  # the parser is given a valid end, so that the connection can be used again
    answer.close()


async def apieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    stream, framing = answer.extensions.get("network_stream"), _framing(answer)
    if framing is None or not isinstance(stream, LoopStream) or not stream.at_body:
        _bound(answer, stream)
        async for piece in answer.aiter_raw():
            yield piece
        return
    try:
        async for piece in stream.body(framing, _patience(answer)):
            yield piece
    except FAILURES as error:
        raise translated(error) from None
    if framing.end:
        async for _ in answer.aiter_raw():
            pass
    await answer.aclose()
