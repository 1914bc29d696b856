"""Many streams in one frame: every record of each, what failed told, memory and connections bounded."""

import uuid

import pytest

from kit.s2 import S2ClientError

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def basin(lab):
    basin = lab.s2.create_basin(f"many-{uuid.uuid4().hex[:12]}")
    for n in range(30):
        basin.create(f"a/{n:02d}").append([{"n": n, "i": i} for i in range(n)] or [{"n": 0, "i": 0}])
    basin.create("b/empty")
    return basin


def test_one_frame_of_all_that_match(basin):
    frame = basin.read_many("a/", at_once=5)
    assert list(frame.columns) == ["stream", "seq_num", "time", "n", "i"]
    assert frame.attrs["streams"] == 30 and frame.attrs["failed"] == {}
    assert frame["stream"].is_monotonic_increasing
    for name, part in frame.groupby("stream"):
        assert part["i"].tolist() == basin[name].read()["i"].tolist()
    assert str(frame["stream"].dtype) == "str"
    few = basin.read_many("a/", start="tail-1", limit=1)
    assert len(few) == 30
    assert list(basin.read_many("b/").columns)[:3] == ["stream", "seq_num", "time"]
    assert len(basin.read_many("nothing-like-this")) == 0


def test_what_cannot_be_read_is_told_and_the_rest_is_there(basin):
    with pytest.warns(UserWarning, match="some could not be read: missing"):
        frame = basin.read_many(streams=["a/03", "missing", "a/04"])
    assert frame["stream"].tolist() == ["a/03"] * 3 + ["a/04"] * 4
    assert list(frame.attrs["failed"]) == ["missing"] and "missing" in frame.attrs["failed"]["missing"]


def test_memory_is_bounded(basin):
    for name in ("c/1", "c/2", "c/3"):
        basin.create(name).append([b"x" * 100_000 for _ in range(30)])
    with pytest.warns(UserWarning, match="max_bytes=4,000,000"):
        frame = basin.read_many("c/", body="bytes", max_bytes=4_000_000, at_once=3)
    assert 0 < len(frame) <= 40
    left = frame.attrs["failed"]
    assert left
    for name, part in frame.groupby("stream"):
        assert part["seq_num"].tolist() == list(range(len(part)))
        assert len(part) == 30 or f"from {len(part)} on" in left[name]


def test_wrong_arguments_are_told_before_traffic(basin):
    with pytest.raises(S2ClientError, match="a prefix must be text"):
        basin.read_many(["one", "two"])
    for wrong in ({"at_once": 0}, {"max_bytes": -1}, {"limit": -1}, {"start": "yesteryear"}):
        with pytest.raises(S2ClientError):
            basin.read_many(streams=["a/01"], **wrong)
    with pytest.raises(S2ClientError, match="a list of names"):
        basin.read_many(streams="a/01")
