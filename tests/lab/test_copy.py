"""`copy_to`: each record once where the target checks, masks before anything leaves; see `python -m tests.copying`."""

import json
import signal
import threading
import time
import uuid

import pandas as pd
import pytest

import kit
from kit.core.errors import InputError, Interrupted
from kit.s2 import Record

from .. import copying
from .. import find as model
from ..pace import slowness

pytestmark = pytest.mark.lab


def name():
    return f"copy-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def basin(lab):
    return lab.s2.create_basin(name())


@pytest.fixture(scope="module")
def people(basin):
    stream = basin.create(name())
    rows = [
        {
            "n": n,
            "email": f"u{n % 5}@x.org",
            "card": "4111111111111111",
            "at": {"zip": "0150", "lines": [{"tel": "123456"}]},
        }
        for n in range(2500)
    ]
    stream.append([Record(json.dumps(row).encode(), headers=[(b"trace", b"%d" % n)]) for n, row in enumerate(rows)])
    return stream


def test_copies_under_faults_and_kills(quiet_lab, seed):
    with model.apart(quiet_lab) as own:
        copying.campaign(8, 1, seed, own)


def test_bodies_headers_and_figures(basin, people):
    target = basin.create(name())
    told = people.copy_to(target)
    assert (told.records, told.next, told.exact, told.complete) == (2500, 2500, True, True)
    for column in ("body", "headers"):
        assert target.read(body="bytes")[column].tolist() == people.read(body="bytes")[column].tolist()
    assert "copied 2,500 records" in repr(told) and "each once" in told._repr_html_()
    part = basin.create(name())
    told = people.copy_to(part, start=100, until=2000, where="n >= 1990")
    assert part.read()["n"].tolist() == list(range(1990, 2000)) and (told.records, told.skipped) == (10, 1890)


def test_to_every_other_service(lab, basin, people):
    lab.kimberlite.create(mark := name())
    with pytest.warns(UserWarning, match="cannot store headers: the values of 50 records were not copied"):
        told = people.copy_to(lab.kimberlite[mark], until=50)
    assert told.left_behind == {"headers": 50} and lab.kimberlite[mark].read()["n"].tolist() == list(range(50))
    lab.synap.client.stream.create(mark)
    told = lab.kimberlite[mark].copy_to(lab.synap[mark])
    assert not told.exact and "cannot check" in str(told) and lab.synap[mark].read()["n"].tolist() == list(range(50))
    lab.synap[mark].publish(["plain", 5, b"\xff\x00", {"a": "ø"}])
    target = basin.create(name())
    with pytest.warns(UserWarning, match="cannot store event"):
        lab.synap[mark].copy_to(target, start=50)
    assert target.read(body="bytes")["body"].tolist() == [b"plain", b"5", b"\xff\x00", '{"a":"ø"}'.encode()]
    other = name()
    lab.synap.client.stream.create(other)
    lab.synap[mark].copy_to(lab.synap[other])
    columns = ["event", "data"]
    assert lab.synap[other].read(body="bytes")[columns].equals(lab.synap[mark].read(body="bytes")[columns])


def test_what_is_hidden_does_not_leave(basin, people):
    target = basin.create(name())
    mask = {"email": "hash", "card": "last4", "at.lines.tel": "drop", "at.zip": "null", "n": lambda n: n + 1}
    people.copy_to(target, mask=mask, mask_key="secret", until=10)
    rows = target.read()
    assert rows["card"].unique().tolist() == ["*" * 12 + "1111"] and rows["n"].tolist() == list(range(1, 11))
    assert json.loads(target.read(body="bytes")["body"][0])["at"] == {"zip": None, "lines": [{}]}
    assert rows["email"].nunique() == 5 and rows["email"].str.fullmatch("[0-9a-f]{16}").all()
    raw = b"".join(target.read(body="bytes")["body"])
    assert b"x.org" not in raw and b"123456" not in raw and b"0150" not in raw
    plain, keyed = basin.create(name()), basin.create(name())
    people.copy_to(plain, mask={"email": "hash"}, until=1)
    people.copy_to(keyed, mask={"email": "hash"}, mask_key=b"other", until=1)
    assert len({rows["email"][0], plain.read()["email"][0], keyed.read()["email"][0]}) == 3


