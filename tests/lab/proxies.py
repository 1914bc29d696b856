"""A proxy for tests."""

import contextlib
import socket
import threading


def tunnel(target, answer=b"HTTP/1.1 200 Connection established\r\n\r\n"):
    """A proxy that connects to one place, whatever it is asked for; and what it was asked for."""
    asked, listener = [], socket.create_server(("127.0.0.1", 0))

    def copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve(client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        asked.append(head)
        with socket.create_connection(("127.0.0.1", target)) as server, client:
            client.sendall(answer)
            back = threading.Thread(target=copy, args=(server, client))
            back.start()
            copy(client, server)
            back.join()

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener, asked
