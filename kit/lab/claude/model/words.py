"""Words of everyday mail and reviews and the topics that they indicate: all that the embedded service understands."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

WORD = re.compile(r"[a-z][a-z'-]{2,}")
_STOPPED = (
    "the and for with that this from have has was were are not you your our one following which what how why who "
    "into out about its user answer word only than then them they there here can could would should just please "
    "may use tools agents skills task working directory project write explain tell describe follow analyze analyse "
    "give make list show count classify summarise summarize long short week this"
)
STOP = frozenset(_STOPPED.split())
# Words that indicate each topic: everyday words of support mail and reviews.
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


def best(options: Sequence[str], text: str, seed: int) -> str:
    """Return the option that most words of a text speak for; where none does, always the same one for a seed."""
    return heard(text).best(options, seed)


def heard(text: str) -> Heard:
    """Return the known words of a text."""
    return Heard(WORD.findall(text.lower()))


class Heard:
    """The known words of a text, and the topics that they indicate."""

    __slots__ = ("_set", "_words")

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._set = frozenset(words)

    def best(self, options: Sequence[str], seed: int) -> str:
        """Return the option that most words speak for; where none does, one that is always the same for a seed."""
        scores = self._scores(options)
        most = max(scores)
        return options[scores.index(most)] if most else options[seed % len(options)]

    def fitting(self, options: Sequence[str]) -> list[str]:
        """Return the options that any word supports."""
        return [option for option, score in zip(options, self._scores(options), strict=True) if score]

    @property
    def tone(self) -> int:
        """Return how friendly it is: its friendly words less its angry ones."""
        return len(self._set & _FRIENDLY) - len(self._set & _ANGRY)

    def telling(self, count: int) -> list[str]:
        """Return the last words that say something."""
        words = [word for word in dict.fromkeys(self._words[-200:]) if word not in STOP]
        return words[-count:]

    def _scores(self, options: Sequence[str]) -> list[int]:
        return [len(self._set & _hints(option)) for option in options]


@lru_cache(maxsize=4096)
def _hints(option: str) -> frozenset[str]:
    """Return the words that speak for an option."""
    names = WORD.findall(option.lower())
    return frozenset(names) | {word for name in names for word in _HINTS.get(name, "").split()}


_FRIENDLY, _ANGRY = frozenset(_HINTS["positive"].split()), frozenset(_HINTS["negative"].split())
