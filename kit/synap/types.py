"""The results of the client's calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message that was consumed, which is acknowledged by its `message_id`."""

    message_id: str
    payload: bytes
    priority: int = 0
    retry_count: int = 0
    max_retries: int | None = None
    """None over SynapRPC, which does not carry it."""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The same as `message_id`."""
        return self.message_id

    def text(self) -> str:
        """Return the payload as UTF-8 text."""
        return self.payload.decode()

    def json(self) -> Any:
        """Return the payload as JSON."""
        import json

        return json.loads(self.payload)


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """An event of a room. `data` is what was published: a JSON value, otherwise text, otherwise bytes."""

    offset: int
    event: str
    data: Any
    timestamp: int
    """In whole seconds since 1970, as the server stores it."""
    id: str = ""
    room: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicMessage:
    """A message that a subscription received."""

    topic: str
    message: Any
    id: str = ""
    timestamp: int = 0
    metadata: Mapping[str, str] | None = None
    """None over SynapRPC, which does not carry it."""

    @property
    def payload(self) -> Any:
        """The same as `message`."""
        return self.message


class Stats(Mapping[str, Any]):
    """Figures of the server, by key (`stats["depth"]`) and by attribute (`stats.depth`).

    >>> Stats({"depth": 3}).depth
    3
    """

    __slots__ = ("_figures",)
    _figures: dict[str, Any]

    def __init__(self, figures: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_figures", dict(figures))

    def __getitem__(self, name: str) -> Any:
        return self._figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._figures[name]
        except KeyError:
            raise AttributeError(f"there is no figure {name!r}; there are {', '.join(self._figures)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("figures of the server cannot be changed; request them again")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._figures})

    def __repr__(self) -> str:
        return f"Stats({', '.join(f'{name}={value!r}' for name, value in self._figures.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._figures,)