def test_what_cannot_be_hidden_is_not_sent(basin, people):
    target = basin.create(name())
    with pytest.raises(InputError, match=r"no sampled record has 'emial'.*\n.*did you mean 'email'"):
        people.copy_to(target, mask={"emial": "hash"})
    with pytest.raises(InputError, match="is not a way to hide it"):
        people.copy_to(target, mask={"email": "hsah"})
    mixed = basin.create(name())
    mixed.append([b'{"email": "a"}', b"email: a@x.org", b'{"email": "b", "email": "c"}'])
    with pytest.raises(InputError, match="the record at 1 is not a JSON object"):
        mixed.copy_to(target, mask={"email": "drop"})
    for body in (b'{"email": "a", "t": "\\ud800"}', b'{"email": "a", "t": ' + b"[" * 300 + b"]" * 300 + b"}"):
        odd = basin.create(name())
        odd.append([body])
        with pytest.raises(InputError, match="the record at 0: "):  # it was an error from inside
            odd.copy_to(target, mask={"email": "drop"})
    with pytest.raises(InputError, match=r"the record at 0: .* is a set, which cannot be written as JSON"):
        people.copy_to(target, mask={"email": lambda email: {email}})
    assert target.read().empty
    people.copy_to(target, mask={"rare": "drop"}, rare=True, until=3)
    both = basin.create(name())
    both.append([b'{"a.b": "secret", "a": {"b": "secret"}, "c": [{"a.b": "secret"}]}'])
    hidden = basin.create(name())
    both.copy_to(hidden, mask={"a.b": "drop", "c.a.b": "drop"})
    assert hidden.read(body="bytes")["body"][0] == b'{"a":{},"c":[{}]}'


def test_the_same_call_goes_on(basin, people, tmp_path):
    target, path = basin.create(name()), tmp_path / "copy.json"
    people.copy_to(target, until=1000, checkpoint=path)
    told = people.copy_to(target, checkpoint=path)
    assert told.records == 2500 and target.read()["n"].tolist() == list(range(2500))
    assert people.copy_to(target, checkpoint=path).records == 2500 and len(target.read()) == 2500
    with pytest.raises(InputError, match="is from a copy with"):
        people.copy_to(target, checkpoint=path, where="n > 3")
    with pytest.raises(InputError, match="is from a copy to"):
        people.copy_to(basin.create(name()), checkpoint=path)
    path.write_text("{}")
    with pytest.raises(InputError, match=r"was not written by copy_to\(\)"):
        people.copy_to(target, checkpoint=path)
    with pytest.raises(InputError, match="there is no folder"):
        people.copy_to(target, checkpoint=tmp_path / "no" / "copy.json")


def test_another_writer_on_the_target(basin, people):
    target = basin.create(name())
    stop = threading.Event()
    writer = threading.Thread(target=copying.writing, args=(target, "s2", stop, 0.01 * slowness()))
    writer.start()
    try:
        people.copy_to(target)
    finally:
        stop.set()
        writer.join()
    rows = target.read()
    assert rows["n"].dropna().astype(int).tolist() == list(range(2500)) and "other" in rows


@pytest.mark.filterwarnings("ignore:.*cannot store headers")
@pytest.mark.parametrize("service", ["s2", "kimberlite"])
def test_a_writer_that_hardly_pauses(lab, basin, people, service):
    target = basin.create(name()) if service == "s2" else lab.kimberlite[name()]
    target.append([{"other": 0}])
    stop, pause = threading.Event(), 0.003 * slowness()

    def write():
        while not stop.wait(pause):
            target.append([{"other": 1}])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        told = people.copy_to(target)
    finally:
        stop.set()
        writer.join()
    rows = target.read()
    assert told.records == 2500 and rows["n"].dropna().astype(int).tolist() == list(range(2500))
    assert len(rows) > 2500


def test_pace(basin):
    source = basin.create(name())
    for n in range(4):
        source.append([{"n": n}])
        time.sleep(0.25)
    times = source.read()["time"]
    target = basin.create(name())
    source.copy_to(target, pace="original")
    was, now = (one.diff().dropna().dt.total_seconds().tolist() for one in (times, target.read()["time"]))
    assert all(b >= a * 0.8 for a, b in zip(was, now, strict=True)) and sum(now) < sum(was) * 3
    quick = basin.create(name())
    began = time.monotonic()
    source.copy_to(quick, pace=50)
    assert time.monotonic() - began < sum(was) and quick.read()["n"].tolist() == [0, 1, 2, 3]
    for pace in (0, -1, "slow", True, float("inf")):
        with pytest.raises(InputError, match="pace="):
            source.copy_to(quick, pace=pace)


def test_following_until_interrupted(basin):
    source, target = basin.create(name()), basin.create(name())
    source.append([{"n": 0}])
    timers = [
        threading.Timer(0.6, lambda: source.append([{"n": 1}])),
        threading.Timer(1.6, lambda: signal.raise_signal(signal.SIGINT)),
    ]
    for timer in timers:
        timer.start()
    told = source.copy_to(target, follow=True)
    assert told.records == 2 and told.why == "interrupted" and target.read()["n"].tolist() == [0, 1]


def test_an_interrupt_leaves_what_to_go_on_from(basin, people):
    target = basin.create(name())
    timer = threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    slow = {"n": lambda n: time.sleep(0.001) or n}
    with pytest.raises(Interrupted) as caught:
        people.copy_to(target, mask=slow)
    told = people.copy_to(target, mask={"n": lambda n: n}, checkpoint=caught.value)
    assert told.records == 2500 and target.read()["n"].tolist() == list(range(2500))


