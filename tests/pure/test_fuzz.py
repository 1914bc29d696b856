"""Hostile bytes for every decoder, a few of each; `python -m tests.fuzz all --count 1000000` gives them more."""

import random
import subprocess
import sys
import time

import pytest

from tests.fuzz import running
from tests.fuzz.mutate import damaged
from tests.fuzz.running import CORPUS, Difference, Target, fuzz, judged
from tests.fuzz.targets import TARGETS
from tests.pace import slowness

CASES = sorted(CORPUS.glob("*.bin"))


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_bytes_are_decoded_or_refused(name, seed):
    found = fuzz(TARGETS[name], 300, seed=seed, seconds=6.0 * slowness())
    assert found.inputs >= 20 and not found.found, list(zip(found.found, found.cases, strict=True))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_was_trouble_once_is_none_now(path):
    target = TARGETS[path.stem.rpartition("-")[0]]
    assert judged(target, path.read_bytes(), random.Random(1))[0] == ""


def test_the_fuzzer_finds_what_there_is_to_find(monkeypatch):
    monkeypatch.setattr(running, "slowness", lambda: 1.0)  # what sleeps is as slow on every machine

    def broken(data, chance):
        if data[:1] == b"\xff":
            raise KeyError("not declared")
        if data[:1] == b"\x80":
            raise Difference("two readings")
        if data[:1] == b"\0":
            bytearray(64 * 1024 * 1024)
        if data[:1] == b"\x7f":
            time.sleep(0.15)

    target = Target("broken", lambda: [b"good sample"], broken, (ValueError,))
    found = " ".join(fuzz(target, 4000, seed=1, every=1, seconds=60).found)
    for told in ("undeclared KeyError", "difference", "bytes of memory", "took 0.1"):
        assert told in found


def test_damage_follows_from_the_seed():
    def some(seed):
        chance = random.Random(seed)
        return [damaged(chance, b'{"a":1}', [b"x"], text=True) for _ in range(50)]

    assert some(1) == some(1) != some(2)


def test_rows_that_begin_with_a_null_do_not_end_the_process():
    """Arrow's reader of JSON crashes on them; whoever says `{"rows": [null]}` must not take the kernel along."""
    code = (
        "import pyarrow as pa; from kit.core.tables.json.columns import read_lines;"
        "assert read_lines(b'null\\n{\"n\":3}\\n', {'n': pa.int64()}) is None;"
        "assert read_lines(b'  null}\\n', {'n': pa.int64()}) is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
