"""A clock that is set back, or an hour forward, while feeds follow and calls are repeated.

The time of day is changed for whole processes, the lab's and the client's, below Python: nothing in them is replaced.
"""

import json
import os
import shutil
import struct
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs a C compiler on Linux"),
]

SHIFTED = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile int64_t *shift;
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    real = dlsym(RTLD_NEXT, "clock_gettime");
    int file = open(getenv("SHIFT"), O_RDONLY);
    if (file >= 0) shift = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
}
int clock_gettime(clockid_t id, struct timespec *found) {
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, found);
    if (!failed && shift && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) found->tv_sec += *shift;
    return failed;
}
int gettimeofday(struct timeval *restrict found, void *restrict zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    found->tv_sec = now.tv_sec;
    found->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *found) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (found) *found = now.tv_sec;
    return now.tv_sec;
}
"""

WORK = """
import json, os, struct, sys, time
import kit
from kit.kimberlite import DataClass

def shifted(seconds):
    with open(os.environ["SHIFT"], "r+b") as file:
        file.write(struct.pack("=q", seconds))

told = {"days": [], "slowest": 0.0}
began = time.time()
with kit.Lab(join=False, demo=False) as lab:
    stream = lab.s2.create_basin("basin-of-clocks").create("s")
    lab.kimberlite.client.create_stream("k", DataClass.PUBLIC)
    lab.synap.client.stream.create("r")
    lab.synap.client.queue.create("q")
    lab.synap.client.queue.publish("q", b"held")
    held = lab.synap.client.queue.consume("q", "me")
    feeds = [kit.Feed(stream, start=0), kit.Feed(lab.kimberlite["k"], start=0), kit.Feed(lab.synap["r"], start=0)]
    count = 0
    for seconds in (0, -3600, 3600, -86_400, 0):
        shifted(seconds)
        told["days"].append(round((time.time() - began) / 3600))
        for service in ("s2", "claude", "amdahl"):
            lab.faults(service, 503, count=1, retry_after=0.1)
        started = time.monotonic()
        rows = [{"n": n} for n in range(count, count + 20)]
        stream.append(rows)
        lab.kimberlite.append("k", rows)
        lab.synap["r"].publish(rows)
        count += 20
        for feed in feeds:
            feed.wait(n=count, timeout=10)
        assert len(stream.read(0)) == count
        assert lab.claude.client.complete("hello", "haiku").model
        assert len(lab.amdahl.query("select 1 as one")) == 1
        told["slowest"] = max(told["slowest"], time.monotonic() - started)
        # A wait is as long as it was asked for.
        started = time.monotonic()
        try:
            feeds[0].wait(n=count + 1, timeout=0.3)
        except TimeoutError:
            pass
        assert 0.2 < time.monotonic() - started < 2
        # What was given out stays so: its deadline is no time of day.
        assert lab.synap.client.queue.consume("q", "me") is None
    lab.synap.client.queue.ack("q", held.message_id)
    told["rows"] = [feed.df["n"].tolist() == list(range(count)) for feed in feeds]
    told["stats"] = [[feed.stats()[name] for name in ("state", "total", "gaps", "reconnects")] for feed in feeds]
    told["rates"] = all(feed.stats()["rate_60s"] >= 0 and len(feed.throughput()) for feed in feeds)
    told["times"] = stream.read(0)["time"].is_monotonic_increasing
    told["ms"] = bool((kit.calls()["ms"] >= 0).all())
    for feed in feeds:
        feed.close()
print(json.dumps(told))
"""


def test_feeds_and_retries_do_not_look_at_the_time_of_day(tmp_path):
    source, library, shift = tmp_path / "shifted.c", tmp_path / "shifted.so", tmp_path / "shift"
    source.write_text(SHIFTED)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True, timeout=60)
    shift.write_bytes(struct.pack("=q", 0))
    environment = {**os.environ, "LD_PRELOAD": str(library), "SHIFT": str(shift), "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", WORK], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["days"] == [0, -1, 1, -24, 0]
    assert told["rows"] == [True] * 3
    assert told["stats"] == [["live", 100, 0, 0]] * 3
    assert told["rates"] and told["times"] and told["ms"]
    assert told["slowest"] < 20
