"""Runs, their verdicts, and the sum of them."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import inspect
import random
import re
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import kit
from kit.core.errors import KitError

from .faults import Trouble, trouble
from .house import House
from .proxy import Proxy

DEADLINE = 25.0
"""Seconds for one run with all its repeats; more is a hang."""


class Violation(AssertionError):
    """Something that must hold did not."""


class Desk:
    """One worker thread with a loop of its own, replaced where a call never comes back."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="chaos-loop", daemon=True)
        self._thread.start()

    def wait(self, awaitable: Any) -> Any:
        async def run() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result()

    def close(self) -> None:
        async def tidy() -> None:
            me = asyncio.current_task()
            others = [task for task in asyncio.all_tasks() if task is not me]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(tidy(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@dataclass
class Run:
    """One run: its chance, its client, and what went wrong in it."""

    bench: Bench
    verb: str
    seed: str
    trouble: Trouble
    colour: str
    chance: random.Random
    error: KitError | None = None
    calls: int = 0
    failed: int = 0
    met: int = 0

    @property
    def name(self) -> str:
        """A name that no other run has."""
        return f"{self.verb}-{re.sub(r'[^a-z0-9]', '-', self.seed)}"

    @property
    def client(self) -> Any:
        """The client of this run's colour, through the proxy."""
        return self.bench.clients[self.colour]

    def wide(self) -> str:
        """What makes some requests so large that they leave in more than one piece."""
        return "w" * self.chance.choice((0, 0, 0, 60_000, 70_000, 200_000))

    def do(self, result: Any) -> Any:
        """What a call gives, whatever its colour."""
        return self.bench.desk.wait(result) if inspect.isawaitable(result) else result

    def items(self, found: Any) -> list[Any]:
        if hasattr(found, "__aiter__"):

            async def gather() -> list[Any]:
                return [item async for item in found]

            return self.do(gather())  # type: ignore[no-any-return]
        return list(found)

    def attempt(self, call: Callable[[], Any]) -> Any:
        """What a call gives, or None where it raised one of the declared errors, which is then in `error`."""
        self.error = None
        self.calls += 1
        try:
            return self.do(call())
        except KitError as error:
            self.failed += 1
            self.error = error
            str(error), repr(error)
        return None

    @contextlib.contextmanager
    def under(self, **only: str) -> Iterator[None]:
        """Within, the run's trouble befalls what is asked; `only` says which requests the lab's own may hit."""
        self.bench.arm(replace(self.trouble, lab=tuple({**rule, **only} for rule in self.trouble.lab)))
        try:
            yield
        finally:
            if self.trouble.lab:
                self.met += len(self.trouble.lab) - self.bench.house.waiting()
            self.bench.calm()

    def follow(self, handle: Any, stop: int, write: Callable[[], Any], column: str, **only: str) -> None:
        """A feed from the beginning to position `stop`, under trouble, while somebody writes: each once, in order."""
        told: list[int] = []
        with self.under(**only):
            feed = self.attempt(lambda: kit.Feed(handle, start=0))
            if feed is None:
                return
            with feed:
                write()
                self.attempt(lambda: feed.wait(stop, timeout=20))
                told = [n for batch in feed.batches()[1] for n in batch.column(column).to_pylist()]
        self.check(told == list(range(len(told))), "a feed gave", len(told), "not in order:", told[:5])
        # A cut is what a feed is there to outlast; an answer that is none may end it, with an error that says so.
        garbled = any(fault.kind in ("garbage", "twice", "type") for fault in self.trouble.bytes) or any(
            rule["kind"] in ("garbage", "429", "503") for rule in self.trouble.lab
        )
        self.check(self.error is None or garbled, "a feed did not outlast a broken connection:", repr(self.error))
        self.check(self.error is not None or len(told) == stop, "a feed ended at", len(told), "of", stop)

    def check(self, held: bool, *told: Any) -> None:
        if not held:
            raise Violation(" ".join(str(one)[:600] for one in told))

    def once(self, found: list[Any], acknowledged: list[Any], tried: list[Any], *, what: str = "entries") -> None:
        """Nothing twice, all that was acknowledged, and nothing that nobody tried to write."""
        counts = Counter(found)
        self.check(max(counts.values(), default=0) <= 1, what, "twice:", [k for k, n in counts.items() if n > 1][:5])
        missing = [one for one in acknowledged if one not in counts]
        self.check(not missing, what, "acknowledged and not there:", missing[:5])
        strange = set(counts) - set(tried)
        self.check(not strange, what, "that nobody wrote:", list(strange)[:5])


class Bench:
    """A service under test: its server, the proxies before it, clients of both colours, and the verbs."""

    service = ""
    http = True
    demo = False

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._folder = tempfile.TemporaryDirectory(prefix="kit-chaos-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.house = House(self.service, self.folder, demo=self.demo)
        self.desk = Desk()
        self.proxies = [Proxy(port, seed) for port in self.targets()]
        self.clients: dict[str, Any] = {}
        self._bounds: dict[str, list[int]] = {}
        self.worn = True
        """Whether connections may have suffered since they were last tried."""
        self.open()

    # --- for each service -------------------------------------------------------------------------------------------

    def targets(self) -> list[int]:
        """The ports of the server, the one that faults are meant for first."""
        return [self.house.ports[self.service]]

    def open(self) -> None:
        """Makes `clients`, and what runs read."""
        raise NotImplementedError

    def verbs(self) -> dict[str, Callable[[Run], None]]:
        raise NotImplementedError

    def again(self, run: Run) -> None:
        """Something small and safe, by the client that was in trouble."""
        raise NotImplementedError

    def kill_ready(self, run: Run) -> None:
        """What the work before a kill needs."""

    def kill_work(self, run: Run) -> Callable[[], None]:
        """Does a piece of work that a kill interrupts; gives what must hold once the server is there again."""
        raise NotImplementedError

    # --- for all ----------------------------------------------------------------------------------------------------

    def through(self, text: str) -> str:
        """An address of the server, by way of its proxy."""
        for port, proxy in zip(self.targets(), self.proxies, strict=True):
            text = text.replace(f":{port}", f":{proxy.port}")
        return text

    def environment(self) -> dict[str, str]:
        return {name: self.through(value) for name, value in self.house.env.items()}

    def arm(self, wanted: Trouble) -> None:
        self.proxies[0].arm(*wanted.bytes)
        for rule in wanted.lab:
            self.house.fault(**rule)  # type: ignore[arg-type]

    def calm(self) -> None:
        for proxy in self.proxies:
            proxy.calm()
        self.house.clear()

    def bounds(self, verb: str) -> list[int]:
        """Where the frames of a good answer to a verb end."""
        if verb not in self._bounds:
            proxy = self.proxies[0]
            proxy.record, proxy.recording = [], True
            run = Run(self, verb, f"clean-{verb}", Trouble(), "sync", random.Random(1))
            self.verbs()[verb](run)
            proxy.recording = False
            if run.error is not None:
                raise Violation(f"{verb} failed with nothing in its way: {run.error}")
            whole = b"".join(proxy.record)
            ends = {sum(map(len, proxy.record[: n + 1])) for n in range(min(60, len(proxy.record)))}
            heads = {found.end() for found in re.finditer(rb"\r\n\r\n", whole[:200_000])}
            self._bounds[verb] = sorted(ends | heads)[:120] or [0]
        return self._bounds[verb]

    def close(self) -> None:
        for colour, client in self.clients.items():
            with contextlib.suppress(Exception):
                closed = client.close()
                if inspect.isawaitable(closed):
                    self.desk.wait(closed)
            del colour
        for proxy in self.proxies:
            proxy.close()
        self.desk.close()
        self.house.close()
        self._folder.cleanup()


@dataclass
class Tally:
    """Counts of one verb."""

    runs: int = 0
    calls: int = 0
    failed: int = 0
    met: int = 0
    slowest: float = 0.0


@dataclass
class Report:
    """What came of a campaign."""

    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)

    def table(self) -> str:
        lines = [
            f"{'service':<12}{'verb':<20}{'runs':>7}{'calls':>8}{'raised':>8}{'faults met':>12}{'slowest':>10}",
        ]
        for (service, verb), one in sorted(self.tallies.items()):
            lines.append(
                f"{service:<12}{verb:<20}{one.runs:>7}{one.calls:>8}{one.failed:>8}{one.met:>12}{one.slowest:>9.2f}s"
            )
        total = sum(one.runs for one in self.tallies.values())
        met = sum(one.met for one in self.tallies.values())
        lines.append(f"{total} runs, {met} faults met, {sum(self.kills.values())} kills, ")
        lines[-1] += f"{len(self.violations)} violations"
        return "\n".join([*lines, *self.violations])


def judged(call: Callable[[], None], deadline: float = DEADLINE) -> str:
    """What was violated, or nothing."""
    done: Future[None] = Future()

    def work() -> None:
        try:
            call()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=work, daemon=True, name="chaos-run").start()
    try:
        done.result(deadline)
    except Violation as error:
        return f"violated: {error}"
    except Late:
        faulthandler.dump_traceback(file=sys.stderr)
        return f"hangs: not done after {deadline:.0f} s"
    except Exception as error:
        where = traceback.format_exception(error)
        return f"undeclared {type(error).__name__}: {error}\n{''.join(where[-6:])}"
    return ""


def one_run(bench: Bench, verb: str, seed: str, report: Report) -> None:
    """A run, its verdict, and whether the client works again."""
    chance = random.Random(seed)
    colours = list(bench.clients)
    run = Run(
        bench,
        verb,
        seed,
        trouble(chance, bench.bounds(verb), http=bench.http),
        chance.choice(colours),
        chance,
    )
    proxy = bench.proxies[0]
    proxy.chance.seed(seed)
    proxy.fired.clear()
    started = time.monotonic()
    told = judged(lambda: bench.verbs()[verb](run))
    took = time.monotonic() - started
    met = len(proxy.fired) + run.met
    if not told and run.failed and not met and not bench.worn:
        told = f"violated: failed with nothing in its way: {run.error!r}"
    told = told or judged(lambda: works_again(bench, run), 15)
    # What a fault did to connections is for the next run to find out, too.
    bench.worn = met > 0
    tally = report.tallies.setdefault((bench.service, verb), Tally())
    tally.runs += 1
    tally.calls += run.calls
    tally.failed += run.failed
    tally.met += met
    tally.slowest = max(tally.slowest, took)
    if told:
        report.violations.append(f"FAILED --service {bench.service} --only {seed} {run.colour} [{run.trouble}] {told}")


def works_again(bench: Bench, run: Run) -> None:
    """Asks something by the client that was in trouble; a dead connection in its pool may cost it one more call."""
    bench.calm()
    for left in (2, 1, 0):
        try:
            bench.again(run)
            return
        except KitError as error:
            if not left:
                raise Violation(f"the client does not work again: {error}") from error
