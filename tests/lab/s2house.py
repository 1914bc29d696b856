"""An S2 server in this process, with a clock and a tuning of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from kit.lab.common.faults import FaultPlan, Rule
from kit.lab.s2.server import S2Server
from kit.lab.s2.tuning import Tuning, now
from kit.lab.services import House
from kit.s2.types import AppendInput, Record
from kit.s2.wire.frames import FrameReader
from kit.s2.wire.messages import encode_input

TOKEN = "the-root-token"
BASIN = "test-basin"
S2S = {"content-type": "s2s/proto"}
_numbers = itertools.count()
_TLS = ssl.create_default_context()  # never used, but each client would make one, which takes longer than most tests


class S2House:
    """A server on a loop in a thread of its own."""

    def __init__(self, folder: Path, demo: bool = False, **tuning: float) -> None:
        self.folder = folder
        self.plan = FaultPlan()
        self.ahead = 0
        """Milliseconds by which the server's clock is fast."""
        self._house = House(folder, TOKEN, self.plan, demo)
        self._tuning = Tuning(**{"sweep": 0.05, "deletion": 0.3, **tuning})
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server: S2Server = self.on_loop(self._started())
        self.url = self.server.url
        self.address = ("127.0.0.1", int(self.url.rpartition(":")[2]))

    async def _started(self) -> S2Server:
        server = S2Server(self._house, self._tuning, lambda: now() + self.ahead)
        await server.start()
        return server

    def on_loop(self, coroutine: Any) -> Any:
        """Runs a coroutine where the server runs."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def fault(self, kind: str, path: str = "*", **details: Any) -> None:
        self.plan.add(Rule("s2", kind, path, **details))

    def client(self, *, two: bool = False, token: str | None = TOKEN, **headers: str) -> httpx.Client:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            told["authorization"] = f"Bearer {token}"
        return httpx.Client(base_url=self.url, headers=told, http1=not two, http2=two, timeout=20, verify=_TLS)

    def close(self) -> None:
        self.on_loop(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextlib.contextmanager
def house(folder: Path, demo: bool = False, **tuning: float) -> Iterator[S2House]:
    made = S2House(folder, demo, **tuning)
    try:
        yield made
    finally:
        made.close()


def made(server: S2House, name: str | None = None, **config: Any) -> str:
    """Make a stream in the basin of the tests; the path of its records."""
    name = name or f"stream-{next(_numbers)}"
    with server.client(s2_basin=BASIN) as client:
        assert client.post("/v1/streams", json={"stream": name, "config": config}).status_code == 201
    return f"/v1/streams/{name}/records"


def code(answer: httpx.Response) -> tuple[int, str | None]:
    """Return the status of an answer, and the code of its error."""
    return answer.status_code, answer.json().get("code")


def input_bytes(*bodies: Any, **conditions: Any) -> bytes:
    """Return an append in protobuf."""
    return encode_input(AppendInput([Record(body) for body in bodies], **conditions))


def framed(content: bytes) -> list[Any]:
    """Return the frames of a whole body."""
    reader = FrameReader()
    found = list(reader.feed(content))
    reader.finish()
    return found
