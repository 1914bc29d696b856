"""A recorded answer, served again and again from memory: what is timed then is the client alone."""

from __future__ import annotations

import socket
import threading


class Replay:
    """A server that answers every request with the same body, but for the first one of each connection."""

    def __init__(self, first: bytes, body: bytes) -> None:
        self._first, self._body = first, body
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                body = self._first
                while self._request(connection):
                    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
                    connection.sendall(head.encode())
                    connection.sendall(body)
                    body = self._body
            except OSError:
                return

    def _request(self, connection: socket.socket) -> bool:
        """Reads one request; bodies have a length."""
        received = b""
        while b"\r\n\r\n" not in received:
            piece = connection.recv(65536)
            if not piece:
                return False
            received += piece
        head, _, rest = received.partition(b"\r\n\r\n")
        left = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                left = int(line.split(b":")[1]) - len(rest)
        while left > 0:
            left -= len(connection.recv(65536))
        return True
