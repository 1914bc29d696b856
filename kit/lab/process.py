"""The lab's process: all servers on one event loop, and a control server for the `Lab` handle.

It reads its orders as one line of JSON from standard input, answers with one line when all servers listen, and ends
when standard input ends or its parent is gone, so that a killed parent leaves nothing running.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..core.errors import InputError, KitError
from ..version import __version__
from . import folder_lock, lab_registry, parent
from .common.faults import FaultPlan, Rule
from .common.web import WebServer
from .demo_writer import DemoWriter
from .services import House, Server, create


class Process:
    """The servers of one lab."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self.orders = orders
        self.token = secrets.token_hex(24)
        self.faults = FaultPlan()
        self.ended = asyncio.Event()
        path = orders.get("path")
        self.temporary = path is None
        self.folder = Path(path or tempfile.mkdtemp(prefix="kit-lab-"))
        self.servers: list[Server] = []
        self.control = WebServer(self._control_app())
        self.mover: DemoWriter | None = None
        self._descriptor: Path | None = None
        self._held: int | None = None

    async def start(self) -> dict[str, Any]:
        """Start everything; what a client needs to know about it."""
        # The servers' data is private to this user, even in a folder that others can enter.
        os.umask(0o077)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._held = await folder_lock.hold(self.folder)
            house = House(self.folder, self.token, self.faults, self.orders["demo"], self.orders.get("ports"))
        except OSError as error:
            raise InputError(
                f"the folder {self.folder} cannot be used: {error.strerror}", hint="give another path="
            ) from None
        self.servers = [create(name, house) for name in self.orders["services"]]
        await asyncio.gather(*(server.start() for server in self.servers))
        await self.control.start()
        described = {
            "version": __version__,
            "pid": os.getpid(),
            "control": self.control.url,
            "token": self.token,
            "demo": self.orders["demo"],
            "path": None if self.temporary else str(self.folder.resolve()),
            "services": {server.name: {"url": server.url, "health": server.health} for server in self.servers},
            "env": {name: value for server in self.servers for name, value in server.env().items()},
        }
        self.mover = DemoWriter(described["env"], tuple(self.orders["services"]))
        if self.orders.get("moving"):
            self.mover.start()
        if self.orders.get("joinable"):
            self._descriptor = lab_registry.write(described)
        return described

    async def stop(self) -> None:
        if self._descriptor is not None:
            self._descriptor.unlink(missing_ok=True)
        await self.control.stop()
        if self.mover is not None:
            await asyncio.to_thread(self.mover.stop)
        await asyncio.gather(*(server.stop() for server in self.servers), return_exceptions=True)
        if self._held is not None:
            os.close(self._held)
        if self.temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _control_app(self) -> Any:
        async def status(request: Request) -> Response:
            return JSONResponse({"pid": os.getpid(), "services": [server.name for server in self.servers]})

        async def faults(request: Request) -> Response:
            if request.method == "DELETE":
                self.faults.clear(request.query_params.get("service", "*"))
            elif request.method == "POST":
                try:
                    self.faults.add(Rule(**await request.json()))
                except (InputError, TypeError) as error:
                    return JSONResponse({"error": str(error)}, 400)
            return JSONResponse(self.faults.rows())

        async def moving(request: Request) -> Response:
            assert self.mover is not None
            if request.method == "POST":
                self.mover.start()
            elif request.method == "DELETE":
                await asyncio.to_thread(self.mover.stop)
            return JSONResponse({"moving": self.mover.moving})

        async def close(request: Request) -> Response:
            asyncio.get_running_loop().call_later(0.05, self.ended.set)
            return JSONResponse({})

        app = Starlette(
            routes=[
                Route("/status", status),
                Route("/faults", faults, methods=["GET", "POST", "DELETE"]),
                Route("/moving", moving, methods=["GET", "POST", "DELETE"]),
                Route("/close", close, methods=["POST"]),
            ]
        )

        async def guarded(scope: Any, receive: Any, send: Any) -> None:
            header = dict(scope["headers"]).get(b"authorization", b"")
            if not secrets.compare_digest(header, f"Bearer {self.token}".encode()):
                await Response(status_code=401)(scope, receive, send)
                return
            await app(scope, receive, send)

        return guarded


async def serve(orders: dict[str, Any], ready: Any) -> None:
    """Run a lab until it is asked to end; `ready` is called with its description."""
    process = Process(orders)
    loop = asyncio.get_running_loop()
    # An interrupt in the notebook may reach this process too; it ends with its parent, not before.
    for number in (signal.SIGTERM,) if "parent" in orders else (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, process.ended.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(process.ended.set))
    try:
        ready(await process.start())
        await process.ended.wait()
    finally:
        await process.stop()


def _first_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            sys.exit("the lab's process got no orders")
        line += piece
    return line


def main() -> None:
    """Run what `Lab` starts as a child process."""
    orders = json.loads(_first_line())
    parent.watch(orders["parent"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def say(line: dict[str, Any]) -> None:
        print(json.dumps(line), flush=True)

    try:
        asyncio.run(serve(orders, say))
    except (KitError, OSError) as error:
        say({"error": str(error)})


if __name__ == "__main__":
    main()
