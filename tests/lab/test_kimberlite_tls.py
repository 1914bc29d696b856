"""Kimberlite over TLS: certificates are checked, and nothing goes out in plain where TLS was asked for."""

from __future__ import annotations

import asyncio
import pickle
import socket
import ssl
import sys
import threading

import pytest

import kit
from kit.kimberlite import AsyncClient, Client, KimberliteInputError, NetworkError, TenantId
from tests.chaos.proxy import Proxy

from .kimberlitelite import KimberliteLab

pytestmark = pytest.mark.lab
T = TenantId(1)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = KimberliteLab(tmp_path_factory.mktemp("kimberlite"))
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def serving(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return context


@pytest.fixture(scope="module")
def front(lab, serving):
    front = Proxy(int(lab.address.rpartition(":")[2]), tls=serving)
    yield front
    front.close()


@pytest.fixture
def trusted(certificate):
    return ssl.create_default_context(cafile=str(certificate / "cert.pem"))


def test_both_colours_read_write_query_and_follow(lab, front, trusted):
    address = f"localhost:{front.port}"
    with Client(address, T, lab.key, tls=trusted) as client:
        stream = client.create_stream("tls_sync")
        client.append_batch(None, stream, [b"x" * 100_000] * 30)
        assert [len(one.data) for one in client.read_stream(None, stream)] == [100_000] * 30
        assert client.query("SELECT 1 AS one").rows
        with client.subscribe(None, stream, from_position=0) as following:
            assert next(iter(following)).data == b"x" * 100_000

    async def main():
        async with await AsyncClient.connect(address, T, lab.key, tls=trusted) as client:
            stream = await client.create_stream("tls_async")
            await asyncio.gather(*(client.append(None, stream, b"%d" % n) for n in range(20)))
            return sorted(int(one.data) for one in await client.read_stream(None, stream))

    assert asyncio.run(main()) == list(range(20))


def test_a_certificate_that_is_not_trusted_is_refused(lab, front):
    for address in (f"kimberlites://localhost:{front.port}", f"localhost:{front.port}"):
        with pytest.raises(NetworkError, match=r"certificate is not trusted here.*tls=ssl\.SSLContext") as caught:
            Client(address, T, lab.key, tls=True).query("SELECT 1")
        assert caught.value.maybe_received is False

        async def main(address=address):
            await AsyncClient.connect(address, T, lab.key, tls=True)

        with pytest.raises(NetworkError, match="certificate is not trusted here"):
            asyncio.run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no second loopback address")
def test_a_certificate_for_another_name_is_refused(lab, serving, trusted):
    front = Proxy(int(lab.address.rpartition(":")[2]), host="127.0.0.2", tls=serving)
    with pytest.raises(NetworkError, match=r"certificate is not trusted here.*127\.0\.0\.2"):
        Client(f"127.0.0.2:{front.port}", T, lab.key, tls=trusted).query("SELECT 1")
    front.close()


def test_nothing_goes_out_in_plain():
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen():
            connection, _ = server.accept()
            with connection:
                heard.append(connection.recv(4096))
                connection.sendall(b"VDB no TLS here")

        thread = threading.Thread(target=listen)
        thread.start()
        with pytest.raises(NetworkError, match=r"no TLS: .*does the server speak it there") as caught:
            Client(f"kimberlites://127.0.0.1:{server.getsockname()[1]}", T, "kmb_live_5ecret").query("SELECT 1")
        thread.join()
    assert b"5ecret" not in b"".join(heard) and "5ecret" not in str(caught.value)


def test_the_explorer_and_what_it_gives_to_other_processes(lab, front, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    with kit.connect("kimberlite", address=f"kimberlites://localhost:{front.port}", tenant_id=1, api_key=lab.key) as k:
        k.append("tls_frame", [{"n": n} for n in range(5)])
        assert k.read("tls_frame")["n"].tolist() == [0, 1, 2, 3, 4]
        make, arguments, secrets = k["tls_frame"].source().recipe()
        again = make(*pickle.loads(pickle.dumps(arguments)), **secrets)
        assert again.bounds() == (0, 5)
        again.close()
    with kit.connect("kimberlite", address=f"localhost:{front.port}", tenant_id=1, api_key=lab.key,
                     tls=ssl.create_default_context(cafile=str(certificate / "cert.pem"))) as k:  # fmt: skip
        with pytest.raises(KimberliteInputError, match="cannot be sent to another process"):
            k["tls_frame"].source().recipe()


@pytest.mark.parametrize(
    ("address", "tls", "words"),
    [
        ("kimberlites://h:1", False, "tls=False"),
        (["kimberlites://h:1", "h:2"], None, "some addresses use TLS"),
        ("h:1", "cert.pem", "tls='cert.pem'"),
    ],
)
def test_what_contradicts_itself_is_refused_before_anything_is_sent(address, tls, words):
    with pytest.raises(KimberliteInputError, match=words):
        Client(address, T, "k", tls=tls)
