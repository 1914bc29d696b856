"""Runs: a server, a network that misbehaves, clients in threads, and the verdict on what they saw."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import kit
from kit.s2 import AppendRetryPolicy, Endpoints, Retry, SyncS2, Timeout
from kit.synap import SynapClient as Synap
from tests.chaos.house import House
from tests.chaos.proxy import Fault, Proxy
from tests.real import running_s2

from .check import Verdict, check
from .clients import Client, KimberliteClient, S2Client, SynapClient
from .history import History, operations
from .models import MODELS

HOW = ("regular", "match-seq-num", "fencing")
FAULTS = ("reset", "cut", "half", "hang", "late")
_QUICK = timedelta(seconds=0.5)
_RETRY = Retry(3, timedelta(milliseconds=1), timedelta(milliseconds=10), AppendRetryPolicy.NO_SIDE_EFFECTS)


class Place:
    """A server and what stands before it."""

    def __init__(self, service: str, env: dict[str, str], targets: list[int], seed: int, *, faults: bool) -> None:
        self.service, self.faults = service, faults
        self.direct = env
        self.proxies = [Proxy(port, seed) for port in targets] if faults else []
        self.env = dict(env)
        for port, proxy in zip(targets, self.proxies, strict=False):
            self.env = {name: value.replace(f":{port}", f":{proxy.port}") for name, value in self.env.items()}
        self._sure: Any = kit.connect(service, environment=self._named(env))
        if service == "s2":
            self._sure.create_basin(f"linear-{seed:06}")
            self._basin = f"linear-{seed:06}"
        elif service == "kimberlite":
            # Reads ask for times by SQL, and what answers that takes longer to start than these clients wait.
            self._sure.query("SELECT 1 AS one")

    def _named(self, env: dict[str, str]) -> dict[str, str]:
        return {**env, "KIMBERLITE_TENANT": "1"} if self.service == "kimberlite" else env

    def arm(self, chance: random.Random) -> None:
        """Have something go wrong with the next exchange, one time in some."""
        if self.proxies and chance.random() < 0.1:
            kind = chance.choice(FAULTS)
            side = chance.choice(("up", "down"))
            chance.choice(self.proxies).arm(
                Fault(kind, side, chance.choice((0, 0, 1, 40, 200)), 0.7 if kind == "hang" else 0.0)
            )

    def clients(
        self, history: History, count: int, how: str, chance: random.Random, broken: str
    ) -> tuple[list[Client], Callable[[], None]]:
        """Return clients of one new thing, each with a connection of its own, and what closes them."""
        name = f"h-{chance.randrange(10**12)}"
        stack = contextlib.ExitStack()
        made: list[Client] = []
        if self.service == "s2":
            self._sure[self._basin].create(name)
        elif self.service == "kimberlite":
            stream = self._sure.client.create_stream(name)
        for n in range(count):
            rest = (history, random.Random(chance.random()), broken if n == 0 else "")
            if self.service == "s2":
                ends = Endpoints(self.env["S2_ACCOUNT_ENDPOINT"], self.env["S2_BASIN_ENDPOINT"])
                timeout = Timeout(request=_QUICK, connection=_QUICK)
                token = self.env["S2_ACCESS_TOKEN"]
                client = stack.enter_context(SyncS2(token, endpoints=ends, timeout=timeout, retry=_RETRY))
                made.append(S2Client(client.basin(self._basin).stream(name), how, *rest))
            else:
                quick: dict[str, Any] = {"timeout": 0.5, "connect_timeout": 0.5}
                if self.service == "kimberlite":
                    explorer = stack.enter_context(
                        kit.connect("kimberlite", environment=self._named(self.env), **quick)
                    )
                    made.append(KimberliteClient(explorer.client, stream, how, *rest))
                else:
                    # Some speak HTTP and some SynapRPC, to the same key.
                    url = self.env[("SYNAP_URL", "SYNAP_RPC_URL")[n % 2]]
                    keys = stack.enter_context(Synap(url, api_key=self.env["SYNAP_API_KEY"], **quick)).kv
                    made.append(SynapClient(keys, name, *rest))
        return made, stack.close

    def close(self) -> None:
        self._sure.close()
        for proxy in self.proxies:
            proxy.close()


@contextlib.contextmanager
def place(service: str, seed: int, folder: Any, *, real: bool = False, faults: bool = True) -> Iterator[Place]:
    """Within, a server of the lab, or the real one of S2."""
    if real:
        with running_s2() as env:
            port = int(env["S2_ACCOUNT_ENDPOINT"].rpartition(":")[2])
            chosen = {name: value for name, value in env.items() if name.startswith("S2_")}
            there = Place(service, chosen, [port], seed, faults=faults)
            try:
                yield there
            finally:
                there.close()
        return
    house = House(service, folder)
    try:
        targets = [house.ports[service], *([house.ports["synap-rpc"]] if service == "synap" else [])]
        there = Place(service, house.env, targets, seed, faults=faults)
        try:
            yield there
        finally:
            there.close()
    finally:
        house.close()


def run(there: Place, seed: int, clients: int, ops: int, broken: str = "") -> tuple[str, Verdict]:
    """Return the history of one run, and the verdict on it."""
    chance = random.Random(seed)
    how = HOW[seed % (3 if there.service == "s2" else 2)]
    history = History()
    made, close = there.clients(history, clients, how, chance, broken)

    def work(client: Client) -> None:
        for _ in range(ops):
            there.arm(client.chance)
            client.one()

    threads = [threading.Thread(target=work, args=(client,)) for client in made]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for proxy in there.proxies:
            proxy.calm()
        close()
    lines = history.lines()
    initial, step = MODELS[there.service]
    return lines, check(operations(lines.splitlines()), initial, step)
