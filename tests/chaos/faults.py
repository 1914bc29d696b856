"""Which fault a run meets, as its seed says."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .proxy import Fault

BYTES = ("reset", "cut", "half", "dribble", "stall", "hang", "twice", "garbage", "late", "type")
STREAMED = tuple(kind for kind in BYTES if kind != "type")
LAB = ("reset", "drop", "truncate", "stall", "garbage", "delay", "429", "503")
SECONDS = 0.3
"""How long what stalls does so: about half of the clients' patience, or well beyond it."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What one run meets: some of the proxy's faults, or some of the lab's."""

    bytes: tuple[Fault, ...] = ()
    lab: tuple[dict[str, object], ...] = ()

    def __str__(self) -> str:
        told = [f"{fault.kind}-{fault.side}@{fault.after}+{fault.skip}" for fault in self.bytes]
        return " ".join([*told, *(f"lab:{rule['kind']}@{rule.get('after')}+{rule.get('skip')}" for rule in self.lab)])


def trouble(
    chance: random.Random, bounds: list[int], *, http: bool = True, most: int = 2, slow: float = 0.08
) -> Trouble:
    """One or more faults. `bounds` are the positions in a good answer where a frame ends."""
    count = chance.randint(1, most)
    if chance.random() < 0.4:
        return Trouble(lab=tuple(_of_lab(chance, bounds, slow) for _ in range(count)))
    kinds = BYTES if http else STREAMED
    return Trouble(bytes=tuple(_of_bytes(chance, kinds, bounds, slow) for _ in range(count)))


def _place(chance: random.Random, bounds: list[int]) -> int:
    """At the end of a frame, next to it, or anywhere."""
    end = bounds[-1] if bounds else 400
    if bounds and chance.random() < 0.6:
        return max(0, chance.choice(bounds) + chance.choice((-1, 0, 0, 1)))
    return chance.choice((0, 0, 1, 2, 3, 4, 5, 17, chance.randrange(end + 1), chance.randrange(end + 1)))


def _of_bytes(chance: random.Random, kinds: tuple[str, ...], bounds: list[int], slow: float) -> Fault:
    kind = chance.choice(kinds)
    while kind in ("stall", "hang") and chance.random() > slow * 4:
        kind = chance.choice(kinds)
    side = "up" if kind in ("reset", "cut", "half", "dribble", "stall", "hang") and chance.random() < 0.3 else "down"
    after = 0 if kind in ("garbage", "twice", "type") else _place(chance, bounds)
    if side == "up":
        after = chance.choice((0, 1, 5, 30, 100, 300, 1000))
    seconds = chance.choice((SECONDS, 3 * SECONDS)) if kind in ("stall", "hang") else 0.0
    return Fault(kind, side, after, seconds, chance.choice((0, 0, 0, 1, 2)))


def _of_lab(chance: random.Random, bounds: list[int], slow: float) -> dict[str, object]:
    kind = chance.choice(LAB)
    while kind == "stall" and chance.random() > slow * 4:
        kind = chance.choice(LAB)
    rule: dict[str, object] = {"kind": kind, "skip": chance.choice((0, 0, 0, 1, 2)), "after": _place(chance, bounds)}
    if kind in ("stall", "delay"):
        rule["seconds"] = SECONDS if kind == "stall" else 0.05
    return rule
