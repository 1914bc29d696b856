"""The parent's side of the lab's process: start it with its orders, wait for its ready line, end it cleanly."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
import weakref
from typing import IO, Any

from ..core.errors import SetupError
from . import lab_registry

_READY_WITHIN = 30.0


class Servers:
    """The servers of one child process; they end when the last handle on them is closed or collected."""

    def __init__(self, child: subprocess.Popen[bytes], described: dict[str, Any]) -> None:
        self._child = child
        self._pid = os.getpid()
        self.described = described
        weakref.finalize(self, _end_in, self._pid, child)
        _started[described["pid"]] = self

    @property
    def running(self) -> bool:
        """Whether the child process is there; a fork of its parent cannot tell, and takes it to be."""
        return os.getpid() != self._pid or self._child.poll() is None


_started: weakref.WeakValueDictionary[int, Servers] = weakref.WeakValueDictionary()
"""The labs that this process started, by the id of the child process."""


def started() -> dict[int, Servers]:
    """Return the servers that this process has started and still holds, by the id of their process."""
    return dict(_started)


def _end_in(pid: int, child: subprocess.Popen[bytes]) -> None:
    # A fork has a copy of each handle, but must not end the servers.
    if os.getpid() == pid:
        end(child)


def _forget() -> None:
    _started.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def start(orders: dict[str, Any]) -> Servers:
    """Start a child process, and return once its servers are up."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise SetupError(
            f"the lab needs {error.name}", hint='install it with: pip install "kit-notebook[lab]"'
        ) from None
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "kit.lab.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            # A Ctrl-C meant for the notebook's kernel must not end the servers.
            start_new_session=True,
        )
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps({**orders, "parent": os.getpid()}).encode() + b"\n")
            child.stdin.flush()
            line = _first_line(child)
        except BaseException:
            end(child)
            raise
        reply = lab_registry.veiled(json.loads(line)) if line else {}
        if "error" in reply or not reply:
            end(child)
            raise SetupError(f"the lab did not start: {reply.get('error') or _last_words(errors)}")
        return Servers(child, reply)


def end(child: subprocess.Popen[bytes]) -> None:
    """End the child in good order: its standard input ends, and it is waited for."""
    if child.stdin is not None and not child.stdin.closed:
        try:
            child.stdin.close()
        except OSError:
            pass
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _first_line(child: subprocess.Popen[bytes]) -> bytes:
    assert child.stdout is not None
    deadline = time.monotonic() + _READY_WITHIN
    if os.name == "posix":
        while not select.select([child.stdout], [], [], 0.2)[0]:
            if time.monotonic() > deadline:
                raise SetupError(f"the lab was not ready within {_READY_WITHIN:.0f} s")
    return child.stdout.readline()


def _last_words(errors: IO[bytes]) -> str:
    errors.seek(0)
    words = errors.read().decode(errors="replace").strip().splitlines()
    return words[-1] if words else "it ended without a word"
