"""A server that answers each connection with bytes as given, for answers that no decent server would send."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator


class RawServer:
    """Reads one request at a time and lets `script` write the answer, piece by piece, on the same connection.

    With `bodies` it hears a request to its end first, and keeps what it heard.
    """

    def __init__(self, script: Callable[[bytes], Iterable[bytes]], *, bodies: bool = False) -> None:
        self._script = script
        self._whole = bodies
        self.bodies: list[bytes] = []
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._sock.getsockname()[1]}"
        self.requests: list[bytes] = []
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._sock.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._sock.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    try:
                        piece = connection.recv(65536)
                    except OSError:
                        return
                    if not piece:
                        return
                    buffer += piece
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                self.requests.append(head)
                if self._whole:
                    length = int(re.search(rb"content-length: (\d+)|$", head, re.I)[1] or 0)
                    while len(buffer) < length and (piece := connection.recv(65536)):
                        buffer += piece
                    self.bodies.append(buffer[:length])
                    buffer = buffer[length:]
                try:
                    for piece in self._script(head):
                        if piece is None:
                            return
                        connection.sendall(piece)
                except OSError:
                    return


def plain(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer with its length."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def endless(piece: bytes) -> Iterator[bytes]:
    """A chunked body without an end."""
    yield b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    while True:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
