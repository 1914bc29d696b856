"""Worlds of calls, and the comparison of what two servers answer."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kit.core.errors import KitError

Call = Callable[[Any], Any]
"""Given a client, makes a call and returns what can be compared of its answer."""


class World:
    """A part of a server that nothing else touches; says what to ask there next."""

    def __init__(self, chance: random.Random, name: str) -> None:
        self.chance, self.name = chance, name

    def first(self) -> list[tuple[str, Call]]:
        """Return the calls with which the world begins."""
        return []

    def next(self) -> tuple[str, Call]:
        """Return a call, and what it is called in a finding."""
        raise NotImplementedError

    def seen(self, answer: Any) -> None:
        """Take in what was answered to the last call."""

    def error(self, error: KitError) -> Any:
        """Return what of an error can be compared."""
        return {"error": type(error).__name__}


@dataclass
class Finding:
    """One call to which the two servers answered differently."""

    world: str
    number: int
    what: str
    lab: Any
    real: Any

    def __str__(self) -> str:
        return f"{self.world}, call {self.number}: {self.what}\n    lab:  {_short(self.lab)}\n    real: {_short(self.real)}"


@dataclass
class Report:
    """What was asked, and what differed."""

    calls: int = 0
    worlds: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


def answer(world: World, client: Any, call: Call) -> Any:
    """Return what can be compared of an answer, or of an error."""
    try:
        return call(client)
    except KitError as error:
        return world.error(error)


def campaign(
    make: Callable[[random.Random, str], World], lab: Any, real: Any, ops: int, seed: int, size: int = 150
) -> Report:
    """Ask both the same, so often; `size` calls make a world."""
    report = Report()
    while report.calls < ops:
        # A world's own seed: it can be asked again without those before it.
        name = f"{seed}-{report.worlds}"
        world = make(random.Random(name), name)
        report.worlds += 1
        waiting = world.first()
        for number in range(min(size, ops - report.calls)):
            what, call = waiting.pop(0) if waiting else world.next()
            found, there = answer(world, lab, call), answer(world, real, call)
            report.calls += 1
            report.kinds[what.partition("(")[0]] += 1
            if isinstance(there, dict) and "error" in there:
                report.errors[str(there.get("code") or there["error"])] += 1
            if not same(found, there):
                report.findings.append(Finding(name, number, what, found, there))
                break
            world.seen(there)
    return report


def same(one: Any, other: Any) -> bool:
    """Whether two answers are the same, their types included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 600 else f"{text[:600]}... ({len(text)} characters)"
