"""Instructions in a prompt for the lab itself, so that demos and tests can produce any outcome:

    Summarise this. [lab words=200 delay=0.5]

words=N            an answer of that many words
delay=S            answers after S seconds, or with a timeout if the request allows less
tokens=IN/OUT      reports these counts of tokens
say=KIND           `html`, `escapes` or `long`: an answer that displays must not trust
shape=KIND         spoils the requested JSON object: cut, prose, fenced, enum, nan, nested, several, missing,
                   type, long, text, twice; `cut!` also spoils the answer to a repair
answer=NAME        the text stored under this name (see `control.py`)
fail=KIND          timeout, rate_limited, overloaded, upstream_error, auth_error, cli_error, json, null, budget
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import shapes

_FOUND = re.compile(r"\[lab ([^\]\n]{0,200})\]")
_FAILURES = {
    "timeout",
    "rate_limited",
    "overloaded",
    "upstream_error",
    "auth_error",
    "cli_error",
    "json",
    "null",
    "budget",
}
MOST_WORDS = 100_000
LONGEST_DELAY = 700.0
_MOST_TOKENS = 10**9


@dataclass(frozen=True, slots=True)
class Directives:
    words: int | None = None
    delay: float = 0.0
    tokens: tuple[int, int] | None = None
    say: str = ""
    fail: str = ""
    shape: str = ""
    answer: str = ""
    wrong: str = ""
    """The part that could not be understood; the run then fails with it."""


_NONE = Directives()


def read(prompt: str) -> tuple[Directives, str]:
    """Return the directives of a prompt, and the prompt without them.

    >>> read("Hello [lab words=3 fail=overloaded]")
    (Directives(words=3, delay=0.0, tokens=None, say='', fail='overloaded', shape='', answer='', wrong=''), 'Hello')
    >>> read("Hello [lab colour=red]")[0].wrong
    "no directive 'colour=red'"
    """
    if "[lab " not in prompt:
        return _NONE, prompt
    given = [part for block in _FOUND.findall(prompt) for part in block.split()]
    if not given:
        return _NONE, prompt
    words: int | None = None
    delay, tokens, say, fail, shape, answer, wrong = 0.0, None, "", "", "", "", ""
    for part in given:
        name, _, value = part.partition("=")
        if name == "words" and value.isdecimal() and len(value) < 9:
            words = min(int(value), MOST_WORDS)
        elif name == "delay" and re.fullmatch(r"\d{1,6}(\.\d{1,6})?", value):
            delay = min(float(value), LONGEST_DELAY)
        elif name == "tokens" and re.fullmatch(r"\d{1,10}/\d{1,10}", value):
            into, _, out = value.partition("/")
            tokens = min(int(into), _MOST_TOKENS), min(int(out), _MOST_TOKENS)
        elif name == "say" and value in ("html", "escapes", "long"):
            say = value
        elif name == "shape" and value.removesuffix("!") in shapes.KINDS:
            shape = value
        elif name == "answer" and value:
            answer = value
        elif name == "fail" and value in _FAILURES:
            fail = value
        else:
            wrong = f"no directive {part!r}"
    return Directives(words, delay, tokens, say, fail, shape, answer, wrong), _FOUND.sub("", prompt).strip()