def test_wrong_targets_are_refused(lab, basin, people):
    with pytest.raises(InputError, match="is copied to itself"):
        people.copy_to(people)
    with pytest.raises(InputError, match="is not a log to copy to"):
        people.copy_to("orders")
    with pytest.raises(kit.KitError, match="not-there"):
        people.copy_to(basin["not-there"])
    assert pd.DataFrame([people.copy_to(basin.create(name()), until=0).as_dict()])["records"][0] == 0


def test_messages_of_a_queue_go_to_a_log_or_back_to_their_queue(lab, basin):
    syn, dead, jobs = lab.synap, name(), name()
    for queue in (dead, jobs):
        syn.client.queue.create(queue)
    syn.publish(dead, [{"n": n, "email": "a@x.org"} for n in range(250)], kind="queue")
    target = basin.create(name())
    told = syn.move(dead, target, limit=150, mask={"email": "drop"})
    assert (told.records, told.uncertain, told.complete) == (150, 0, True) and "limit=150" in told.why
    assert target.read()["n"].tolist() == list(range(150)) and "email" not in target.read()
    told = syn.move(dead, jobs)
    assert told.records == 100 and syn.client.queue.stats(dead)["depth"] == 0
    assert sorted(syn.drain(jobs, 200)["n"]) == list(range(150, 250))
    with pytest.raises(InputError, match="is moved to itself"):
        syn.move(dead, dead)
    with pytest.raises(InputError, match="is neither a log nor a queue"):
        syn.move(dead, 5)
    syn.publish(dead, [b"no json"], kind="queue")
    with pytest.raises(InputError, match="is not a JSON object"):
        syn.move(dead, target, mask={"email": "drop"})
    assert syn.drain(dead, 5)["body"].tolist() == ["no json"]  # it went back


def test_a_checkpoint_knows_a_filter_by_what_it_says(basin, people, tmp_path):
    target, path = basin.create(name()), tmp_path / "copy.json"

    def copied(number, until):
        # A function is new each time, as in another process.
        return people.copy_to(target, until=until, where=lambda rows: rows["n"] % number == 0, checkpoint=path).records

    assert copied(2, 1000) == 500 and copied(2, 2000) == 1000
    with pytest.raises(InputError, match="the checkpoint is from a copy with"):
        people.copy_to(target, where=lambda rows: rows["n"] % 3 == 0, checkpoint=path)
    long, path = " and ".join(["n >= 0"] * 50), tmp_path / "other.json"
    assert people.copy_to(target, until=10, where=long, checkpoint=path).records == 10
    with pytest.raises(InputError, match="the checkpoint is from a copy with"):
        people.copy_to(target, until=20, where=long + " and n > 15", checkpoint=path)


def test_a_checkpoint_knows_lists_of_functions_and_how_fields_are_hidden(basin, people, tmp_path):
    target, path = basin.create(name()), tmp_path / "copy.json"

    def copied(until, **options):
        return people.copy_to(target, until=until, checkpoint=path, **options)

    copied(10, where=[lambda rows: rows["n"] > 3])
    assert copied(20, where=[lambda rows: rows["n"] > 3]).records == 16
    with pytest.raises(InputError, match="the checkpoint is from a copy with"):
        copied(30, where=[lambda rows: rows["n"] > 5])
    path.unlink()
    mask = {"email": "hash", "card": lambda card: card[:2] + "the secret of the function"}
    copied(10, mask=mask, mask_key="the secret key")
    told = copied(20, mask=dict(mask), mask_key=b"the secret key")
    assert told.records == 20 and "secret" not in path.read_text()
    for other, key in (({**mask, "email": "drop"}, "the secret key"), (mask, "another"), (mask, None)):
        with pytest.raises(InputError, match="the checkpoint is from a copy with"):
            copied(30, mask=other, mask_key=key)


def test_the_seconds_of_a_copy_are_those_of_all_its_runs(basin, people):
    target = basin.create(name())
    first = people.copy_to(target, until=1000)
    assert people.copy_to(target, checkpoint=first).seconds > first.seconds


@pytest.mark.parametrize(
    "damage",
    [
        {"pending": [1]}, {"pending": {"a": 1}}, {"pending": ["a", "b"]}, {"next": "5"}, {"next": True}, {"next": -5},
        {"stop": None}, {"left_behind": 3}, {"left_behind": {"event": "x"}}, {"source": 5}, {"seconds": "1"},
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_is_refused(basin, people, tmp_path, damage):
    target, path = basin.create(name()), tmp_path / "copy.json"
    people.copy_to(target, until=10, checkpoint=path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(InputError, match="is damaged"):
        people.copy_to(target, checkpoint=path)
