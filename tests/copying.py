"""Copies under faults and kills: each record is in the target once, or the answer says which may be there twice.

Run: python -m tests.copying [--faults N] [--kills N] [--seed S]. Each faulty run copies between two services of the lab
while connections are dropped, reset and cut; some have another writer on the target. Each kill ends a process that
copies, with SIGKILL, in the middle of it; the next one goes on from its file until all is copied.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings
from pathlib import Path

import kit
from kit.core.errors import KitError
from kit.core.log.copying.copied import Copied
from tests.pace import slowness

SERVICES = ("s2", "kimberlite", "synap")


def made(service, lab, basin):
    """A new log, and how to read its bodies."""
    name = f"copy-{uuid.uuid4().hex[:12]}"
    if service == "s2":
        return basin.create(name)
    if service == "kimberlite":
        lab.kimberlite.create(name)
        return lab.kimberlite[name]
    lab.synap.client.stream.create(name)
    return lab.synap[name]


def bodies_of(log):
    source = log.source()
    first, stop = source.bounds()
    found = []
    for piece in source.pieces(first, stop) if stop > first else ():
        found += source.content(piece.batch.column(source.body)).to_pylist()
    return found


def filled(log, service, bodies):
    if bodies and service == "synap":
        log.source().client.stream.publish_many(log.name, [("e", json.loads(one)) for one in bodies], ordered=True)
    elif bodies:
        log.append(bodies)


def one_run(chance, lab, basin):
    """One copy under faults; returns how many faults there were."""
    of, to = chance.choice(("s2", "kimberlite", "synap")), chance.choice(("s2", "s2", "kimberlite", "synap"))
    source, target = made(of, lab, basin), made(to, lab, basin)
    count = chance.choice((1, 40, 400, 400, 2500))
    if "synap" in (of, to):
        count = min(count, 400)
    bodies = [
        json.dumps({"n": n, "pad": "x" * chance.choice((0, 10, 300))}, separators=(",", ":")).encode()
        for n in range(count)
    ]
    filled(source, of, bodies)
    where = chance.choice((None, None, "n >= 10"))
    expected = [body for n, body in enumerate(bodies) if where is None or n >= 10]
    other, stop = chance.random() < 0.25, threading.Event()
    writer = threading.Thread(target=writing, args=(target, to, stop, 0.01 * slowness()), daemon=True)
    if other:
        writer.start()
    faults, uncertain = 0, 0
    told = f"{of} to {to}, {count} records, where={where}, another writer={other}"
    try:
        partial: Copied | None = None
        for attempt in range(60):
            for service in {of, to}:
                for _ in range(chance.choice((0, 1, 2)) if attempt < 3 else 0):
                    kind = chance.choice(("drop", "reset", "truncate", "503"))
                    # Some of them when the answer of an append is on its way.
                    lab.faults(service, kind, skip=chance.randrange(6), after=chance.choice((0, 0, 3, 200)), count=1)
                    faults += 1
            try:
                partial = source.copy_to(target, where=where, checkpoint=partial)
            except KitError as error:
                if not hasattr(error, "partial"):
                    continue
                partial = error.partial
                continue
            break
        assert partial is not None and partial.complete, partial
        uncertain = partial.uncertain
    finally:
        for service in SERVICES:
            lab.faults(service, clear=True)
        stop.set()
        if other:
            writer.join()
    got = [json.loads(body) for body in bodies_of(target)]
    ours = [one["n"] for one in got if "n" in one]
    wanted = [json.loads(body)["n"] for body in expected]
    judge(ours, wanted, to, uncertain, told)
    return faults


def judge(ours, wanted, to, uncertain, told):
    if to != "synap":
        assert ours == wanted, f"{told}: {differs(ours, wanted)}"
        return
    once = list(dict.fromkeys(ours))
    assert sorted(once) == wanted, f"{told}: {differs(once, wanted)}"
    assert len(ours) - len(once) <= uncertain, f"{told}: {len(ours) - len(once)} twice, {uncertain} were told"


def differs(got, wanted):
    twice = sorted({one for one in got if got.count(one) > 1})[:10]
    return f"{len(got)} instead of {len(wanted)}; missing {sorted(set(wanted) - set(got))[:10]}, twice {twice}"


def writing(target, to, stop, pause):
    """Another writer on the same target, which leaves it alone for a moment after each record."""
    while not stop.is_set():
        try:
            filled(target, to, [json.dumps({"other": uuid.uuid4().hex}).encode()])
        except KitError:
            pass
        time.sleep(pause)


CHILD = """
import sys, warnings, kit
warnings.simplefilter("ignore")
of, to, a, b, basin, path = sys.argv[1:]
kit.progress(False)
def log(service, name):
    explorer = kit.connect(service)
    return explorer[basin][name] if service == "s2" else explorer[name]
print("begins", flush=True)
told = log(of, a).copy_to(log(to, b), checkpoint=path)
print(told.complete, told.uncertain, flush=True)
"""


def killed(chance, lab, basin, folder, most=4):
    """One copy whose process is killed again and again; returns how many kills there were."""
    of, to = chance.choice(("s2", "kimberlite")), chance.choice(("s2", "s2", "kimberlite", "synap"))
    source, target = made(of, lab, basin), made(to, lab, basin)
    count = 1500 if to == "synap" else 60_000
    bodies = [json.dumps({"n": n}, separators=(",", ":")).encode() for n in range(count)]
    source.append(bodies)
    path = str(Path(folder) / uuid.uuid4().hex)
    kills = 0
    while True:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, of, to, str(source.name), str(target.name), basin.name, path],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **lab.env()},
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "begins\n"
        if kills < most:
            time.sleep(chance.random() * 0.8)
            child.send_signal(signal.SIGKILL)
        out = child.stdout.read()
        child.wait()
        if child.returncode == 0:
            complete, uncertain = out.split()
            assert complete == "True"
            break
        assert child.returncode == -signal.SIGKILL, child.returncode
        kills += 1
    ours = [json.loads(body)["n"] for body in bodies_of(target)]
    judge(ours, list(range(count)), to, int(uncertain), f"{of} to {to}, {kills} kills")
    return kills


def campaign(faults, kills, seed, lab, say=lambda words: None):
    basin = lab.s2.create_basin(f"copy-{uuid.uuid4().hex[:10]}")
    done = runs = 0
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        while done < faults:
            try:
                done += one_run(random.Random(f"{seed}/{runs}"), lab, basin)
            except BaseException as error:
                error.add_note(f"seed {seed}, run {runs}")
                raise
            runs += 1
            say(f"{runs} copies, {done} faults")
        gone = 0
        while gone < kills:
            gone += killed(random.Random(f"{seed}/kill/{gone}"), lab, basin, folder, min(4, kills))
            say(f"{gone} kills")
    return runs, done, gone


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    kit.progress(False)
    with kit.Lab("s2", "kimberlite", "synap", demo=False, join=False) as lab:
        told = campaign(chosen.faults, chosen.kills, chosen.seed, lab, lambda words: print(words, end="\r", flush=True))
    print("\n{} copies under {} faults, {} kills: each record once, or told".format(*told))


if __name__ == "__main__":
    main()
