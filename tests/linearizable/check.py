"""The search for an order: Wing and Gong's, with what was tried before remembered.

An operation takes effect at one moment between its start and its finish. The search takes one that may be next, applies
it to the state, and goes on; where nothing fits it goes back. Two ways to the same state with the same operations
done are one. An operation whose outcome is not known may take effect at any time after its start, or never.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

State = Hashable
Step = Callable[[Any, dict[str, Any], "dict[str, Any] | None"], Iterable[State]]
"""The states that an operation can lead to from a state: none where its answer cannot be; a finish of None is unknown."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of one client."""

    client: int
    start: dict[str, Any]
    finish: dict[str, Any] | None
    began: int
    ended: float
    """Positions in the history; infinity where nobody knows what came of it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the search found."""

    linearizable: bool | None
    """None where there was no time to find out."""
    longest: tuple[Operation, ...]
    """The most operations that could be put in an order; all of them where it is linearizable."""
    steps: int


def check(operations: list[Operation], initial: State, step: Step, seconds: float = 60.0) -> Verdict:
    """Look for an order of the operations that explains every answer."""
    ops = sorted(operations, key=lambda one: one.began)
    known = sum(1 << n for n, one in enumerate(ops) if one.finish is not None)
    deadline = time.monotonic() + seconds
    seen: set[tuple[int, State]] = set()
    order: list[int] = []
    best: list[int] = []
    steps = 0
    # Each level: the state, what is done, and the choices that are left there.
    levels = [(initial, 0, _choices(ops, 0, initial, step))]
    while levels:
        _, done, choices = levels[-1]
        if done & known == known:
            return Verdict(True, tuple(ops[n] for n in order), steps)
        for n, after in choices:
            steps += 1
            mark = (done | 1 << n, after)
            if mark not in seen:
                seen.add(mark)
                order.append(n)
                if len(order) > len(best):
                    best = list(order)
                levels.append((after, mark[0], _choices(ops, mark[0], after, step)))
                break
        else:
            levels.pop()
            if order:
                order.pop()
        if steps % 1024 == 0 and time.monotonic() > deadline:
            return Verdict(None, tuple(ops[n] for n in best), steps)
    return Verdict(False, tuple(ops[n] for n in best), steps)


def _choices(ops: list[Operation], done: int, state: State, step: Step) -> Iterable[tuple[int, State]]:
    """What may come next: no operation that had ended before it began is still to be done."""
    first_end = min((one.ended for n, one in enumerate(ops) if not done >> n & 1), default=0)
    unknown = []
    for n, one in enumerate(ops):
        if one.began > first_end:
            break
        if done >> n & 1:
            continue
        if one.finish is None:
            unknown.append(n)
            continue
        for after in step(state, one.start, one.finish):
            yield n, after
    # What is not known is tried last: it explains what nothing else does.
    for n in unknown:
        for after in step(state, ops[n].start, None):
            if after != state:
                yield n, after
