"""A real Kimberlite server, where the variable KIMBERLITE_PROGRAM names a program that is started by `ADDRESS FOLDER`."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator


def program() -> str | None:
    """The program, if the variable names one."""
    found = os.environ.get("KIMBERLITE_PROGRAM")
    return found if found and os.access(found, os.X_OK) else None


@contextlib.contextmanager
def running() -> Iterator[str]:
    """The address of a server with a folder of its own, gone afterwards."""
    found = program()
    assert found is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen(
            [found, f"127.0.0.1:{port}", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
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
            yield f"127.0.0.1:{port}"
        finally:
            child.terminate()
            child.wait(15)
