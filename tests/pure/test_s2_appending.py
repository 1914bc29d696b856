"""The bookkeeping of append sessions, and the parts of their transport that need no socket."""

import asyncio
import threading
import time

import h2.config
import h2.connection
import h2.settings
import hyperframe.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.s2.client.sessions.http2_exchange import _Frames, _GoAway
from kit.s2.client.sessions.thread_queue import ThreadQueue
from kit.s2.client.sessions.unacked import Batch, Unacked
from kit.s2.errors import S2ClientError
from kit.s2.positions import StreamPosition
from kit.s2.types import AppendAck


def ack_of(start, end):
    return AppendAck(StreamPosition(start, 0), StreamPosition(end, 0), StreamPosition(end, 0))


def batch(n, records=1, metered=10):
    return Batch(b"%d" % n, records, metered, n)


def sent(flight, now=0.0):
    """Everything that is to be sent, sent."""
    frames = []
    while (frame := flight.next(now)) is not None:
        frames.append(frame)
    return frames


# --- what is on its way -----------------------------------------------------------------------------------------------


def test_bounds_count_what_is_not_acknowledged():
    flight = Unacked(100, 2, 5.0)
    assert flight.has_room(100)
    assert not flight.has_room(101)
    flight.add(batch(0, metered=60), 0.0)
    assert flight.has_room(40)
    assert not flight.has_room(41)
    flight.add(batch(1, metered=1), 0.0)
    assert not flight.has_room(1), "two batches are as many as may be"
    sent(flight)
    flight.acked(ack_of(0, 1))
    assert flight.bytes == 1
    assert flight.has_room(99)


def test_answers_are_for_the_oldest():
    flight = Unacked(1000, None, 5.0)
    for n in range(3):
        flight.add(batch(n, records=n + 1), 0.0)
    assert sent(flight) == [b"0", b"1", b"2"]
    assert [flight.acked(ack_of(*ends)).ticket for ends in [(5, 6), (6, 8), (20, 23)]] == [0, 1, 2]
    assert len(flight) == 0
    assert flight.bytes == 0


@pytest.mark.parametrize(
    ("acks", "reason"),
    [
        ([(0, 3)], "acknowledged 3 records, from 0 to 3; the batch has 2"),
        ([(5, 3)], "acknowledged -2 records"),
        ([(4, 6), (4, 6)], "is backwards"),
        ([(4, 6), (2, 4)], "is backwards"),
        ([(0, 2), (2, 4), (4, 6)], "was not sent"),
    ],
)
def test_answers_that_cannot_be(acks, reason):
    flight = Unacked(1000, None, 5.0)
    flight.add(batch(0, records=2), 0.0)
    flight.add(batch(1, records=2), 0.0)
    sent(flight)
    *good, last = acks
    for ends in good:
        flight.acked(ack_of(*ends))
    with pytest.raises(S2ClientError, match=reason):
        flight.acked(ack_of(*last))


def test_a_batch_that_is_half_sent_cannot_be_acknowledged():
    flight = Unacked(1000, None, 5.0)
    flight.add(batch(0), 0.0)
    assert flight.next(0.0) == b"0"
    with pytest.raises(S2ClientError, match="was not sent"):
        flight.acked(ack_of(0, 1))


def test_a_new_connection_gets_all_of_them_again_in_order():
    flight = Unacked(1000, None, 5.0)
    for n in range(5):
        flight.add(batch(n), 0.0)
    for _ in range(4):
        flight.next(0.0)
    flight.acked(ack_of(0, 1))
    assert flight.started == 3
    flight.restart(1.0)
    assert flight.started == 0
    assert sent(flight, 1.0) == [b"1", b"2", b"3", b"4"]
    # What an earlier connection said does not count: others may have appended, or the stream been made anew.
    assert flight.acked(ack_of(0, 1)).ticket == 1


def test_the_oldest_one_has_a_deadline_from_when_it_was_sent():
    flight = Unacked(1000, None, 5.0)
    assert flight.deadline(0.0) is None
    flight.add(batch(0), 1.0)
    assert flight.deadline(0.0) == 6.0, "ready since 1"
    assert flight.deadline(2.0) == 7.0, "some of it left at 2"
    flight.next(3.0)
    assert flight.deadline(3.0) == 8.0
    flight.wrote(4.0)
    assert flight.deadline(100.0) == 9.0, "sent in full at 4"
    flight.add(batch(1), 6.0)
    assert flight.deadline(100.0) == 9.0
    sent(flight, 6.5)
    flight.acked(ack_of(0, 1))
    assert flight.deadline(100.0) == 11.5
    flight.restart(20.0)
    assert flight.deadline(0.0) == 25.0


def test_all_of_them_can_be_taken_out():
    flight = Unacked(1000, None, 5.0)
    for n in range(3):
        flight.add(batch(n), 0.0)
    flight.next(0.0)
    assert [one.ticket for one in flight.drain()] == [0, 1, 2]
    assert (len(flight), flight.bytes, flight.deadline(0.0)) == (0, 0, None)


# --- GOAWAY -----------------------------------------------------------------------------------------------------------


def goaway(last, code=0, debug=b""):
    frame = hyperframe.frame.GoAwayFrame(0)
    frame.last_stream_id, frame.error_code, frame.additional_data = last, code, debug
    return frame.serialize()


def answer():
    """What a service sends, as frames."""
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    client = h2.connection.H2Connection()
    client.initiate_connection()
    client.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/")])
    server.initiate_connection()
    server.receive_data(client.data_to_send())
    frames = [server.data_to_send()]
    server.send_headers(1, [(":status", "200")])
    frames.append(server.data_to_send())
    server.send_data(1, b"a" * 300)
    frames.append(server.data_to_send())
    server.end_stream(1)
    frames.append(server.data_to_send())
    return frames


@given(st.lists(st.integers(0, 4), max_size=4), st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_goaway_is_taken_out_wherever_it_stands(places, sizes):
    frames = answer()
    wanted = b"".join(frames)
    for n, place in enumerate(places):
        frames[place:place] = [goaway(2**31 - 1 if n else 7, n, b"bye" * n)]
    data = b"".join(frames)
    reader, passed, told, at, n = _Frames(), b"", 0, 0, 0
    while at < len(data):
        for piece in reader.feed(data[at : at + sizes[n % len(sizes)]]):
            if isinstance(piece, _GoAway):
                assert piece.last_stream in (7, 2**31 - 1)
                assert piece.data == b"bye" * piece.code
                told += 1
            else:
                passed += piece
        at += sizes[n % len(sizes)]
        n += 1
    assert passed == wanted
    assert told == len(places)


# --- handing over to the loop -----------------------------------------------------------------------------------------


def test_a_thread_is_held_back_while_too_much_is_handed_over():
    handover = ThreadQueue(3)
    got, done = [], []

    def put():
        for n in range(1000):
            assert handover.put(n)
        handover.end()
        done.append(handover.put(0))

    async def take():
        thread = threading.Thread(target=put)
        thread.start()
        while items := await handover.take():
            assert len(items) <= 3
            got.extend(items)
        thread.join()

    asyncio.run(take())
    assert got == list(range(1000))
    assert done == [False]


def test_a_thread_that_waits_is_let_go_when_nobody_takes():
    handover = ThreadQueue(1)
    results = []
    handover.put(0)
    thread = threading.Thread(target=lambda: results.append(handover.put(1)))
    thread.start()
    time.sleep(0.02)
    handover.end()
    thread.join(2)
    assert results == [False]
