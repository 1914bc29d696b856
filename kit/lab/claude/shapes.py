"""JSON for prompts that ask for it, without a model: the same prompt gives the same object.

A prompt asks with the words "one JSON object", and then a line for each key:

    "topic": one of "billing", "delivery", or null
    "score": a number from 0 to 1
    "tags": a list, each item a text

Small models look at the first words of the material alone, so that models differ now and then, as real ones do.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from typing import Any

from . import words

_ASKED = re.compile(r"\bone JSON object\b[^\n]*\n((?:\"(?:[^\"\\\n]|\\.)+\": [^\n]+\n?)+)")
_LINE = re.compile(r'("(?:[^"\\]|\\.)+"): (a list, each item )?(.+)')
_TEXTS = re.compile(r'"(?:[^"\\]|\\.)*"')
_NUMBER = r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
_BOUNDS = re.compile(rf"(a (?:whole )?number)(?: from {_NUMBER})?(?: to {_NUMBER})?")
_AGAIN = "Your answer before was not that"
_READ = {"haiku": 14}
"""How many words of the material a model looks at."""
KINDS = ("cut", "prose", "fenced", "enum", "nan", "nested", "several", "missing", "type", "long", "text", "twice")
"""What an answer can be made to be instead of the object alone. `prose` and `fenced` have a good one inside."""


def shaped(prompt: str, model: str, kind: str = "") -> str | None:
    """Return the object that a prompt asks for; None where it asks for none.

    `kind` spoils it, once: a prompt that asks for the same again gets a good one, unless the kind ends with "!".
    """
    asked = list(_ASKED.finditer(prompt))
    if not asked:
        return None
    found = asked[-1]  # material may ask for things too
    material = prompt[: found.start()]
    read = " ".join(material.split()[: _READ.get(model, 10_000)])
    chance = random.Random(words.seed(read, model))
    answer: dict[str, Any] = {}
    for line in found[1].splitlines():
        parts = _LINE.fullmatch(line)
        if parts is not None:
            answer[json.loads(parts[1])] = _value(parts[3], bool(parts[2]), read, chance)
    if kind.endswith("!"):
        return _spoilt(answer, kind[:-1])
    return _spoilt(answer, "" if _AGAIN in prompt[found.end() - 1 :] else kind)


def _value(told: str, many: bool, material: str, chance: random.Random) -> Any:
    if told.startswith("one of "):
        choices = [json.loads(one) for one in _TEXTS.findall(told)]
        if many:
            return words.fitting(choices, material) or [chance.choice(choices)]
        return words.best(choices, material, chance)
    if told.startswith("true or false"):
        return [chance.random() < 0.5] if many else words.tone(material) >= 0
    bounds = _BOUNDS.match(told)
    if bounds is not None:
        return [_number(bounds, material, chance) for _ in range(3)] if many else _number(bounds, material, chance)
    spoken = words.telling(material, 3)
    return spoken if many else f"it speaks of {' and '.join(spoken[:2]) or 'nothing much'}"


def _number(bounds: re.Match[str], material: str, chance: random.Random) -> float | int:
    """Friendly texts get much, angry ones little."""
    low = float(bounds[2] or 0)
    high = float(bounds[3]) if bounds[3] else low + 100
    low = min(low, high)
    place = min(1.0, max(0.0, 0.5 + 0.15 * words.tone(material) + chance.uniform(-0.1, 0.1)))
    value = low + place * (high - low)
    return min(max(round(value), int(low)), int(high)) if "whole" in bounds[1] else round(value, 2)


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
        return json.dumps({**answer, **{name: float("nan") for name, one in answer.items() if _counts(one)}} or {})
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


__all__: Sequence[str] = ("KINDS", "shaped")
