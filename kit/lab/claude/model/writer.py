"""Text without a model: the same prompt gives the same text, and simple requests are fulfilled.

A prompt that asks for a JSON object gets one (`shapes.py`). One that names choices ("one of: billing, delivery") gets
one of them, by the words that it shares with the rest of the prompt; one that says "count to 5" gets the numbers; any
other gets prose made of its own words.
"""

from __future__ import annotations

import random
import re

from . import shapes, words

LENGTHS = {"haiku": 25, "sonnet": 60, "opus": 120}
_CHOICES = re.compile(r"one of(?: the following)?\s*:?\s*([^\n.;?!]{3,400})", re.I)
_COUNT = re.compile(r"\bcount to (\d{1,4})\b", re.I)
_HOSTILE = {
    "html": "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"><b>bold?</b> & more",
    "escapes": "red? \x1b[31mred\x1b[0m, cleared? \x1b[2J\x1b[H, titled? \x1b]0;owned\x07, backwards? \u202edesrever",
}
_OPENINGS = ("In short, ", "Put simply, ", "At its heart, ", "Seen closely, ", "For most purposes, ")
_MIDDLES = (
    "one can hardly speak of {a} without {b}",
    "{a} and {b} belong together",
    "to know about {a} is to know about {b}",
    "there is more to {a} than to {b}",
    "much has been said about {a}, and less about {b}",
    "it is {a} that matters, and then {b}",
)
_ENDS = (", and that is worth knowing", ", as practice shows", ", most of the time", "", "", ", at least at first")


def write(prompt: str, model: str, length: int | None = None, say: str = "", shape: str = "") -> str:
    """Return the answer to a prompt.

    >>> write("Answer with one of: billing, delivery. I was charged twice!", "haiku")
    'billing'
    >>> write("Count to 5", "haiku")
    '1, 2, 3, 4, 5'
    """
    if say == "long":
        return ("All work and no play makes a long answer. " * 7200)[:300_000]
    if say:
        return _HOSTILE[say]
    if length is None:
        answer = shapes.shaped(prompt, model, shape)
        if answer is not None:
            return answer
        counting = _COUNT.search(prompt)
        if counting:
            return ", ".join(str(n + 1) for n in range(int(counting[1])))
        choice = _choice(prompt)
        if choice:
            return choice
    return _prose(prompt, model, length)


def _choice(prompt: str) -> str:
    match = _CHOICES.search(prompt)
    if match is None:
        return ""
    options = [part.strip(" \"'`*") for part in re.split(r",|/|\bor\b", match[1])]
    options = [option for option in options if option and len(option) <= 40][:50]
    if len(options) < 2:
        return ""
    return words.best(options, prompt[: match.start()] + prompt[match.end() :], words.seed(prompt))


def _prose(prompt: str, model: str, count: int | None) -> str:
    """Write whole sentences of the model's usual length, or exactly `count` words."""
    length = LENGTHS.get(model, 40) if count is None else count
    chance = random.Random(words.seed(prompt, model))
    subjects = [word for word in dict.fromkeys(words.WORD.findall(prompt.lower()[:5000])) if word not in words.STOP][
        :40
    ]
    subjects += ["practice", "detail", "structure", "care"][: max(0, 4 - len(subjects))]
    written: list[str] = []
    while len(written) < length:
        a, b = chance.sample(subjects, 2)
        sentence = chance.choice(_OPENINGS) + chance.choice(_MIDDLES).format(a=a, b=b) + chance.choice(_ENDS) + "."
        written += sentence.split()
    text = " ".join(written if count is None else written[:length])
    return text if not text or text.endswith(".") else text.rstrip(",") + "."
