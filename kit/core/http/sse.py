"""Server-sent events: bytes in pieces to events, by the rules of the HTML standard.

Lines end with LF, CR or CRLF, also when a piece ends between the two; text is decoded line by line, so a character
split between two pieces is read correctly. The size of an event is bounded, also while it is incomplete.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import AnswerError

MAX_EVENT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `id` is the last id that was sent; `named` says whether this event carried it."""

    data: str
    type: str = "message"
    id: str = ""
    named: bool = False


class EventParser:
    """Takes the pieces of a stream as they arrive and returns the events that are complete.

    >>> parser = EventParser()
    >>> parser.feed(b"id: 7\\r"), parser.feed(b"\\ndata:{}\\n\\n")
    ([], [Event(data='{}', type='message', id='7', named=True)])
    """

    def __init__(self, last_id: str = "", max_event: int = MAX_EVENT) -> None:
        self.last_id = last_id
        self.retry: float | None = None
        """Seconds that the server wants a client to wait before it reconnects."""
        self._max = max_event
        self._line = bytearray()
        self._after_cr = False
        self._started = False
        self._data: list[str] = []
        self._size = 0
        self._type = ""
        self._named = False

    def feed(self, piece: bytes) -> list[Event]:
        """Return the events that this piece completes."""
        if not piece:
            return []
        if self._after_cr and piece[:1] == b"\n":
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r")
        events = []
        lines = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for number, line in enumerate(lines):
            self._line += line
            if len(self._line) + self._size > self._max:
                raise AnswerError(f"an event is larger than {self._max:,} bytes")
            if number < len(lines) - 1:
                event = self._end_line()
                if event is not None:
                    events.append(event)
        return events

    def _end_line(self) -> Event | None:
        text = self._line.decode("utf-8", "replace")
        self._line.clear()
        if not self._started:
            self._started = True
            text = text.removeprefix("\ufeff")
        if not text:
            return self._dispatch()
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._size += len(text)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self.last_id = value
            self._named = True
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = min(int(value.lstrip("0")[:12] or 0), 3_600_000) / 1000
        return None

    def _dispatch(self) -> Event | None:
        data, kind, named = self._data, self._type, self._named
        self._data, self._type, self._named, self._size = [], "", False, 0
        if not data:
            return None
        return Event("\n".join(data), kind or "message", self.last_id, named)
