"""Several sources as one feed: every row once, in the order of times as far as that can be, and resumed."""

import asyncio
import json

import numpy as np
import pyarrow as pa
import pytest

import kit
from kit.core.errors import InputError, KitError
from kit.live.feed.source import Chunk, Source

PATIENCE = 20


class Timed(Source):
    """Rows with the times given, in chunks of uneven sizes; it says where it is by texts or by numbers."""

    service, begins = "test", True

    def __init__(self, label, times, *, pause=0.0, texts=False, breaks=(), hold=False, tells=True):
        self.label, self.times, self.pause, self.texts = label, times, pause, texts
        self.breaks, self.hold, self.tells = set(breaks), hold, tells

    async def open(self, after):
        at = 0 if after is None else int(str(after).removeprefix("at-")) + 1
        yield Chunk(self.rows(0, 0), None, caught_up=at >= len(self.times) if self.tells else None)
        while at < len(self.times):
            stop = min(len(self.times), at + 1 + (7 * at + len(self.label)) % 23)
            caught_up = stop == len(self.times) if self.tells else None
            yield Chunk(self.rows(at, stop), f"at-{stop - 1}" if self.texts else stop - 1, caught_up=caught_up)
            at = stop
            await asyncio.sleep(self.pause)
            if any(at > one for one in self.breaks):
                self.breaks = {one for one in self.breaks if at <= one}
                raise ConnectionResetError("cut")
        if self.hold:
            await asyncio.Event().wait()

    def rows(self, start, stop):
        moments = np.array(self.times[start:stop], np.int64)
        return pa.record_batch(
            {
                "n": np.arange(start, stop),
                "time": pa.array(moments).cast(pa.timestamp("ms", "UTC")),
                self.label: moments,
            }
        )


def spread(count, seed):
    return np.cumsum(np.random.default_rng(seed).integers(0, 100, count)).tolist()


def test_rows_are_in_the_order_of_their_times_over_cuts():
    a, b, c = (spread(2000, seed) for seed in range(3))
    sources = [Timed("a", a, breaks=(100, 900)), Timed("b", b, texts=True, pause=0.002), Timed("c", c, breaks=(1500,))]
    with kit.Feed(sources, merge="time") as feed:
        frame = feed.wait(timeout=PATIENCE).df
        assert list(frame.columns[:3]) == ["source", "n", "time"] and frame["time"].is_monotonic_increasing
        for name, times in zip("abc", (a, b, c), strict=True):
            mine = frame[frame["source"] == name]
            assert mine["n"].tolist() == list(range(2000)) and mine[name].tolist() == times
        stats = feed.stats()
        assert stats["reconnects"] == 3 and stats["disordered"] == 0 and stats["sources"] == 3


def test_a_quiet_source_holds_the_others_up_no_longer_than_is_tolerated():
    sources = [Timed("a", [1000, 2000, 3000], hold=True), Timed("b", [1500], hold=True)]
    with kit.Feed(sources, merge="time", tolerance=0.3) as feed:
        assert feed.wait(4, timeout=PATIENCE).df["time"].is_monotonic_increasing
        assert feed.wait(until="caught_up", timeout=PATIENCE).caught_up
    # What comes later than tolerated is not lost, but out of order, and told.
    late = Timed("late", list(range(30)), pause=0.4, tells=False)
    with kit.Feed([Timed("a", [1000], hold=True), late], merge="time", tolerance=0.1) as feed:
        feed.wait(31, timeout=PATIENCE)
        assert feed.df["source"].value_counts().to_dict() == {"a": 1, "late": 30} and feed.stats()["disordered"] >= 1
        assert "out of order" in kit.LiveView(feed)._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize("stop", [1, 137, 500, 1999])
def test_it_goes_on_from_a_checkpoint_in_the_middle_of_a_chunk(stop):
    a, b = spread(1000, 5), spread(1000, 6)
    make = lambda: [Timed("a", a, texts=True, hold=True), Timed("b", b, hold=True)]  # noqa: E731
    with kit.Feed(make(), merge="time", where=lambda df: np.arange(len(df)) >= 0, max_rows=5000) as feed:
        feed.wait(stop, timeout=PATIENCE)
        feed.pause()
        told = json.loads(json.dumps(feed.checkpoint()))
        before = feed.df.head(told["total"])
    with kit.Feed(make(), merge="time", from_checkpoint=told) as feed:
        after = feed.wait(2000 - told["total"], timeout=PATIENCE).df
    both = {
        name: [n for frame in (before, after) if len(frame) for n in frame[frame["source"] == name]["n"]]
        for name in "ab"
    }
    assert both == {"a": list(range(1000)), "b": list(range(1000))}


def test_folds_filters_and_failures():
    with kit.Feed(
        [Timed("a", spread(500, 1)), Timed("b", spread(300, 2))], merge="time", where={"source": "b"}
    ) as feed:
        assert feed.per("source", n="count").wait(timeout=PATIENCE).df.to_dict("list") == {"source": ["b"], "n": [300]}

    class Broken(Timed):
        def temporary(self, error):
            return False

    with kit.Feed([Timed("a", [1]), Broken("b", [1, 2, 3] * 20, breaks=(1,))], merge="time") as feed:
        with pytest.raises(KitError, match="b failed: ConnectionResetError: cut"):
            feed.wait(timeout=PATIENCE)
        assert feed.total > 1


@pytest.mark.parametrize(
    ("sources", "options", "told"),
    [
        ([], {}, "nothing to merge"), (Timed("a", []), {}, "takes a list"), ([Timed("a", [])], {"tolerance": -1}, "tolerance=-1"),
        ([[{"a": 1}]], {"merge": "name"}, "merge='name'"), ([5], {}, "nothing to follow"),
    ],
)  # fmt: skip
def test_what_it_refuses(sources, options, told):
    with pytest.raises(InputError, match=told):
        kit.Feed(sources, **{"merge": "time", **options})
    source = Timed("a", [])
    told = {"form": "kit.feed/1", "source": json.dumps(["merged", source.key]), "position": "x"}
    with kit.Feed([source], merge="time", from_checkpoint=told) as feed:
        with pytest.raises(InputError, match="position is"):
            feed.wait(timeout=PATIENCE)
