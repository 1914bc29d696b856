"""Words of everyday mail and reviews, and what they speak for: all that the embedded service understands."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence

WORD = re.compile(r"[a-z][a-z'-]{2,}")
_STOPPED = (
    "the and for with that this from have has was were are not you your our one following which what how why who "
    "into out about its user answer word only than then them they there here can could would should just please "
    "may use tools agents skills task working directory project write explain tell describe follow analyze analyse "
    "give make list show count classify summarise summarize long short week this"
)
STOP = frozenset(_STOPPED.split())
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


def seed(*parts: str) -> int:
    digest = hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def hints(option: str) -> list[str]:
    """Return the words that speak for an option."""
    return [word for name in WORD.findall(option.lower()) for word in _HINTS.get(name, "").split()]


def best(options: Sequence[str], text: str, chance: random.Random | str) -> str:
    """Return the option that most words of a text speak for; where none does, one by chance, or always the same for a
    text."""
    scores = _scores(options, text)
    most = max(scores)
    if most:
        return options[scores.index(most)]
    return options[seed(chance) % len(options)] if isinstance(chance, str) else chance.choice(options)


def fitting(options: Sequence[str], text: str) -> list[str]:
    """Return the options that any word of a text speaks for."""
    return [option for option, score in zip(options, _scores(options, text), strict=True) if score]


def tone(text: str) -> int:
    """Return how friendly a text is: its friendly words less its angry ones."""
    found = WORD.findall(text.lower())
    return sum(word in _FRIENDLY for word in found) - sum(word in _ANGRY for word in found)


def telling(text: str, count: int) -> list[str]:
    """Return the last words of a text that say something."""
    found = [word for word in dict.fromkeys(WORD.findall(text.lower()[-5000:])) if word not in STOP]
    return found[-count:]


def _scores(options: Sequence[str], text: str) -> list[int]:
    given = set(WORD.findall(text.lower()))
    return [len(given & {*WORD.findall(option.lower()), *hints(option)}) for option in options]


_FRIENDLY, _ANGRY = frozenset(_HINTS["positive"].split()), frozenset(_HINTS["negative"].split())
