"""A lab of the tests' own, shared by all that do not break it."""

import contextlib
import os
import shutil
import socket
import subprocess

import pytest

import kit


@pytest.fixture(scope="session", autouse=True)
def _own_runtime_folder(tmp_path_factory):
    """Labs started by tests neither join nor are joined by a lab that the user has running."""
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(tmp_path_factory.mktemp("runtime"))
    yield
    if before is None:
        del os.environ["XDG_RUNTIME_DIR"]
    else:
        os.environ["XDG_RUNTIME_DIR"] = before


@pytest.fixture(scope="session")
def lab(_own_runtime_folder):
    with kit.Lab(join=False) as lab:
        yield lab


@pytest.fixture
def quiet_lab(lab):
    """The shared lab, with every fault taken back afterwards."""
    yield lab
    lab.faults(clear=True)


@pytest.fixture
def many_example(monkeypatch):
    """A port at which the host many.example has five addresses, none of which takes a connection or refuses one."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # its queue is full
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        known = socket.getaddrinfo

        def several(host, *more, **kinds):
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())] * 5
            return found if host in ("many.example", b"many.example") else known(host, *more, **kinds)

        monkeypatch.setattr(socket, "getaddrinfo", several)
        yield listener.getsockname()[1]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl, which makes a certificate for this test, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder
