"""One run: a scenario's operations under a plan of faults, what must hold, and the trace."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import inspect
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from kit.core import calls
from kit.core.errors import KitError

from .broken import broken
from .faults import CALLS, CONNECTIONS, MOMENTS, PIECES, Fault
from .house import House
from .world import World

Op = tuple[Any, ...]
"""What is done: its name, and its arguments."""


class Violation(AssertionError):
    """Something that must hold did not."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run depends on."""

    scenario: str
    seed: int
    ops: tuple[Op, ...]
    faults: tuple[Fault, ...]
    broken: str = ""


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    plan: Plan
    lines: list[str]
    violation: str = ""
    met: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    failed: int = 0
    seconds: float = 0.0
    """Of made-up time."""

    @property
    def digest(self) -> str:
        """A hash of the trace."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()[:16]


class Scenario:
    """Work with one service. Derive it, and name it in `scenarios.py`."""

    name: ClassVar[str]
    service: ClassVar[str]
    error: ClassVar[type[KitError]]
    """What all errors of the service derive from."""
    pieces: ClassVar[int] = 60
    """About how many pieces a run sends: where faults can be."""
    connections: ClassVar[int] = 4
    kinds: ClassVar[tuple[str, ...]] = (*PIECES, *PIECES, *CONNECTIONS, *MOMENTS, *CALLS, *CALLS, "503", "429")
    patience: ClassVar[float] = 30.0
    """Seconds that a call may take at most, beside those for which faults hold it up."""
    strict: ClassVar[bool] = False
    """Whether `patience` bounds a call whatever holds it up, but for a process that stood still."""
    retries: ClassVar[int] = 3
    """How often a call may be made again."""

    def ops(self, chance: random.Random) -> list[Op]:
        """Return what is to be done."""
        raise NotImplementedError

    def prepare(self, run: Run) -> None:
        """Make what the work needs, while nothing goes wrong."""

    def work(self, run: Run) -> None:
        """Do it, under faults; what it raises that is no error of the service is a violation."""
        raise NotImplementedError

    def judge(self, run: Run) -> None:
        """Look at what is there now, while nothing goes wrong."""

    def plan(self, seed: int, broken: str = "") -> Plan:
        """Return the plan of a seed."""
        chance = random.Random(f"{self.name}/{seed}")
        faults = []
        for _ in range(chance.choice((0, 1, 1, 2, 3, 5))):
            kind = chance.choice(self.kinds)
            most = self.connections if kind in CONNECTIONS else 2000 if kind in MOMENTS else self.pieces
            most = 15 if kind in CALLS else most
            at = chance.randrange(12) if kind.isdigit() else 1 + chance.randrange(most)
            at = min(at, 1 + chance.randrange(most)) if kind in CALLS else at
            size = chance.choice((0, 0, 1, chance.randrange(40), chance.randrange(5000)))
            seconds = chance.choice((0.0, 1.0)) if kind.isdigit() else _seconds(kind, chance)
            faults.append(Fault(kind, at, size, seconds))
        return Plan(self.name, seed, tuple(self.ops(chance)), tuple(faults), broken)


def _seconds(kind: str, chance: random.Random) -> float:
    if kind == "jump":
        return chance.choice((-3600.0, -1.0, 1.0, 3600.0))
    if kind == "freeze":
        return chance.choice((0.5, 3.0, 30.0))
    if kind == "cancel":
        return chance.choice((0.0, 0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)) * (0.5 + chance.random())
    return chance.choice((0.2, 1.0, 5.0)) if kind in ("stall", "outage") else 0.0


class Interrupted(KitError):
    """A call was cancelled, or interrupted: nobody knows what came of it."""


class Run:
    """What a scenario works with."""

    def __init__(self, scenario: Scenario, plan: Plan, world: World, house: House) -> None:
        self.scenario, self.plan, self.world, self.house = scenario, plan, world, house
        self.loop, self.network = world.loop, world.loop.network
        self.chance = random.Random(f"{plan.seed}/run")
        self.calls = self.failed = 0
        self.error: KitError | None = None
        """Of the newest call that blocked."""
        self.given: dict[str, Any] = {}
        self._closing: list[Callable[[], Any]] = []
        self._cancels = {one.at: one for one in plan.faults if one.kind == "cancel"}
        held = ("freeze",) if scenario.strict else ("freeze", "stall", "outage", "429", "503")
        self._held = sum(one.seconds for one in plan.faults if one.kind in held)

    @property
    def ops(self) -> tuple[Op, ...]:
        return self.plan.ops

    @property
    def env(self) -> dict[str, str]:
        return self.house.env

    def check(self, held: bool, *told: Any) -> None:
        """Note a violation, where something does not hold."""
        if not held:
            raise Violation(" ".join(str(one)[:500] for one in told))

    def closes(self, close: Callable[[], Any]) -> None:
        """Call this at the end of the work."""
        self._closing.append(close)

    def wait(self, awaitable: Awaitable[Any]) -> Any:
        """Return what a coroutine gives."""
        return self.world.run(awaitable)

    def together(self, *works: Awaitable[Any]) -> None:
        """Let coroutines run at once, to their ends."""

        async def run() -> None:
            tasks = [asyncio.ensure_future(one) for one in works]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
                for task in tasks:
                    if task.done():
                        task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

        self.wait(run())

    def followed(self, make: Callable[[], Any]) -> Any:
        """Return a feed, as soon as one can be made; to make one may be to ask the service something."""
        for _ in range(60):
            feed = self.tries("feed", make)
            if feed is not None:
                return feed
            self.world.sleep(0.5)
        raise Violation("no feed can be made")

    def settled(self) -> None:
        """Let nothing go wrong any more, and what is late arrive: a call that was given up may still be carried out."""
        self.house.calm()
        self.world.sleep(8)

    async def tried(self, what: str, call: Callable[[], Awaitable[Any]], patience: float = 0.0) -> tuple[Any, Any]:
        """Return what an awaited call gives, and the error that it raised."""
        with self._timed(what, patience) as told:
            task = asyncio.ensure_future(call())
            cancel = self._cancel()
            timer = cancel and self.loop.call_later(cancel.seconds, task.cancel)
            try:
                told[0] = await task
            except KitError as error:
                told[1] = error
            except asyncio.CancelledError:
                if cancel is None or not task.cancelled():
                    raise
                self.network.hit(cancel, what)
                told[1] = Interrupted("cancelled")
            finally:
                if timer is not None:
                    timer.cancel()
                task.cancel()
        return told[0], told[1]

    def _cancel(self) -> Fault | None:
        return None if self.network.quiet else self._cancels.pop(self.calls, None)

    def tries(self, what: str, call: Callable[[], Any], patience: float = 0.0) -> Any:
        """Return what a call that blocks gives; its error is in `error`."""
        with self._timed(what, patience) as told:
            cancel = self._cancel()
            self.loop.interrupt = None if cancel is None else self.loop.now + cancel.seconds
            try:
                told[0] = call()
            except KitError as error:
                told[1] = error
            except KeyboardInterrupt:
                if cancel is None:
                    raise
                self.network.hit(cancel, what)
                told[1] = Interrupted("interrupted")
            finally:
                self.loop.interrupt = None
        self.error = told[1]
        return told[0]

    @contextlib.contextmanager
    def _timed(self, what: str, patience: float) -> Iterator[list[Any]]:
        self.calls += 1
        number, began, told = self.calls, self.loop.now, [None, None]
        self.network.say(f"call {number} {what}")
        yield told
        took, error = self.loop.now - began, told[1]
        self.network.say(f"done {number} {what} {'good' if error is None else f'{type(error).__name__}: {error}'}")
        if error is not None:
            self.failed += 1
            repr(error)
            ours = isinstance(error, self.scenario.error) and error.service in (None, "", self.scenario.service)
            ours = ours or isinstance(error, Interrupted)
            self.check(ours, what, "raised", repr(error), "of another service")
        most = (patience or self.scenario.patience) + self._held
        self.check(took <= most, what, f"took {took:.1f} s, which is more than {most:.1f}:", repr(error))

    def once(self, found: list[Any], acknowledged: list[Any], tried: list[Any], what: str = "entries") -> None:
        """Nothing twice, all that was acknowledged, and nothing that nobody tried to write."""
        counts = Counter(found)
        self.check(max(counts.values(), default=0) <= 1, what, "twice:", [k for k, n in counts.items() if n > 1][:5])
        missing = [one for one in acknowledged if one not in counts]
        self.check(not missing, what, "acknowledged and not there:", missing[:5])
        strange = sorted(set(counts) - set(tried))
        self.check(not strange, what, "that nobody wrote:", strange[:5])

    def ran(self) -> None:
        """Do all of it."""
        self.scenario.prepare(self)
        calls.forget()
        self.house.plan(list(self.plan.faults))
        try:
            self.scenario.work(self)
        finally:
            self.house.calm()
        self.scenario.judge(self)
        most = max((row[7] for row in calls._ring), default=0)
        self.check(most <= self.scenario.retries, "a call was made again", most, "times")
        for close in reversed(self._closing):
            closed = close()
            if inspect.isawaitable(closed):
                self.wait(closed)
        self._closing.clear()
        self.loop.until(lambda: not self.network.open(), 3)
        self.check(not self.network.open(), "connections are left open:", self.network.open())
        self.check(not self.loop.problems, "nobody caught:", self.loop.problems[:3])


_warm: set[str] = set()


def execute(scenario: Scenario, plan: Plan) -> Outcome:
    """Return what comes of a plan: the same for the same plan."""
    if plan.scenario not in _warm:
        _warm.add(plan.scenario)
        execute(scenario, replace(plan, faults=()))
        # What was imported is looked at by no collection any more, of which each run makes one.
        gc.collect()
        gc.freeze()
    outcome = Outcome(plan, [])
    with World(f"{plan.scenario}/{plan.seed}") as world, House(world, scenario.service) as house:
        run = Run(scenario, plan, world, house)
        try:
            with broken(plan.broken):
                run.ran()
        except Violation as violation:
            outcome.violation = f"violated: {violation}"
        except Exception as error:
            outcome.violation = f"undeclared {type(error).__name__}: {error} {_where(error)} {world.loop.problems[:2]}"
        outcome.lines = list(world.loop.network.lines)
        outcome.met = world.loop.network.met
        outcome.calls, outcome.failed = run.calls, run.failed
        outcome.seconds = world.loop.now - 1000.0
        if outcome.violation:
            world.loop.network.say(outcome.violation)
            for close in reversed(run._closing):
                with contextlib.suppress(Exception):
                    closed = close()
                    if inspect.isawaitable(closed):
                        run.wait(closed)
    return outcome


def _where(error: BaseException) -> str:
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return "at " + " ".join(places[-4:])


def smaller(scenario: Scenario, plan: Plan, most: int = 300) -> Plan:
    """Return a plan that fails too, from which nothing can be left out."""
    tries = 0

    def fails(one: Plan) -> bool:
        nonlocal tries
        tries += 1
        return tries < most and bool(execute(scenario, one).violation)

    shrunk = True
    while shrunk and tries < most:
        shrunk = False
        for name in ("faults", "ops"):
            size = max(1, len(getattr(plan, name)) // 2)
            while size:
                at = 0
                while at < len(getattr(plan, name)):
                    kept = getattr(plan, name)
                    less = replace(plan, **{name: kept[:at] + kept[at + size :]})
                    if fails(less):
                        plan, shrunk = less, True
                    else:
                        at += size
                size //= 2
    return plan
