"""From a cold interpreter to the first frame: import, connect, read 100 records. Run: python -m tests.bench.cold

Whole processes are timed. The official client's side does what its documentation shows, and `pandas.DataFrame`.
"""

from __future__ import annotations

from .measure import Figures, Pairs, Side
from .measure import main as run

BASIN = "bench-basin"


def ours_s2() -> Figures:
    import kit

    frame = kit.connect("s2")[BASIN]["read"].read(limit=100)
    assert len(frame) == 100
    return {}


def pandas_alone() -> Figures:
    """What both sides need, and nothing else."""
    import pandas

    assert pandas.DataFrame
    return {}


def official_s2() -> Figures:
    import asyncio
    import os

    import pandas
    import s2_sdk

    async def main() -> None:
        ends = s2_sdk.Endpoints.from_env()
        async with s2_sdk.S2(os.environ["S2_ACCESS_TOKEN"], endpoints=ends) as s2:
            batch = await s2[BASIN]["read"].read(start=s2_sdk.SeqNum(0), limit=s2_sdk.ReadLimit(count=100))
            frame = pandas.DataFrame(
                {
                    "seq_num": [record.seq_num for record in batch.records],
                    "time": pandas.to_datetime([record.timestamp for record in batch.records], unit="ms", utc=True),
                    "body": [record.body for record in batch.records],
                }
            )
            assert len(frame) == 100

    asyncio.run(main())
    return {}


SIDES: dict[str, Side] = {side.__name__: side for side in (ours_s2, pandas_alone, official_s2)}


def rows(pairs: Pairs) -> None:
    import kit

    with kit.Lab("s2", demo=False, join=False) as lab:
        stream = lab.s2.create_basin(BASIN).create("read")
        stream.append([b'{"n":%d,"city":"Oslo"}' % n for n in range(1000)])
        name = "cold interpreter to the first frame of 100 records"
        pairs.compare(name, "ours_s2", "official_s2", lab.env(), figures={"process": 0.95}, rounds=pairs.rounds + 4)
        name = "cold interpreter: import pandas and no more"
        pairs.compare(
            name, "pandas_alone", "official_s2", lab.env(), figures={"process": None}, rounds=pairs.rounds + 4
        )


if __name__ == "__main__":
    run(__spec__.name, rows, SIDES, __doc__)
