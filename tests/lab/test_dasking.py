"""Frames of Dask over streams: equal to the direct read, whoever reads them and whoever is lost; and back again."""

import os
import pickle
import signal
import uuid
import warnings

import pandas as pd
import pytest

import kit
from kit.core.errors import InputError, KitError

pytestmark = pytest.mark.lab
dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def basin(lab):
    return lab.s2.create_basin(f"dask-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def stream(basin):
    return basin.create(f"s/{uuid.uuid4().hex}")


@pytest.fixture
def orders(lab):
    return lab.s2["demo-shop"]["orders"]


@pytest.fixture(scope="module")
def cluster():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster:
            with distributed.Client(cluster) as client:
                yield client


def same(found, read):
    found = found.reset_index(drop=True)[list(read.columns)].astype(read.dtypes.to_dict())
    found.attrs, read.attrs = {}, {}
    pd.testing.assert_frame_equal(found, read)


def test_ranges_by_count_and_by_time(orders):
    read = orders.read()
    with dask.config.set(scheduler="synchronous"):
        for options in ({"partitions": 7}, {"rows": 999}, {"every": "2h"}, {}):
            lazy = orders.to_dask(**options)
            same(lazy.compute(), read)
            assert [str(kind) for kind in lazy.dtypes] == [str(kind) for kind in lazy.partitions[0].compute().dtypes]
        assert orders.to_dask(partitions=7).npartitions == 7 and orders.to_dask(rows=999).npartitions == 6
        hours = orders.to_dask(every="2h")
        assert hours.npartitions == read["time"].dt.floor("2h").nunique()
        part = hours.partitions[1].compute()
        assert part["time"].dt.floor("2h").nunique() == 1
        assert len(orders.to_dask(start=10, limit=5).compute()) == 5
        assert len(orders.to_dask(start=10**9).compute()) == 0
    for wrong in ({"rows": 0}, {"partitions": 2, "rows": 3}, {"every": "soon"}, {"every": "0h"}):
        with pytest.raises(InputError):
            orders.to_dask(**wrong)


def test_kimberlite_and_parquet(lab, orders, tmp_path):
    lab.kimberlite.append("dask-claims", [{"id": n, "x": None if n % 3 else n} for n in range(3000)])
    claims = lab.kimberlite["dask-claims"]
    with dask.config.set(scheduler="threads"):
        same(claims.to_dask(rows=700).compute(), claims.read())
        scan = orders.to_parquet(tmp_path / "o", limit=2000)
        scan = orders.to_parquet(tmp_path / "o")
        lazy = scan.to_dask()
        assert lazy.npartitions == 2
        same(lazy.compute(), orders.read())
        parted = orders.to_parquet(tmp_path / "p", partition_by="city").to_dask()
        assert parted.groupby("city").size().compute().to_dict() == orders.read().groupby("city").size().to_dict()


def test_workers_read_what_the_direct_read_gives_also_when_one_is_lost(cluster, lab, orders):
    read = orders.read()
    lazy = orders.to_dask(partitions=20)
    same(lazy.compute(), read)
    kept = lazy.persist()
    distributed.wait(kept)
    first = next(iter(cluster.run(os.getpid).values()))
    os.kill(first, signal.SIGKILL)
    same(kept.compute(), read)
    same(orders.to_dask(partitions=20).compute(), read)


def test_no_credential_is_to_be_seen(cluster, lab, orders, basin):
    token = lab.env()["S2_ACCESS_TOKEN"]
    lazy = orders.to_dask(partitions=3)
    graph = lazy.optimize().__dask_graph__()
    assert token not in repr(graph) + str(dict(graph)) + repr(lazy) + lazy._repr_html_()
    assert token.encode() not in pickle.dumps(dict(graph))
    future = cluster.compute(lazy)
    future.result()
    seen = cluster.run_on_scheduler(
        lambda dask_scheduler: repr(dask_scheduler.tasks) + repr(dask_scheduler.worker_plugins.keys())
    )
    logs = repr(cluster.get_scheduler_logs()) + repr(cluster.get_worker_logs())
    assert token not in seen + logs and token not in repr(future.key)


def test_a_worker_without_the_credential_says_so(orders):
    from kit.engines.dasking import credentials

    lazy = orders.to_dask(partitions=1)
    before, credentials._held = credentials._held, {}
    try:
        with dask.config.set(scheduler="synchronous"), pytest.raises(KitError, match=r"create the distributed\.Client"):
            lazy.compute()
    finally:
        credentials._held = before


def test_frames_go_back_in_order(cluster, stream, orders, lab):
    lazy = orders.to_dask(partitions=5)[["seq_num", "city"]].rename(columns={"seq_num": "n"})
    told = kit.from_frame(lazy).append_to(stream)
    assert told["status"].tolist() == ["written"] * 5 and told["count"].sum() == 5000
    found = stream.read()
    for _, row in told.iterrows():
        part = found[(found["seq_num"] >= row["first"]) & (found["seq_num"] < row["first"] + row["count"])]
        assert part["n"].is_monotonic_increasing and len(part) == row["count"]
    assert sorted(found["n"].tolist()) == list(range(5000))
    told = kit.from_frame(pd.DataFrame({"a": [1, 2]})).append_to(lab.kimberlite["dask-claims"])
    assert told["count"].tolist() == [2]
    with pytest.raises(InputError, match="delivery"):
        kit.from_frame(lazy).append_to(stream, delivery="twice")
    with pytest.raises(InputError, match="frame of Dask"):
        kit.from_frame([1])


def test_at_most_once_never_writes_again_what_a_lost_worker_began(cluster, stream):
    """A worker that dies after its write makes Dask run the task again; the rows are there once all the same."""
    import dask.dataframe as dd

    lazy = dd.from_pandas(pd.DataFrame({"n": range(40)}), npartitions=4)
    told = kit.from_frame(lazy).append_to(stream, delivery="at most once")
    assert told["status"].tolist() == ["written"] * 4
    from kit.engines.dasking.reading import Elsewhere
    from kit.engines.dasking.writing import Writer

    class Dies(Writer):
        def __call__(self, frame, number):
            begun = super().__call__(frame, number)
            if begun[1] == "written":
                os.kill(os.getpid(), signal.SIGKILL)
            return begun

    writer = Dies(Elsewhere(stream.source()), "at most once", {}, uuid.uuid4().hex)
    row = cluster.submit(writer, pd.DataFrame({"n": [40, 41]}), 0, pure=False).result(timeout=60)
    assert row[1] == "unknown" and "not written again" in row[4]
    assert sorted(stream.read()["n"].tolist()) == list(range(42))
