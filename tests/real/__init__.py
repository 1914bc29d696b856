"""The real servers, where they are: S2's own `s2 lite`, and Kimberlite's own server inside a page of Rust.

`python -m tests.real build` makes both from what is published, once, and in a folder of the user's cache. All tests that
can ask a real server find them there; where there are none, they are skipped and say so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ABSENT = "no real server here: python -m tests.real build"
HERE = Path(__file__).parent


def cache() -> Path:
    """Return the folder in which servers are built."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kit-real-servers"


def kimberlite_program() -> str | None:
    """Return the program of Kimberlite: what KIMBERLITE_PROGRAM names, else what was built."""
    named = os.environ.get("KIMBERLITE_PROGRAM") or str(cache() / "target" / "release" / "kimberlite-real")
    return shutil.which(named)


def s2_program() -> str | None:
    """Return the program of S2, from the path or from where cargo puts it."""
    return shutil.which("s2") or shutil.which("s2", path=str(Path.home() / ".cargo" / "bin"))


@contextlib.contextmanager
def running_kimberlite() -> Iterator[str]:
    """Within, a Kimberlite server with a folder of its own; yields its address.

    The folder is in memory where there is such a place: each append of the real server waits for the disk.
    """
    found = kimberlite_program()
    assert found is not None, ABSENT
    port = _free_port()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        with _child([found, f"127.0.0.1:{port}", folder], port):
            yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def running_s2() -> Iterator[dict[str, str]]:
    """Within, an `s2 lite` that keeps all in memory; yields the variables that point a client at it."""
    found = s2_program()
    assert found is not None, ABSENT
    port = _free_port()
    with _child([found, "lite", "--port", str(port)], port):
        url = f"http://127.0.0.1:{port}"
        yield {**os.environ, "S2_ACCESS_TOKEN": "any", "S2_ACCOUNT_ENDPOINT": url, "S2_BASIN_ENDPOINT": url}


@contextlib.contextmanager
def _child(words: list[str], port: int) -> Iterator[None]:
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the server did not start"
                assert child.poll() is None, "the server ended"
                time.sleep(0.1)
        yield
    finally:
        child.terminate()
        child.wait(15)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
