"""What the lab's server does beyond the protocol has names, and with `extensions` off it is what the service is."""

from __future__ import annotations

import re

import pytest

from kit.kimberlite import Client
from kit.kimberlite.explore.explorer import Kimberlite
from kit.kimberlite.wire.protocol.codec import requests
from tests.chaos.proxy import Proxy

from .kimberliteraw import Served, refused, stream_of

pytestmark = pytest.mark.lab
NAMES = {b"kit.events.v1", b"kit.streams.v1", b"kit.types.v1", b"kit.batch.v1", b"kit_events", b"kit_streams"}


@pytest.fixture
def plain(tmp_path):
    served = Served(tmp_path, demo=True, extensions=0)
    yield served
    served.close()


def seen_on_the_wire(served: Served) -> set[bytes]:
    """Return the names of this package that pass between an explorer that does all that extensions serve, and a lab."""
    front = Proxy(int(served.env["KIMBERLITE_ADDRESS"].rpartition(":")[2]))
    front.recording = True
    client = Client(f"127.0.0.1:{front.port}", 1, served.env["KIMBERLITE_API_KEY"])
    try:
        with Kimberlite(client) as k:
            assert len(k.query("SELECT * FROM accounts LIMIT 3")) == 3
            assert len(k.streams()) and len(k.server())
            assert len(k.read("claims", limit=5)) == 5
            assert len(client.read_from_position(0, 5, stream_id="claims")) == 5
            k.append("mine", [b"one", b"two"])
            with client.subscribe(None, "mine", from_position=0) as events:
                assert [next(events).data for _ in range(2)] == [b"one", b"two"]
    finally:
        front.close()
    return {
        name
        for part in (front.requests, front.record)
        for name in re.findall(rb"kit[._-][a-z]+(?:\.v\d)?", b"".join(part))
    }


def test_without_extensions_none_is_named_on_the_wire(plain):
    assert seen_on_the_wire(plain) == set()


def test_with_them_each_is_named(tmp_path):
    served = Served(tmp_path, demo=True)
    try:
        assert seen_on_the_wire(served) == NAMES | {b"kit-batch"}
    finally:
        served.close()


def test_without_extensions_they_are_not_there_for_who_names_them(plain):
    with plain.raw() as raw:
        for table in ("kit_events", "kit_streams"):
            assert refused(raw, requests.Query(f"SELECT * FROM {table}")).code == 8
        id = stream_of(raw, b"one", b"two")
        raw.ask(requests.Subscribe(id, 0, 10, "kit-batch"))
        assert [list(raw.push().events) for _ in range(2)] == [[b"one"], [b"two"]]


def test_without_extensions_an_explorer_does_as_on_the_service(plain):
    with Kimberlite(Client(plain.env["KIMBERLITE_ADDRESS"], 1, plain.env["KIMBERLITE_API_KEY"])) as k:
        frame = k.read("claims", limit=3)
        assert frame["time"].isna().all() and frame.attrs["time"] == "not reported by the server"
        rows = k.query("SELECT * FROM accounts LIMIT 3")
        assert str(rows["opened"].dtype) == "datetime64[ns, UTC]"  # the type is asked for
        assert "claims" in k.streams()["name"].tolist()  # as this client has used it
