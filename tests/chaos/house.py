"""Servers to be mistreated: started, killed, and started again on the same data, ports and token."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from kit.core.errors import KitError
from kit.core.http.operations import Request, call
from kit.lab import lab_registry, running_labs

ROOT = Path(__file__).parents[2]
TOKEN = "5e" * 24
TUNING = {
    "KIT_AMDAHL_RATE_LIMIT": "100000000",
    "KIT_CLAUDE_RATE_LIMIT": "100000000",
    "KIT_CLAUDE_TOKEN_SECONDS": "0",
    "KIT_SYNAP_UNREAD": "1000000",
    "KIT_SYNAP_EVENTS": "1000000",
}


def free_ports(count: int) -> list[int]:
    """So many ports in a row that nobody listens on."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            start = first.getsockname()[1]
        try:
            for port in range(start, start + count):
                with socket.socket() as one:
                    one.bind(("127.0.0.1", port))
        except OSError:
            continue
        return list(range(start, start + count))


class House:
    """One service's server."""

    def __init__(self, service: str, folder: Path, *, demo: bool = False, **tuning: str) -> None:
        self.service, self.folder, self.demo = service, folder, demo
        self.tuning = {**TUNING, **tuning}
        self.ports = dict(zip((service, f"{service}-rpc"), free_ports(2), strict=True))
        self.kills = 0
        self.child: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Starts it on its data; returns when it can be asked."""
        deadline = time.monotonic() + 40
        while not self._started():
            # What a killed server leaves behind may take a moment to let go of the data.
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server of {self.service} did not start: {self.said}")
            time.sleep(0.1)
        self.env: dict[str, str] = self.said["env"]
        self._control = running_labs.control(lab_registry.veiled({**self.said, "env": {}}))

    def _started(self) -> bool:
        with open(self.folder / "errors.txt", "ab") as errors:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.server"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env={**os.environ, **self.tuning},
                start_new_session=True,
            )
        orders = {
            "services": [self.service],
            "demo": self.demo,
            "path": str(self.folder / "data"),
            "ports": self.ports,
            "token": TOKEN,
            "parent": os.getpid(),
        }
        assert self.child.stdin is not None and self.child.stdout is not None
        self.child.stdin.write(json.dumps(orders).encode() + b"\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        self.said: dict[str, Any] = json.loads(line) if line else {}
        if not line:
            self._reap()
        return bool(line)

    def kill(self) -> None:
        """Ends it with SIGKILL: it has no time to tidy up."""
        assert self.child is not None
        self.child.kill()
        self.kills += 1
        self._reap()

    def _reap(self) -> None:
        assert self.child is not None
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass

    def close(self) -> None:
        """Ends it in good order."""
        assert self.child is not None
        self._control.close()
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
        self._reap()

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    def fault(self, kind: str, **details: Any) -> None:
        """Has the lab's own faults do something."""
        rule = {"service": self.service, "kind": kind, **details}
        answer = self._ask("POST", json.dumps(rule).encode())
        if not answer.ok:
            raise RuntimeError(answer.body)

    def waiting(self) -> int:
        """Faults that nothing has met yet."""
        return len(self._ask("GET").json())

    def clear(self) -> None:
        self._ask("DELETE")

    def _ask(self, method: str, body: bytes | None = None) -> Any:
        request = Request(method, "/faults", op="chaos", body=body)
        for _ in range(3):
            try:
                return self._control.run(call(request))
            except KitError as error:
                problem = error
        raise problem
