"""JSON objects for prompts that ask for one, without a model: the same prompt gives the same object.

A prompt asks with the words "one JSON object", and then a line for each key:

    "topic": one of "billing", "delivery", or null
    "score": a number from 0 to 1
    "tags": a list, each item a text

Small models look at the first words of the material alone, so that models differ now and then, as real ones do.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from . import words

_ASKED = "one JSON object"
_BLOCK = re.compile(r"[^\n]*\n((?:\"(?:[^\"\\\n]|\\.)+\": [^\n]+\n?)+)")
_LINE = re.compile(r'("(?:[^"\\]|\\.)+"): (a list, each item )?(.+)')
_TEXTS = re.compile(r'"(?:[^"\\]|\\.)*"')
_NUMBER = r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
_BOUNDS = re.compile(rf"(a (?:whole )?number)(?: from {_NUMBER})?(?: to {_NUMBER})?")
_AGAIN = "Your answer before was not that"
_READ = {"haiku": 14}
"""How many words of the material each model considers."""
KINDS = ("cut", "prose", "fenced", "enum", "nan", "nested", "several", "missing", "type", "long", "text", "twice")
"""Forms of an answer other than the object alone. `prose` and `fenced` contain a valid object."""


@dataclass(frozen=True, slots=True)
class _Key:
    """A requested key and the type of its value."""

    name: str
    many: bool
    choices: tuple[str, ...] = ()
    kind: str = "text"
    low: float = 0.0
    high: float = 0.0


def shaped(prompt: str, model: str, kind: str = "") -> str | None:
    """Return the object that a prompt asks for; None where it asks for none.

    `kind` spoils it, once: a prompt that asks for the same again gets a good one, unless the kind ends with "!".
    """
    at = prompt.rfind(_ASKED)  # the material may contain such a line too, and comes first
    match = _BLOCK.match(prompt, at) if at >= 0 else None
    if match is None:
        return None
    material = prompt[:at]
    length = _READ.get(model)
    read = material if length is None else " ".join(material.split(None, length)[:length])
    topics = words.heard(read)
    seed = words.seed(read, model)
    answer = {key.name: _value(key, topics, seed) for key in _keys(match[1])}
    if kind.endswith("!"):
        return _spoilt(answer, kind[:-1])
    return _spoilt(answer, "" if not kind or _AGAIN in prompt[match.end() - 1 :] else kind)


@lru_cache(maxsize=256)
def _keys(block: str) -> tuple[_Key, ...]:
    keys = []
    for line in block.splitlines():
        parts = _LINE.fullmatch(line)
        if parts is None:
            continue
        many, description = bool(parts[2]), parts[3]
        texts = _TEXTS.findall(description) if description.startswith("one of ") else []
        try:
            name, choices = json.loads(parts[1]), tuple(json.loads(one) for one in texts)
        except ValueError:
            continue  # it looks like a text of JSON, and is none
        bounds = _BOUNDS.match(description)
        low = float(bounds[2] or 0) if bounds else 0.0
        high = float(bounds[3]) if bounds and bounds[3] else low + 100
        if choices:
            keys.append(_Key(name, many, choices, "choice"))
        elif bounds is not None and math.isfinite(high - low):
            kind = "whole" if "whole" in bounds[1] else "number"
            keys.append(_Key(name, many, kind=kind, low=min(low, high), high=high))
        else:
            keys.append(_Key(name, many, kind="bool" if description.startswith("true or false") else "text"))
    return tuple(keys)


def _value(key: _Key, topics: words.Heard, seed: int) -> Any:
    if key.kind == "choice":
        if key.many:
            return topics.fitting(key.choices) or [key.choices[seed % len(key.choices)]]
        return topics.best(key.choices, seed)
    if key.kind == "bool":
        return [seed % 2 == 0] if key.many else topics.tone >= 0
    if key.kind == "text":
        spoken = topics.telling(3)
        return spoken if key.many else f"it speaks of {' and '.join(spoken[:2]) or 'nothing much'}"
    return [_number(key, topics, seed // 7**n) for n in range(3)] if key.many else _number(key, topics, seed)


def _number(key: _Key, topics: words.Heard, seed: int) -> float | int:
    """Return a number: high for friendly texts, low for angry ones."""
    place = min(1.0, max(0.0, 0.4 + 0.15 * topics.tone + seed % 1000 / 5000))
    value = key.low + place * (key.high - key.low)
    return min(max(round(value), int(key.low)), int(key.high)) if key.kind == "whole" else round(value, 2)


def _spoilt(answer: dict[str, Any], kind: str) -> str:
    text = json.dumps(answer, ensure_ascii=False)
    first = next(iter(answer), "")
    if kind == "cut":
        return text[: max(1, len(text) * 2 // 3)]
    if kind == "prose":
        return f"Of course. Here is what I found:\n\n{text}\n\nTell me {{whenever}} you need more."
    if kind == "fenced":
        return f"```json\n{text}\n```"
    if kind == "enum":
        return json.dumps({**answer, first: "none-of-these"}, ensure_ascii=False)
    if kind == "nan":
        return json.dumps({**answer, **{name: float("nan") for name, item in answer.items() if _counts(item)}} or {})
    if kind == "nested":
        return json.dumps({"answer": answer}, ensure_ascii=False)
    if kind == "several":
        return f"{text}\nor perhaps\n{json.dumps({**answer, first: None})}"
    if kind == "missing":
        return json.dumps({name: value for name, value in answer.items() if name != first}, ensure_ascii=False)
    if kind == "type":
        return json.dumps({**answer, first: [[1]]}, ensure_ascii=False)
    if kind == "long":
        return text[:-1] + ', "more": "' + "x" * 300_000 + '"}'
    if kind == "text":
        return "I would rather not say."
    if kind == "twice":
        return text[:-1] + f", {json.dumps(first)}: null}}"
    return text


def _counts(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
