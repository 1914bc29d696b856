"""The steps of a session: the same for the same profile, task and input, so that a run can be repeated.

`input_params` may control it, for demos and tests:

| knob            | means                                                                                   |
|-----------------|-----------------------------------------------------------------------------------------|
| `"steps": 5`    | how many steps                                                                          |
| `"seconds": 2`  | how long all steps take together, pauses for input not counted                          |
| `"ask": true`   | it pauses halfway, as a session that is out of turns; `"question"` asks that question    |
| `"fail": "why"` | it fails at the end, with that message                                                  |
| `"cancel": true`| it is canceled at the end                                                               |

All other input belongs to the task and is only shown.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from ..fields import Fields

PROFILES = ("content_writer", "researcher", "copilot")
MAX_STEPS = 10_000
ASKS = ("continue_or_finish", "question")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its name, its query, its text, and what it does to the session's artifact."""

    name: str
    seconds: float
    text: str = ""
    sql: str | None = None
    artifact: str | None = None
    """`create`, `revise` or `publish`."""
    ask: str | None = None
    ends: str | None = None
    """The status with which this step ends the session."""
    tokens: tuple[int, int] = (0, 0)
    """Tokens read and written."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps of a session; the last one ends it."""

    steps: tuple[Step, ...]
    title: str
    failure: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def last(self) -> int:
        return len(self.steps) - 1


_BY_CHANNEL = (
    "select channel, count(*) as interactions, round(avg(sentiment), 3) as sentiment from interactions"
    " group by 1 order by 2 desc, 1"
)
_BY_WEEK = (
    "select cast(date_trunc('week', occurred_at) as date) as week, count(*) as complaints from interactions"
    " where kind = 'complaint' group by 1 order by 2 desc, 1 limit 3"
)
_OPEN = (
    "select account, count(*) as unresolved from interactions where not resolved group by 1 order by 2 desc, 1 limit 5"
)

_WORK: dict[str, tuple[tuple[str, str, str | None, str | None], ...]] = {
    "researcher": (
        ("Reading the task", "I will look at the interactions first, then at what stands out.", None, None),
        ("Counting by channel", "Volume and mood differ a lot between channels.", _BY_CHANNEL, None),
        ("Looking for unusual weeks", "One week has far more complaints than the rest.", _BY_WEEK, None),
        ("Checking open cases", "Most open cases belong to a few accounts.", _OPEN, None),
        ("Writing the findings", "I am putting the findings in order.", None, None),
    ),
    "content_writer": (
        ("Reading the task", "I will collect material, then write a draft.", None, None),
        ("Collecting material", "These are the figures the text can lean on.", _BY_CHANNEL, None),
        ("Writing a draft", "The draft is ready to be looked at.", None, "create"),
        ("Revising", "I shortened the opening and checked the figures.", None, "revise"),
        ("Publishing", "The text is final.", None, "publish"),
    ),
    "copilot": (
        ("Understanding the question", "I understand what is asked.", None, None),
        ("Looking it up", "Here is what the data says.", _OPEN, None),
        ("Answering", "The answer is ready.", None, None),
    ),
}
_SECONDS = 1.5


def check(params: dict[str, Any]) -> None:
    """Refuse knobs of wrong types."""
    fields = Fields(params)
    fields.whole("steps", 1, least=1, most=MAX_STEPS)
    fields.seconds("seconds", _SECONDS, most=3600)
    fields.flag("cancel", False)
    fields.maybe_text("fail", limit=1000)
    _ask(fields)


def plan(profile: str, task: str, params: dict[str, Any]) -> Plan:
    """Return the steps of a session."""
    fields = Fields(params)
    work = _WORK[profile]
    count = fields.whole("steps", len(work), least=1, most=MAX_STEPS)
    each = fields.seconds("seconds", _SECONDS, most=3600) / count
    digest = hashlib.sha256(f"{profile}\n{task}".encode()).digest()
    chosen = _fitted(profile, count)
    steps = []
    for index, (name, text, sql, artifact) in enumerate(chosen):
        written = len(text) // 4 + digest[index % 32] % 40 + 20
        read = len(task) // 4 + 200 + 60 * index
        steps.append(Step(name, each, text, sql, artifact, tokens=(read, written)))
    ask = _ask(fields)
    if ask:
        steps.insert((count + 1) // 2, Step("Waiting for input", 0, ask=ask))
    failure = fields.maybe_text("fail")
    ends = "failed" if failure is not None else "canceled" if fields.flag("cancel", False) else "complete"
    steps.append(Step({"failed": "Failed", "canceled": "Canceled", "complete": "Done"}[ends], 0, ends=ends))
    return Plan(tuple(steps), _title(task), failure)


def _ask(fields: Fields) -> str | None:
    if isinstance(fields.values.get("ask"), bool):
        return ASKS[0] if fields.values["ask"] else None
    return fields.choice("ask", ASKS) if fields.values.get("ask") is not None else None


def _fitted(profile: str, count: int) -> list[tuple[str, str, str | None, str | None]]:
    """Return the profile's work in that many steps: longer by repeated look-ups, or cut short in the middle."""
    work = list(_WORK[profile])
    if count < len(work):
        # A text must be created before it is published, so short runs of a writer keep the creating steps.
        shown = [entry for entry in work if entry[3]][:count] if profile == "content_writer" else []
        rest = [entry for entry in work if entry not in shown][: count - len(shown)]
        return [entry for entry in work if entry in shown or entry in rest]
    middle = [(f"{work[1][0]}, part {n}", work[1][1], None, None) for n in range(2, count - len(work) + 2)]
    return [*work[:2], *middle, *work[2:]]


def _title(task: str) -> str:
    first = " ".join(task.split())
    return first if len(first) <= 80 else first[:79].rstrip() + "…"


def request_for(ask: str, task: str) -> dict[str, Any]:
    """Return what a pausing session asks for."""
    if ask == "question":
        return {
            "type": "question",
            "prompt": f"Which period matters for “{_title(task)}”?",
            "options": ["last week", "last month", "all of it"],
        }
    return {
        "type": "continue_or_finish",
        "prompt": "The session is out of turns. Continue, or finish with what there is?",
        "options": ["continue", "finish"],
    }
