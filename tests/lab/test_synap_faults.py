"""A queue under faults: what was confirmed is worked off, nothing is lost, and nothing is acknowledged twice.

`KIT_FAULTS=100 python -m pytest tests/lab/test_synap_faults.py` runs it in full: 10 000 messages, 100 consumers that
die in the middle of their work, 100 connections that are reset.
"""

import asyncio
import contextlib
import os
import random
import socket
import threading
from collections import Counter

import pytest

from kit.synap import AsyncSynapClient, SynapClient, SynapError, SynapTransportError
from kit.synap.wire.frames import answer, request

from .synaplite import SynapLab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

FAULTS = int(os.environ.get("KIT_FAULTS", "6"))
"""Crashes of consumers, and resets of connections."""
MESSAGES = 100 * FAULTS
CONSUMERS = 4


class Crash(Exception):
    """The consumer dies; nobody tells the server."""


@pytest.fixture(params=["http", "synap"])
def synap(request, tmp_path):
    lab = SynapLab(tmp_path, sweep=0.05)
    lab.address = lab.url if request.param == "http" else lab.rpc_url
    yield lab
    lab.close()


def test_nothing_is_lost_and_nothing_acknowledged_twice(synap):
    chance = random.Random(7)
    with SynapClient(synap.url, api_key=synap.key) as client:
        client.queue.create("work", ack_deadline_secs=1, default_max_retries=1000, max_depth=10**6)
    published, unsure = asyncio.run(publish(synap, chance))
    done: Counter[str] = Counter()
    acked: Counter[str] = Counter()
    lock = threading.Lock()
    crashes = iter(sorted(chance.sample(range(1, len(published)), FAULTS)))
    due = [next(crashes)]
    stop = threading.Event()
    resets = threading.Thread(target=plague, args=(synap, chance, stop))
    resets.start()
    failures: list[BaseException] = []

    def consumer(number):
        while not stop.is_set():
            try:
                with SynapClient(synap.address, api_key=synap.key) as client:
                    work(client, f"consumer-{number}")
            except Crash:
                continue  # a new one takes its place
            except BaseException as error:
                failures.append(error)
                stop.set()
                raise

    def work(client, name):
        while not stop.is_set():
            try:
                message = client.queue.consume("work", name)
            except SynapTransportError:
                continue  # if a message was given out, it comes again
            if message is None:
                stats = client.queue.stats("work")
                # Between the two questions a deadline may have passed, and its message be ready again.
                if set(published) <= set(done) and stats.consumers == 0 and stats.depth == 0:
                    return stop.set()
                continue
            with lock:
                done[message.payload.decode()] += 1
                crash = due[0] is not None and sum(done.values()) >= due[0]
                if crash:
                    due[0] = next(crashes, None)
            if crash:
                raise Crash
            try:
                client.queue.ack("work", message.message_id)
                with lock:
                    acked[message.payload.decode()] += 1
            except SynapTransportError:
                continue  # it comes again, or was acknowledged; the figures tell below
            except SynapError as error:
                if error.status_code != 404:  # too late
                    raise
        return None

    threads = [threading.Thread(target=consumer, args=(n,)) for n in range(CONSUMERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(380)
    stop.set()
    resets.join()
    assert not failures
    synap.plan.clear()
    with SynapClient(synap.url, api_key=synap.key) as client:
        stats = client.queue.stats("work")
    assert set(published) <= set(done) <= set(published) | set(unsure)
    assert max(acked.values()) == 1
    assert stats.acked == stats.published == len(done)  # each once, also those whose answer was lost
    assert (stats.depth, stats.dead_lettered, stats.consumed - stats.acked - stats.nacked) == (0, 0, 0)
    assert due[0] is None
    assert stats.nacked >= FAULTS


async def publish(synap, chance):
    """Publishes all, some of it under resets; what is confirmed, and what may be there or not."""
    published, unsure = [], []
    async with AsyncSynapClient(synap.address, api_key=synap.key) as client:
        for start in range(0, MESSAGES, 50):
            texts = [f"message {n}" for n in range(start, start + 50)]
            if chance.random() < 0.3:
                path = "/api/v1/command" if synap.address.startswith("http") else "/rpc/QPUBLISH"
                synap.faults("reset", path, skip=chance.randrange(40), after=chance.randrange(20))
            while texts:
                try:
                    await client.queue.publish_many("work", texts)
                    published += texts
                    texts = []
                except SynapTransportError as error:
                    told = list(zip(texts, error.published, strict=True))
                    published += [text for text, identity in told if identity]
                    texts = [text for text, identity in told if not identity]
                    # Over HTTP one goes after the other, so only the first is in doubt; over SynapRPC all are.
                    doubtful = 1 if synap.address.startswith("http") else len(texts)
                    unsure += texts[:doubtful]
                    texts = texts[doubtful:]
            synap.plan.clear()
    return published, unsure


def plague(synap, chance, stop):
    """Resets connections, one after the other."""
    http = synap.address.startswith("http")
    for _ in range(FAULTS):
        path = "/api/v1/command" if http else f"/rpc/{chance.choice(['QCONSUME', 'QACK'])}"
        synap.faults("reset", path, skip=chance.randrange(60), after=chance.choice([0, 1, 5, 20]))
        while synap.plan.rows() and not stop.wait(0.002):
            pass


@pytest.mark.parametrize("kind", ["truncate", "reset", "stall", "garbage"])
def test_nothing_comes_behind_an_answer_that_was_cut(tmp_path, kind):
    """What followed would be taken for the rest of it: a length for the number of an event, say."""
    lab = SynapLab(tmp_path)
    host, _, port = lab.rpc_url.rpartition("//")[2].rpartition(":")
    seconds = {"seconds": 0.2} if kind == "stall" else {}
    try:
        with SynapClient(lab.url, api_key=lab.key) as client:
            client.stream.create("room")
        lab.faults(kind, "/rpc/SPUBLISH", skip=1, after=17, **seconds)
        with socket.create_connection((host, int(port)), 10) as sock:
            sock.sendall(request(0, "AUTH", [lab.key]))
            sock.sendall(b"".join(request(n, "SPUBLISH", ["room", "event", "data"]) for n in range(1, 6)))
            came = b""
            with contextlib.suppress(ConnectionError):
                while data := sock.recv(65536):
                    came += data
    finally:
        lab.close()
    whole = answer(0, "OK") + answer(1, 0)
    assert came == whole + (b"HTTP/1.1 400 Bad Request\r\n\r\n" if kind == "garbage" else answer(2, 1)[:17])
