"""The background loop: started when needed, gone after a fork, never in the way of an exit."""

import asyncio
import os
import subprocess
import sys
import time

import pytest

from kit.core import loop


async def name_of_thread() -> str:
    import threading

    await asyncio.sleep(0)
    return threading.current_thread().name


def test_it_runs_beside_the_caller():
    assert loop.call(name_of_thread) == "kit-loop"
    assert loop.portal() is loop.portal()


def test_an_error_comes_back():
    async def fail() -> None:
        raise ValueError("there")

    with pytest.raises(ValueError, match="there"):
        loop.call(fail)


def test_cancelling_reaches_the_task():
    seen = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("ended")

    future = loop.start(wait)
    time.sleep(0.05)
    future.cancel()
    deadline = time.monotonic() + 5
    while not seen and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seen == ["ended"]


def test_stop_and_start_again():
    loop.call(name_of_thread)
    loop.stop()
    assert not loop.running()
    assert loop.call(name_of_thread) == "kit-loop"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_gets_a_loop_of_its_own():
    code = """
import os, asyncio
from kit.core import loop
async def pid(): return os.getpid()
assert loop.call(pid) == os.getpid()
child = os.fork()
if child == 0:
    os._exit(0 if loop.call(pid) == os.getpid() else 1)
assert os.waitpid(child, 0)[1] == 0
assert loop.call(pid) == os.getpid()
print("both")
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "both", done.stderr


def test_exit_is_not_held_up_by_work_left_on_it():
    code = """
import asyncio
from kit.core import loop
async def forever():
    while True:
        await asyncio.sleep(3600)
loop.start(forever)
"""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert done.stderr == ""
    assert time.monotonic() - started < 8
