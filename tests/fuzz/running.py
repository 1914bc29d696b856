"""Feeds inputs to a decoder and watches errors, memory and time."""

from __future__ import annotations

import random
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from ..pace import slowness
from .mutate import damaged

CORPUS = Path(__file__).parent / "corpus"
SLOW = 0.1
"""Seconds for one input, beside what is in proportion to its size; without those for which others had the processor."""
ROOM = 16 * 1024 * 1024
"""Bytes that an input may take beside what is in proportion to it."""


class Difference(AssertionError):
    """Two ways to decode the same bytes did not say the same."""


def _clock() -> float:
    """Seconds that this thread had, or slept; where the system tells for how long it had to wait for a processor."""
    try:
        waited = int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        waited = 0.0
    return time.perf_counter() - waited


@dataclass(frozen=True)
class Target:
    """A decoder."""

    name: str
    samples: Callable[[], list[bytes]]
    run: Callable[[bytes, random.Random], Any]
    """Decodes; raises a declared error, or `Difference`."""
    errors: tuple[type[BaseException], ...] = ()
    wrap: Callable[[bytes], bytes] | None = None
    """Makes lengths and checksums around a damaged body right again."""
    text: bool = False
    factor: int = 200
    """Bytes of memory for each byte of input."""
    pace: float = 1e-6
    """Seconds for each byte of input."""

    def slow(self, data: bytes) -> float:
        """Return how long an input may take."""
        return SLOW + self.pace * len(data)


@dataclass
class Outcome:
    """What came of a decoder's inputs."""

    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    most: int = 0
    pool: int = 0
    found: list[str] = field(default_factory=list)
    cases: list[bytes] = field(default_factory=list)


def kept(name: str) -> list[bytes]:
    """Inputs that once were trouble."""
    return [path.read_bytes() for path in sorted(CORPUS.glob(f"{name}-*.bin"))]


def judged(target: Target, data: bytes, chance: random.Random) -> tuple[str, bool]:
    """What is wrong with the way an input is taken, or nothing; and whether it was refused."""
    try:
        target.run(data, chance)
    except target.errors:
        return "", True
    except Difference as error:
        return f"difference: {error}", False
    except MemoryError:
        return "MemoryError", False
    except Exception as error:
        return f"undeclared {type(error).__name__}: {str(error)[:200]}", False
    return "", False


def fuzz(
    target: Target, count: int, seed: int, *, seconds: float = 1e9, guided: bool = False, every: int = 50
) -> Outcome:
    """So many inputs, or as many as fit into the time."""
    chance = random.Random(f"{target.name}/{seed}")
    samples = [*target.samples(), *kept(target.name)]
    outcome, seen = Outcome(), set[Any]()
    started = time.perf_counter()
    for n in range(count):
        if time.perf_counter() - started > seconds or len(outcome.found) >= 10:
            break
        if n < len(samples):
            data = samples[n]
        else:
            data = damaged(chance, chance.choice(samples), samples, text=target.text)
            if target.wrap is not None and chance.random() < 0.6:
                data = target.wrap(data)
        state = chance.getstate()
        if guided and _reaches(lambda data=data: judged(target, data, chance), seen) and len(samples) < 3000:  # type: ignore[misc]
            samples.append(data)
            chance.setstate(state)
        before = _clock()
        told, refused = judged(target, data, chance)
        took = _clock() - before
        if n % every == 0 and not told:
            told = _memory(target, data, state, outcome)
        if took > target.slow(data) and not told:
            took, late = _again(target, data, state)
            if late:
                told = f"took {took:.2f} s for {len(data)} bytes"
        outcome.inputs += 1
        outcome.refused += refused
        outcome.slowest = max(outcome.slowest, took)
        if told and not any(one.startswith(told[:60]) for one in outcome.found):
            outcome.found.append(told)
            outcome.cases.append(data)
    outcome.seconds, outcome.pool = time.perf_counter() - started, len(samples)
    return outcome


def _memory(target: Target, data: bytes, state: Any, outcome: Outcome) -> str:
    chance = random.Random()
    chance.setstate(state)
    tracemalloc.start()
    try:
        told, _ = judged(target, data, chance)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    outcome.most = max(outcome.most, peak)
    if not told and peak > ROOM + target.factor * len(data):
        return f"took {peak:,} bytes of memory for {len(data):,}"
    return told


def _again(target: Target, data: bytes, state: Any) -> tuple[float, bool]:
    """The quickest of some more tries, and whether each was late: what else runs on the machine is not the decoder's
    fault, and makes it slower from one moment to the next."""
    best, late = 1e9, True
    for _ in range(6):
        chance = random.Random()
        chance.setstate(state)
        before = _clock()
        judged(target, data, chance)
        took = _clock() - before
        best, late = min(best, took), took > target.slow(data) * slowness()
        if not late:
            break
    return best, late


def _reaches(call: Callable[[], Any], seen: set[Any]) -> bool:
    """Whether a call runs from one line of the package to another as none has before."""
    new = False

    def local(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal new
        if event == "line":
            edge = (frame.f_code, frame.f_lineno, last[0])
            last[0] = frame.f_lineno
            if edge not in seen:
                seen.add(edge)
                new = True
        return local

    def enter(frame: FrameType, event: str, arg: Any) -> Any:
        return local if "/kit/" in frame.f_code.co_filename else None

    last = [0]
    before = sys.gettrace()
    sys.settrace(enter)
    try:
        call()
    finally:
        sys.settrace(before)
    return new


def keep(name: str, data: bytes) -> Path:
    """Writes a case into the corpus."""
    path = CORPUS / f"{name}-{zlib.crc32(data):08x}.bin"
    path.write_bytes(data)
    return path
