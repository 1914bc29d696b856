"""Partitions of Parquet files: no value is taken for another, none loses its type, and any engine opens the folder."""

import json
import sys
import uuid

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kit
from kit.core.errors import InputError
from kit.engines.parquet import writing
from kit.engines.parquet.manifest import Manifest
from kit.engines.parquet.partitions import folder
from kit.engines.parquet.store import Store

pytestmark = pytest.mark.lab

HIVE = "__HIVE_DEFAULT_PARTITION__"
TEXTS = [
    HIVE,
    None,
    "",
    " ",
    "null",
    "None",
    "a",
    "A",
    "a/b",
    "../../x",
    "..",
    "k=1",
    "%41",
    "é",
    "e\u0301",
    "_x",
    ".x",
]
TEXTS += [
    "x" * 1000,
    "x" * 999 + "y",
    "ü" * 300,
    "nul\0",
    "n\0",
    "line\nend",
    "\\",
    '"',
    "'",
    "*?[a]",
    "part-0.parquet",
]


@pytest.fixture(scope="module")
def basin(lab):
    return lab.s2.create_basin(f"parts-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def stream(basin):
    return basin.create(f"s/{uuid.uuid4().hex}")


def rows_of(found):
    return found.sort_values("seq_num", ignore_index=True)


def plain(values):
    return [None if pd.isna(value) else value for value in values]


def test_hostile_values_are_kept_apart(stream, tmp_path, monkeypatch):
    stream.append([{"k": text, "n": n} for n, text in enumerate(TEXTS * 2)])
    scan = stream.to_parquet(tmp_path / "p", partition_by="k")
    found = rows_of(scan.read())
    assert plain(found["k"]) == TEXTS * 2 and found["n"].tolist() == list(range(2 * len(TEXTS)))
    assert len(scan.manifest.parts) == len(TEXTS) and not (tmp_path / "x").exists()
    assert all(path.is_dir() and path.name.startswith("k=") for path in (tmp_path / "p").iterdir())
    # File systems that know no case, or one form of é, have fewer folders; no file takes the place of another in them.
    assert len({part.name.rpartition("/")[2] for part in scan.manifest.parts}) == len(TEXTS)
    by_value = kit.sql("select k, count(*) as n from scan group by k having k = $1 or k is null", params=[HIVE])
    assert by_value["n"].tolist() == [2, 2]
    assert plain(rows_of(scan.to_dask().compute())["k"]) == TEXTS * 2
    moved = kit.scan((tmp_path / "p").rename(tmp_path / "q"))
    assert plain(rows_of(moved.read())["k"]) == TEXTS * 2


def test_values_keep_their_types(stream, tmp_path):
    rows = [{"i": i, "b": bool(i % 2), "f": i / 3, "n": i, "deep": {"x": i}} for i in (1, 20, 3, -5)]
    rows += [{"i": 2**53 + 1, "b": None, "f": None}, {"i": None, "f": -0.0}]
    stream.append(rows)
    read = stream.read()
    scan = stream.to_parquet(tmp_path / "t", partition_by=["i", "b", "f", "time"])
    found = rows_of(scan.read())
    for name in ("i", "b", "f", "time", "n"):
        assert str(found[name].dtype) == str(read[name].dtype), name
        assert found[name].equals(read[name]), name
    assert str(found["f"][5]) == "-0.0"
    assert kit.sql("select max(i) as m from scan where i < 100")["m"].tolist() == [20]
    frame = scan.to_dask().compute()
    assert str(frame["i"].dtype) == "Int64" and frame["i"].max() == 2**53 + 1
    with pytest.raises(InputError, match="which cannot name a folder"):
        stream.to_parquet(tmp_path / "u", partition_by="deep")


def test_partitions_that_drift_are_shown_with_the_widest_type(stream, tmp_path, monkeypatch):
    monkeypatch.setattr(writing._Partitioned, "most", 50_000)
    stream.append([{"k": n % 2, "fill": "x" * 200} for n in range(2000)])
    stream.append([{"k": 0.5, "fill": ""}])
    stream.append([{"k": 1, "fill": "x" * 200} for n in range(2000)])
    scan = stream.to_parquet(tmp_path / "d", partition_by="k")
    found = rows_of(scan.read())
    assert (
        found["k"].dtype == "float64" and found["k"][[1, 2000, 2001]].tolist() == [1.0, 0.5, 1.0] and len(found) == 4001
    )
    assert kit.sql("select count(*) as n from scan where k = 0.5")["n"].tolist() == [1]


def test_every_engine_opens_the_folder(stream, tmp_path):
    import duckdb

    stream.append([{"k": n % 3, "city": city, "n": n} for n, city in enumerate(["Oslo", "Malmö", None] * 4)])
    for name, keys in (("plain", ()), ("parted", ["k", "city"])):
        where = tmp_path / name
        stream.to_parquet(where, keys)
        assert all(path.suffix == ".parquet" for path in where.rglob("*") if path.is_file())
        text = f"select sum(n), count(city), sum(k) from read_parquet('{where}/**/*.parquet', hive_partitioning=true)"
        assert duckdb.sql(text).fetchall() == [(66, 8, 12)]
        table = pq.read_table(where)
        assert table.num_rows == 12
    polars = pytest.importorskip("polars")
    for name in ("plain", "parted"):
        found = polars.scan_parquet(tmp_path / name).select(polars.col("n").sum(), polars.col("city").count()).collect()
        assert found.rows() == [(66, 8)]


def test_an_empty_source_shows_its_columns_and_is_gone_on_with(stream, tmp_path):
    for name, keys in (("e", ()), ("f", "date")):
        scan = stream.to_parquet(tmp_path / name, keys)
        assert len(scan) == 0 and "no rows of s2" in repr(scan)
        assert scan.read().columns.tolist()[:2] == ["seq_num", "time"]
    stream.append([{"a": 1}])
    for name, keys in (("e", ()), ("f", "date")):
        scan = stream.to_parquet(tmp_path / name, keys)
        assert scan.read()["a"].tolist() == [1] and len(scan.manifest.parts) == 1
        assert len(list((tmp_path / name).rglob("*.parquet"))) == 1


def old(folder_of, source, keys, rows):
    """A folder as earlier versions wrote it."""
    parts = []
    for value, (first, stop) in rows.items():
        name = f"k={value}/" if keys else ""
        name += f"part-{first:020d}.parquet"
        (folder_of / name).parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({"seq_num": pa.array(range(first, stop), pa.uint64()), "n": list(range(first, stop))})
        pq.write_table(table, folder_of / name)
        parts.append({"name": name, "first": first, "stop": stop, "rows": stop - first})
    stop = max(stop for _, stop in rows.values())
    told = {"form": 1, "source": source, "start": 0, "next": stop}
    (folder_of / "_kit_manifest.json").write_text(json.dumps({**told, "partition_by": keys, "parts": parts}))


def test_folders_of_earlier_versions_are_read_and_gone_on_with(basin, stream, tmp_path):
    stream.append([{"k": str(n % 2), "n": n} for n in range(6)])
    for name, keys in (("a", []), ("b", ["k"])):
        where = tmp_path / name
        where.mkdir()
        old(where, f"s2 {basin.name}/{stream.name}", keys, {"%C3%A9": (0, 2), HIVE: (2, 4)})
        before = kit.scan(where)
        assert len(before) == 4 and rows_of(before.read())["n"].tolist() == [0, 1, 2, 3]
        scan = stream.to_parquet(where, keys)
        assert len(scan) == 6 and scan.manifest.next == 6 and scan.manifest.start == 0
        found = rows_of(scan.read())
        assert found["n"].tolist() == list(range(6))
        if keys:
            assert plain(found["k"]) == ["é", "é", None, None, "0", "1"]
        assert stream.to_parquet(where, keys).manifest == scan.manifest


def test_what_is_not_whole_does_not_count_and_what_is_gone_is_told(stream, tmp_path, monkeypatch):
    monkeypatch.setattr(writing._Partitioned, "most", 100_000)
    stream.append([{"k": n % 3, "fill": "x" * 1500} for n in range(6000)])
    where = tmp_path / "w"
    scan = stream.to_parquet(where, "k", limit=6000)
    parts = scan.manifest.parts
    assert len(parts) > 6
    (where / parts[-1].name).unlink()
    short = kit.scan(where)
    assert len(short) < 6000 and short.manifest.next == short.read()["seq_num"].max() + 1
    again = stream.to_parquet(where, "k")
    assert len(again) == 6000 and again.read()["seq_num"].nunique() == 6000
    assert len(list(where.rglob("*.parquet"))) == len(again.manifest.parts)
    (where / parts[3].name).unlink()
    for use in (lambda: kit.scan(where), lambda: stream.to_parquet(where, "k")):
        with pytest.raises(InputError, match=r"records \d+ to \d+ are missing, but later ones exist"):
            use()
    assert len(kit.scan(f"{where}/**/*.parquet").read()) < 6000


def test_files_of_others_are_left_alone(stream, tmp_path):
    stream.append([{"a": 1}])
    inner = stream.to_parquet(tmp_path / "mine" / "inner")
    theirs = tmp_path / "part-00000-5e1f.snappy.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(theirs)
    for where in (tmp_path, tmp_path / "mine"):
        with pytest.raises(InputError, match="contains other files"):
            stream.to_parquet(where)
    assert theirs.exists() and len(inner.read()) == 1
    assert Manifest.read(Store(str(tmp_path / "mine"))) is None


def test_values_of_a_partition_that_were_damaged_are_refused(stream, tmp_path):
    stream.append([{"k": 1, "n": 1}])
    scan = stream.to_parquet(tmp_path / "x", "k")
    path = tmp_path / "x" / scan.manifest.parts[0].name
    table = pq.read_table(path, partitioning=None)
    for wrong in (b"!", b"AAAA", b""):
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"kit.partition": wrong}), path)
        with pytest.raises(InputError, match="values of a partition cannot be read"):
            kit.scan(tmp_path / "x").read()


def test_names_of_columns_that_are_no_names_of_folders(stream, tmp_path):
    names = ["a/b", "..", "_k", "k=v", "x" * 300]
    stream.append([dict.fromkeys(names, 1), dict.fromkeys(names, 2)])
    scan = stream.to_parquet(tmp_path / "n" / "n", partition_by=names)
    assert scan.read()[names].to_numpy().tolist() == [[1] * 5, [2] * 5]
    assert [path.name for path in tmp_path.iterdir()] == ["n"] and len(list((tmp_path / "n").iterdir())) == 1
    assert folder(pa.record_batch({"..": ["."]})) == "%2E.=./"
    assert sys.getfilesystemencoding() == "utf-8"
