"""The results of the client's calls: answers, batches, usage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeAlias

Caller: TypeAlias = Any
"""Either client, for files that the clients import and that cannot import them."""
Transport = Literal["http", "ws"]
SHOWN = 20_000
"""Characters of an answer that a notebook shows."""
_BRIEF = 80


class Model(StrEnum):
    """The models by their short names; AUTO leaves the choice to the service."""

    HAIKU = "haiku"
    SONNET = "sonnet"
    OPUS = "opus"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True, repr=False)
class Response:
    """An answer: its text in `content`, its tokens and cost. A notebook shows it formatted; `print` gives the text.

    >>> response = Response("1", "haiku", "Hello.", Usage(1, 1, 2), 1.5e-06, "demo")
    >>> response
    <Response haiku, 2 tokens, $0.0000015: 'Hello.'>
    >>> print(response)
    Hello.
    """

    id: str
    model: str
    content: str
    usage: Usage
    cost: float
    project_id: str | None = None

    def __str__(self) -> str:
        return self.content

    def __repr__(self) -> str:
        from ..core.html import visible

        text = visible(self.content[:_BRIEF]) + ("…" if len(self.content) > _BRIEF else "")
        return f"<Response {visible(self.model)}, {self.usage.total_tokens:,} tokens, {dollars(self.cost)}: {text!r}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Show the text in a terminal and in `text/plain`, and a line about it."""
        from ..core.html import visible

        printer.text(f"{visible(self.content[:SHOWN])}\n{more(self.content)}{self._about()}")

    def _repr_html_(self) -> str:
        return answer_html(self.content, self._about())

    def _about(self) -> str:
        used = self.usage
        project = f" · project {self.project_id}" if self.project_id else ""
        return f"{self.model} · {used.input_tokens:,} + {used.output_tokens:,} tokens · {dollars(self.cost)}{project}"


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of one prompt: `content`, `usage` and `cost` if it is "completed", `error` if it "failed"."""

    id: str
    prompt: str
    status: str
    content: str | None = None
    usage: Usage | None = None
    cost: float | None = None
    error: str | None = None
    paid: bool | None = None
    """Whether it cost something; None if that is unknown."""


@dataclass(frozen=True, slots=True)
class BatchResponse:
    """The result of a batch; `results` are in the order of the prompts."""

    total: int
    completed: int
    failed: int
    results: list[BatchResult] = field(repr=False)
    total_cost: float
    total_tokens: int

    def __iter__(self) -> Iterator[BatchResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)


@dataclass(frozen=True, slots=True)
class UsageStats:
    """A project's usage in a period, and the rest of its monthly tokens."""

    project_id: str
    period: str
    total_tokens: int
    total_cost: float
    by_model: dict[str, dict[str, float]]
    limit: int | None = None
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class Paid:
    """One line of the client's own record: a call that cost something, or may have."""

    time: float
    method: str
    model: str
    input_tokens: int | None
    output_tokens: int | None
    tokens: int | None
    cost: float | None
    """In USD; None if the answer was lost, so that the cost is unknown."""
    project_id: str | None
    request_id: str
    status: str
    """`completed`, or `unknown` if the answer was lost."""


def dollars(cost: float) -> str:
    """Return an amount with as many digits as it needs.

    >>> dollars(1234.5), dollars(0.0123456), dollars(0.0000015), dollars(0.0)
    ('$1,234.50', '$0.0123', '$0.0000015', '$0.00')
    """
    if cost == 0 or abs(cost) >= 1:
        return f"${cost:,.2f}"
    if abs(cost) >= 0.001:
        return f"${cost:.4f}"
    return f"${cost:.10f}".rstrip("0") if abs(cost) >= 1e-10 else f"${cost:.1e}"


def more(content: str) -> str:
    """Return what a cut answer says about itself."""
    left = len(content) - SHOWN
    return f"… and {left:,} more characters, in .content\n" if left > 0 else ""


def answer_html(content: str, about: str, note: str = "") -> str:
    """Return an answer as a notebook shows it: the text as text, with a line about it below."""
    from html import escape

    from ..core.html import PLAIN, visible

    cut = more(content)
    body = (
        '<div style="white-space:pre-wrap;overflow-wrap:anywhere;max-width:72em;line-height:1.5;'
        f'max-height:40em;overflow-y:auto">{escape(visible(content[:SHOWN]))}</div>'
    )
    lines = [line for line in (cut.strip(), about, note) if line]
    foot = "".join(
        '<div style="opacity:.65;font-size:.9em;margin-top:.4em;overflow-wrap:anywhere">'
        f"{escape(visible(line[:500]))}</div>"
        for line in lines
    )
    return f'<div class="{PLAIN}">{body}{foot}</div>'
