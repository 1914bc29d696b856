"""The real self-hosted server, where its program is on the machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path


def program() -> str | None:
    """The program, from the path or from where cargo puts it."""
    return shutil.which("s2") or shutil.which("s2", path=str(Path.home() / ".cargo" / "bin"))


@contextlib.contextmanager
def running() -> Iterator[dict[str, str]]:
    """The variables that point a client at a server in memory, gone afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = program()
    assert found is not None
    child = subprocess.Popen([found, "lite", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"{url}/health", timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "s2 lite did not start"
                assert child.poll() is None, "s2 lite ended"
                time.sleep(0.1)
        yield {**os.environ, "S2_ACCESS_TOKEN": "any", "S2_ACCOUNT_ENDPOINT": url, "S2_BASIN_ENDPOINT": url}
    finally:
        child.terminate()
        child.wait(15)
