"""A session's events under cuts of every kind: each once, in order, to the end."""

import asyncio
import time

import pytest

from kit.amdahl import AmdahlClient, AmdahlError, AsyncAmdahlClient, start_agent, stream_agent
from kit.core.errors import Lost, TransportError

from .rawserver import RawServer, plain

pytestmark = pytest.mark.lab

PIECES = [f'id: {n}\r\ndata: {{"type":"step","data":{{"n":{n},"text":"é😀"}}}}\r\n\r\n'.encode() for n in range(1, 6)]
PIECES.append(b'id: 6\ndata: {"type": "session.completed"}\n\n')
EVENTS = ["step"] * 5 + ["session.completed"]


class Session:
    """A server with one session's log, that ends its connections as told."""

    def __init__(self, cuts, *, with_ids=True, silence=None, clean=False):
        self.cuts = list(cuts)
        self.with_ids = with_ids
        self.silence = silence
        self.clean = clean
        self.server = RawServer(self.script)

    def script(self, head):
        path = head.split(b" ")[1]
        if path.endswith(b"/status"):
            yield plain(b'{"session_id": "s", "status": "running"}')
            return
        seen = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"last-event-id:"):
                seen = int(line.split(b":")[1])
        log = b"".join(PIECES[seen:])
        if not self.with_ids:
            log = b"\n".join(line for line in log.replace(b"\r\n", b"\n").split(b"\n") if not line.startswith(b"id:"))
        framing = b"" if self.clean else b"transfer-encoding: chunked\r\n"
        yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n" + framing + b"\r\n"
        cut = self.cuts.pop(0) if self.cuts else len(log)
        for start in range(0, min(cut, len(log)), 7):
            piece = log[start : min(start + 7, cut)]
            yield piece if self.clean else b"%x\r\n%s\r\n" % (len(piece), piece)
        if cut < len(log) and self.silence:
            time.sleep(self.silence)
        yield None

    def events(self, colour, **options):
        if colour == "sync":
            with AmdahlClient(self.server.url, "k") as client:
                return list(stream_agent(client, "s", **options))

        async def main():
            async with AsyncAmdahlClient(self.server.url, "k") as client:
                return [event async for event in stream_agent(client, "s", **options)]

        return asyncio.run(main())


@pytest.fixture(autouse=True)
def _quick_reconnects(monkeypatch):
    from kit.amdahl.client import agents
    from kit.core.http.retry import Policy

    monkeypatch.setattr(agents, "_RECONNECTS", Policy(attempts=5, base=0.001, cap=0.01))


def numbers(events):
    return [event["data"]["n"] for event in events if event["type"] == "step"]


LOG = b"".join(PIECES)


@pytest.mark.parametrize("clean", [False, True], ids=["cut", "ended"])
def test_a_cut_at_every_byte_loses_nothing_and_doubles_nothing(clean):
    for cut in range(0, len(LOG), 3):
        session = Session([cut], clean=clean)
        events = session.events("sync")
        assert numbers(events) == [1, 2, 3, 4, 5], cut
        assert [event["type"] for event in events] == EVENTS
        session.server.close()


def test_many_cuts_in_one_session():
    for colour in ("sync", "async"):
        session = Session([80, 75, 90, 60, 85, 81, 10, 3])
        assert numbers(session.events(colour)) == [1, 2, 3, 4, 5]
        session.server.close()


def test_a_silent_peer_is_noticed_and_replaced():
    for colour in ("sync", "async"):
        session = Session([100], silence=3)
        started = time.monotonic()
        assert numbers(session.events(colour, silence_s=0.3)) == [1, 2, 3, 4, 5]
        assert time.monotonic() - started < 2.5
        session.server.close()


def test_a_stream_without_ids_says_that_it_cannot_be_resumed():
    session = Session([100], with_ids=False)
    with pytest.raises(Lost, match="had no ids to resume from"):
        session.events("sync")
    session.server.close()


def test_a_server_that_only_cuts_is_given_up():
    session = Session([0] * 50)
    with pytest.raises(TransportError):
        session.events("sync")
    assert session.server.connections < 20
    session.server.close()


def test_events_that_carry_no_json_object_pass_through():
    def script(head):
        stream = b'data: plain\n\nevent: note\ndata: [1]\n\ndata: {"no": "type"}\n\ndata:{"type":"session.failed"}\n\n'
        yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + stream
        yield None

    server = RawServer(script)
    with AmdahlClient(server.url, "k") as client:
        assert list(stream_agent(client, "s")) == [
            {"type": "message", "data": "plain"},
            {"type": "note", "data": [1]},
            {"type": "message", "data": {"no": "type"}},
            {"type": "session.failed"},
        ]
    server.close()


def test_the_lab_under_faults(quiet_lab):
    env = quiet_lab.env()
    with AmdahlClient(env["AMDAHL_URL"], env["API_KEY"]) as client:
        session_id = start_agent(client, profile_id="researcher", task="x", input_params={"steps": 8, "seconds": 0.4})[
            "session_id"
        ]
        whole = list(stream_agent(client, session_id))
        for kind in ("reset", "truncate", "drop", 503):
            for after in (0, 1, 57, 300, 700):
                quiet_lab.faults("amdahl", kind, path="*/stream", count=2, after=after)
                assert list(stream_agent(client, session_id)) == whole, (kind, after)
                quiet_lab.faults(clear=True)
        tail = list(stream_agent(client, session_id, last_event_id="3"))
        assert tail == whole[3:]


def test_an_unknown_session_is_told(lab):
    with AmdahlClient(lab.env()["AMDAHL_URL"], lab.env()["API_KEY"]) as client:
        with pytest.raises(AmdahlError, match="404 not_found"):
            list(stream_agent(client, "plat_none"))
