"""Streams in Parquet files: the same rows, whatever ends the writing, and whatever the records hold."""

import json
import os
import random
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import kit
from kit.core.errors import InputError, KitError
from kit.engines.parquet import writing

pytestmark = pytest.mark.lab

KILLS = int(os.environ.get("KIT_KILLS", "4"))
CHILD = Path(__file__).with_name("parquetchild.py")


@pytest.fixture(scope="module")
def basin(lab):
    return lab.s2.create_basin(f"parquet-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def stream(basin):
    return basin.create(f"s/{uuid.uuid4().hex}")


@pytest.fixture
def orders(lab):
    return lab.s2["demo-shop"]["orders"]


def small(monkeypatch, size=100_000):
    monkeypatch.setattr(writing._Files, "most", size)
    monkeypatch.setattr(writing._Partitioned, "most", size)
    monkeypatch.setattr(writing, "GROUP_BYTES", size // 4)


def same(found, read):
    pd.testing.assert_frame_equal(found[list(read.columns)], read, check_frame_type=False)


def test_files_hold_what_read_gives_and_go_on(orders, tmp_path, monkeypatch):
    small(monkeypatch)
    read = orders.read()
    read.attrs = {}
    scan = orders.to_parquet(tmp_path / "o", limit=1234)
    assert len(scan) == 1234 and "from 0 to 1233" in repr(scan)
    scan = orders.to_parquet(tmp_path / "o")
    assert len(scan) == 5000 and len(scan.manifest.parts) == 2
    found = scan.read()
    found.attrs = {}
    same(found, read)
    # Anything that reads Parquet reads it, and a file says by itself what it is.
    assert ds.dataset(tmp_path / "o").count_rows() == 5000
    first = pq.read_metadata(tmp_path / "o" / scan.manifest.parts[0].name).metadata
    told = json.loads(first[b"kit"])
    assert told["first"] == 0 and told["stop"] == scan.manifest.parts[0].stop and told["source"].endswith("orders")
    again = orders.to_parquet(tmp_path / "o")
    assert again.manifest == scan.manifest
    assert kit.sql("select count(*) as n from t where seq_num >= 4000", t=scan)["n"].tolist() == [1000]
    assert scan.read(columns=["city"], limit=7).shape == (7, 1)
    assert pa.RecordBatchReader.from_stream(scan).read_all().num_rows == 5000


def test_partitions(orders, tmp_path, monkeypatch):
    small(monkeypatch)
    scan = orders.to_parquet(str(tmp_path / "p"), partition_by=["city", "date"])
    read = orders.read()
    assert (tmp_path / "p" / "city=Malm%C3%B6").is_dir()
    found = scan.read().sort_values("seq_num", ignore_index=True)
    assert found["city"].tolist() == read["city"].tolist()
    assert found["date"].tolist() == read["time"].dt.strftime("%Y-%m-%d").tolist()
    by_city = kit.sql("select city, count(*) as n from scan group by 1 order by 1")
    assert by_city["n"].tolist() == read.groupby("city").size().tolist()
    with pytest.raises(InputError, match="different values"):
        orders.to_parquet(tmp_path / "q", partition_by="seq_num")
    with pytest.raises(InputError, match="no such column"):
        orders.to_parquet(tmp_path / "r", partition_by="nope")


def test_other_services_and_other_places(lab, tmp_path):
    lab.kimberlite.append("parquet-claims", [{"id": n} for n in range(3000)])
    scan = lab.kimberlite["parquet-claims"].to_parquet(tmp_path / "k")
    assert scan.read()["id"].tolist() == list(range(3000))
    lab.synap.client.stream.create("parquet-room")
    lab.synap.publish("parquet-room", [{"n": n} for n in range(100)], "room")
    where = f"memory://{uuid.uuid4().hex}/room"
    scan = lab.synap["parquet-room"].to_parquet(where)
    assert scan.read()["n"].tolist() == list(range(100))
    assert kit.sql("select sum(n) as n from t", t=kit.scan(where))["n"].tolist() == [4950]


def test_drift_widens_the_next_file_and_loses_nothing(stream, tmp_path, monkeypatch):
    small(monkeypatch, 50_000)
    stream.append([{"a": n} for n in range(4000)])
    stream.append([{"a": 0.5, "new": [1]}, b"\xff", {"a": "text"}])
    stream.append([{"a": n} for n in range(4000)])
    scan = stream.to_parquet(tmp_path / "d")
    found = scan.read().sort_values("seq_num", ignore_index=True)
    assert len(found) == 8003 and found["seq_num"].is_unique
    assert found["a"][[0, 3999, 4000, 4002, 8002]].tolist() == ["0", "3999", "0.5", "text", "3999"]
    assert found["body"][4001] == b"\xff" and found["body"].notna().sum() == 1
    assert found["new"][4000].tolist() == [1] if hasattr(found["new"][4000], "tolist") else found["new"][4000] == [1]
    assert kit.sql("select count(*) as n, count(new) as m from scan where a = '0.5'").iloc[0].tolist() == [1, 1]


def test_a_kill_at_any_moment_ends_in_exactly_the_rows(lab, basin, tmp_path):
    stream = basin.create(f"k/{uuid.uuid4().hex}")
    stream.append([{"n": n, "fill": "x" * 150} for n in range(40_000)])
    path = tmp_path / "k"
    order = [sys.executable, str(CHILD), basin.name, stream.name, str(path)]
    env = {**os.environ, **lab.env(), "PYTHONPATH": str(CHILD.parents[2])}
    chance = random.Random(8)
    killed = 0
    while killed < KILLS:
        child = subprocess.Popen(order, env=env, stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0, 1.2))  # any moment will do
        child.kill()
        rest = child.communicate()[0]
        killed += 1
        if "done" in rest:
            stream.append([{"n": 40_000 + len(stream.tail(1)), "fill": "y"}])
    last = subprocess.run(order, env=env, check=True, capture_output=True, text=True, timeout=60)
    assert "done" in last.stdout
    scan = kit.scan(path)
    read = stream.read()
    found = scan.read().sort_values("seq_num", ignore_index=True)
    assert found["seq_num"].tolist() == read["seq_num"].tolist()
    assert found["n"].tolist() == read["n"].tolist() and found["fill"].tolist() == read["fill"].tolist()
    left = [name for name in os.listdir(path) if name.startswith(".")]
    assert left == [] and len(list(path.glob("*.parquet"))) == len(scan.manifest.parts)


def test_a_full_disk_keeps_what_is_finished(lab, basin, tmp_path):
    stream = basin.create(f"f/{uuid.uuid4().hex}")
    stream.append([{"n": n, "fill": random.Random(n).randbytes(300).hex()} for n in range(3000)])
    path = tmp_path / "f"
    code = (
        "import sys, resource, kit\nfrom kit.engines.parquet import writing\n"
        "writing.GROUP_BYTES, writing._Files.most = 100_000, int(sys.argv[4])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))\n"
        "kit.connect('s2')[sys.argv[1]][sys.argv[2]].to_parquet(sys.argv[3], limit=int(sys.argv[5]))"
    )
    env = {**os.environ, **lab.env(), "PYTHONPATH": str(CHILD.parents[2])}

    def run(size, limit):
        order = [sys.executable, "-c", code, basin.name, stream.name, str(path), str(size), str(limit)]
        return subprocess.run(order, env=env, capture_output=True, text=True, timeout=60)

    assert run(300_000, 1000).returncode == 0
    kept = len(kit.scan(path))
    failed = run(100_000_000, 3000)
    assert failed.returncode and "could not be written: File too large" in failed.stderr
    assert "finished files are kept" in failed.stderr
    assert len(kit.scan(path)) == kept == 1000
    assert stream.to_parquet(path).read()["n"].tolist() == list(range(3000))


def test_what_was_read_before_a_failure_is_kept(basin, tmp_path, monkeypatch):
    stream = basin.create("gone-midway")
    stream.append([b"z" * 50_000 for _ in range(600)])
    taken = writing._Files.add

    def add(files, piece, decoded):
        taken(files, piece, decoded)
        if piece.stop > 0:
            basin.delete("gone-midway")
            monkeypatch.setattr(writing._Files, "add", taken)

    monkeypatch.setattr(writing._Files, "add", add)
    with pytest.raises(KitError, match="to 599 of s2"):
        stream.to_parquet(tmp_path / "g")
    scan = kit.scan(tmp_path / "g")
    assert 0 < len(scan) < 600 and scan.manifest.next == len(scan)


def test_a_folder_of_something_else_is_refused(orders, stream, tmp_path):
    stream.append([{"a": 1}])
    orders.to_parquet(tmp_path / "o", limit=10)
    with pytest.raises(InputError, match="holds s2 demo-shop/orders, not"):
        stream.to_parquet(tmp_path / "o")
    with pytest.raises(InputError, match="10 rows already"):
        orders.to_parquet(tmp_path / "o", resume=False)
    with pytest.raises(InputError, match="partitioned by nothing"):
        orders.to_parquet(tmp_path / "o", partition_by="city")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "mine.parquet")
    with pytest.raises(InputError, match="other files"):
        orders.to_parquet(tmp_path)
    assert kit.scan(tmp_path / "mine.parquet").read()["a"].tolist() == [1]
    assert kit.scan(str(tmp_path / "*.parquet")).read()["a"].tolist() == [1]
    with pytest.raises(InputError, match="no Parquet files"):
        kit.scan(tmp_path / "nothing").read()
    (tmp_path / "o" / "_kit_manifest.json").write_text('{"form": 1, "parts": [{"name": "../x"}]}')
    with pytest.raises(InputError, match="not a manifest"):
        kit.scan(tmp_path / "o")
