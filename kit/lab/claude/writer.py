"""Text without a model: the same prompt gives the same text, and simple requests get what they ask for.

A prompt that names its choices ("one of: billing, delivery, praise") gets one of them, by the words it shares with the
rest of the prompt; one that says "count to 5" gets the numbers; all else gets prose from its own words.
"""

from __future__ import annotations

import hashlib
import random
import re

LENGTHS = {"haiku": 25, "sonnet": 60, "opus": 120}
_CHOICES = re.compile(r"one of(?: the following)?\s*:?\s*([^\n.;?!]{3,400})", re.I)
_COUNT = re.compile(r"\bcount to (\d{1,4})\b", re.I)
_WORD = re.compile(r"[a-z][a-z'-]{2,}")
_STOPPED = (
    "the and for with that this from have has was were are not you your our one following which what how why who "
    "into out about its user answer word only than then them they there here can could would should just please "
    "may use tools agents skills task working directory project write explain tell describe follow analyze analyse "
    "give make list show count classify summarise summarize long short week this"
)
_STOP = frozenset(_STOPPED.split())
# What people say when they mean one of these; everyday words of support mail and of reviews.
_HINTS = {
    "billing": "charged charge invoice price paid pay payment card refund money twice fee subscription bill cost",
    "refund": "refund money back return charged",
    "delivery": "arrived arrive parcel package courier shipping shipped late waiting tracking delivered deliver",
    "shipping": "arrived arrive parcel package courier shipped late waiting tracking delivered deliver",
    "technical": "error crash crashes bug login password page loading screen broken app update install",
    "bug": "error crash crashes broken wrong fails loading freezes",
    "account": "login password account email profile sign delete name",
    "product": "broken size colour color quality fits material screen battery scratched missing",
    "praise": "thank thanks great love wonderful excellent happy perfect best recommend lovely friendly",
    "positive": "thank thanks great love wonderful excellent happy perfect best recommend lovely friendly good",
    "negative": "late broken charged twice terrible bad angry never wrong waiting disappointed worst crash",
    "complaint": "late broken twice terrible bad angry never wrong waiting disappointed worst",
    "question": "how when where which does could",
}
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


def write(prompt: str, model: str, words: int | None = None, say: str = "") -> str:
    """The answer to a prompt.

    >>> write("Answer with one of: billing, delivery. I was charged twice!", "haiku")
    'billing'
    >>> write("Count to 5", "haiku")
    '1, 2, 3, 4, 5'
    """
    if say == "long":
        return ("All work and no play makes a long answer. " * 7200)[:300_000]
    if say:
        return _HOSTILE[say]
    if words is None:
        counting = _COUNT.search(prompt)
        if counting:
            return ", ".join(str(n + 1) for n in range(int(counting[1])))
        choice = _choice(prompt)
        if choice:
            return choice
    return _prose(prompt, model, words)


def _seed(*parts: str) -> int:
    digest = hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def _choice(prompt: str) -> str:
    found = _CHOICES.search(prompt)
    if found is None:
        return ""
    options = [part.strip(" \"'`*") for part in re.split(r",|/|\bor\b", found[1])]
    options = [option for option in options if option and len(option) <= 40][:50]
    if len(options) < 2:
        return ""
    rest = set(_WORD.findall((prompt[: found.start()] + prompt[found.end() :]).lower()))
    scores = [len(rest & {*_WORD.findall(option.lower()), *_hints(option)}) for option in options]
    best = max(scores)
    if best == 0:
        return options[_seed(prompt) % len(options)]
    return options[scores.index(best)]


def _hints(option: str) -> list[str]:
    return [word for name in _WORD.findall(option.lower()) for word in _HINTS.get(name, "").split()]


def _prose(prompt: str, model: str, asked: int | None) -> str:
    """Whole sentences, about as many as the model is given to; or exactly so many words."""
    words = LENGTHS.get(model, 40) if asked is None else asked
    chance = random.Random(_seed(prompt, model))
    subjects = [word for word in dict.fromkeys(_WORD.findall(prompt.lower()[:5000])) if word not in _STOP][:40]
    subjects += ["practice", "detail", "structure", "care"][: max(0, 4 - len(subjects))]
    written: list[str] = []
    while len(written) < words:
        a, b = chance.sample(subjects, 2)
        sentence = chance.choice(_OPENINGS) + chance.choice(_MIDDLES).format(a=a, b=b) + chance.choice(_ENDS) + "."
        written += sentence.split()
    text = " ".join(written if asked is None else written[:words])
    return text if not text or text.endswith(".") else text.rstrip(",") + "."
