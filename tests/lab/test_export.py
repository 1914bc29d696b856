"""Logs as files and files as logs, in bounded memory; frames as Excel takes them."""

import csv
import io
import json
import uuid
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kit.core.errors import InputError
from kit.s2 import Record

pytestmark = pytest.mark.lab


def name():
    return f"export-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def basin(lab):
    return lab.s2.create_basin(name())


BODIES = [
    b'{"a": 1, "b": "x"}',
    b"plain text",
    b'"quoted"',
    b"5",
    b"[1, 2]",
    b'{"a":\n 2}',
    b'{"a": 0.10000000000000000055,\r\n "b": 1.10, "c": 1e400, "a": 2}\r\n',
    '{"å": "\u2028"}'.encode(),
    b"",
    b"null",
    b"{broken",
    b"7\x00",  # JSON in UTF-16
    b"\xef\xbb\xbf{}",
    b"[NaN]",
    b" 5 ",
]


def test_lines_come_back_as_they_were(basin, tmp_path):
    stream, again = basin.create(name()), basin.create(name())
    stream.append(BODIES)
    told = stream.to_jsonl(tmp_path / "x.jsonl")
    lines = (tmp_path / "x.jsonl").read_bytes().split(b"\n")[:-1]
    assert told.records == len(BODIES) == len(lines) and told.bytes == (tmp_path / "x.jsonl").stat().st_size
    assert all(json.loads(line.decode(), parse_constant=pytest.fail) is not None or line == b"null" for line in lines)
    assert again.append(tmp_path / "x.jsonl").records == len(BODIES)
    expected = [body.strip().replace(b"\n", b" ").replace(b"\r", b" ") if b"\n" in body else body for body in BODIES]
    assert again.read(body="bytes")["body"].tolist() == expected
    assert (
        stream.to_jsonl(tmp_path / "part.jsonl", start=1, until=5, where=lambda rows: rows["seq_num"] > 2).records == 2
    )


def test_lines_with_what_stands_beside(basin, tmp_path):
    stream = basin.create(name())
    stream.append([Record(b'{"n": 1}', headers=[(b"k", b"v")]), Record(b"text")])
    stream.to_jsonl(tmp_path / "x.jsonl", places=True)
    first, second = map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines())
    assert (first["seq_num"], first["body"], second["body"]) == (0, {"n": 1}, "text")
    assert pd.Timestamp(first["time"]) == stream.read()["time"][0] and first["headers"] == [
        {"name": "aw==", "value": "dg=="}
    ]


def test_bytes_that_are_no_text_are_refused_and_leave_no_file(basin, tmp_path):
    stream = basin.create(name())
    stream.append([b"fine", b"\xff\x00"])
    with pytest.raises(InputError, match="the record at 1 is bytes that are not text"):
        stream.to_jsonl(tmp_path / "x.jsonl")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="there is no folder"):
        stream.to_jsonl(tmp_path / "no" / "x.jsonl")


def test_csv_has_the_columns_of_read_and_keeps_every_value(basin, tmp_path):
    stream = basin.create(name())
    rows = [
        {
            "n": n,
            "zip": f"{n:04}",
            "price": n / 8,
            "note": ["", None, 'a "b", c', "line\nend"][n % 4],
            "tags": [n],
            "ok": n % 2 == 0,
        }
        for n in range(5000)
    ]
    stream.append(rows)
    told = stream.to_csv(tmp_path / "x.csv")
    frame = stream.read()
    with (tmp_path / "x.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert told.records == len(found) == 5000 and set(frame.columns) <= set(found[0])
    assert [int(row["n"]) for row in found] == frame["n"].tolist() and found[7]["zip"] == "0007"
    assert pd.to_datetime([row["time"] for row in found], utc=True).tolist() == frame["time"].tolist()
    assert [json.loads(row["tags"]) for row in found] == [[n] for n in range(5000)]
    again = basin.create(name())
    stream.to_csv(tmp_path / "y.csv", columns=["n", "zip", "price", "note", "ok"])
    assert again.append(tmp_path / "y.csv").records == 5000
    columns = ["n", "zip", "price", "note", "ok"]
    pd.testing.assert_frame_equal(again.read()[columns], frame[columns])  # "0150" is text, "" is not missing
    assert stream.to_csv(tmp_path / "z.csv", where="n < 3", columns="n").records == 3
    with pytest.raises(InputError, match="has no column 'zap'"):
        stream.to_csv(tmp_path / "z.csv", columns=["zap"])


def test_a_column_of_csv_is_of_one_kind_in_all_parts_of_a_large_file(basin, tmp_path):
    """The kind was that of the last part: it had rounded large numbers of the others, or failed on their words."""
    rows = [{"id": "12345678901234567", "word": "true", "late": "", "small": "5"}] * 20_000
    rows.append({"id": "1.5", "word": "7", "late": "false", "small": "1.5"})
    with (tmp_path / "x.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "word", "late", "small"])
        writer.writeheader()
        writer.writerows(rows)
    stream = basin.create(name())
    assert stream.append(tmp_path / "x.csv").records == 20_001
    frame = stream.read()
    assert frame["id"].tolist() == [row["id"] for row in rows] and frame["word"].tolist() == [
        row["word"] for row in rows
    ]
    assert frame["small"].tolist() == [5.0] * 20_000 + [1.5]
    assert frame["late"].isna().sum() == 20_000 and frame["late"].iloc[-1] is np.False_


def test_names_of_columns_in_csv_may_look_like_values(basin, tmp_path):
    (tmp_path / "x.csv").write_text("007,NA,null,true,1.0\n0012,1.10,0012,0012,\n")
    stream = basin.create(name())
    assert stream.append(tmp_path / "x.csv").records == 1
    found = json.loads(stream.read(body="text")["body"][0])
    assert found == {"007": "0012", "NA": 1.1, "null": "0012", "true": "0012", "1.0": None}


def test_columns_of_a_file_have_the_names_that_stand_in_it(basin, tmp_path):
    names = ["01", "1.0", "true", "2026-01-01", "NA", "two\nlines", 'a "b", c']
    with (tmp_path / "x.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([names, ["0150"] * len(names), ["7"] * len(names)])
    stream = basin.create(name())
    assert stream.append(tmp_path / "x.csv").records == 2
    assert json.loads(stream.read(body="bytes")["body"][0]) == dict.fromkeys(names, "0150")


def test_parquet_and_folders(basin, tmp_path):
    table = pa.table({"n": range(50_000), "t": ["x"] * 50_000})
    pq.write_table(table, tmp_path / "x.parquet")
    stream = basin.create(name())
    assert stream.append(tmp_path / "x.parquet").records == 50_000
    assert stream.read()["n"].tolist() == list(range(50_000))
    stream.to_parquet(tmp_path / "folder")
    again = basin.create(name())
    assert again.append(tmp_path / "folder").records == 50_000


def test_every_service_takes_files(lab, tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'{"n": 1}\n\n"text"\n')
    lab.kimberlite.create(mark := name())
    lab.synap.client.stream.create(mark)
    for log, column in ((lab.kimberlite[mark], "body"), (lab.synap[mark], "data")):
        assert log.append(tmp_path / "x.jsonl").records == 2
        found = log.read(body="json")
        assert found["n"][0] == 1 and log.read(body="text")[column].tolist()[1] == "text"


def test_what_is_wrong_with_a_file_is_told(basin, tmp_path):
    stream = basin.create(name())
    for file, content, words in (
        ("a.jsonl", '{"n": 1}\n{broken\n', "a.jsonl, line 2 is not JSON"),
        ("a.txt", "x", r"this type of file is not known"),
        ("a.csv", "a,b\n1,2,3\n", "cannot be read as CSV"),
    ):
        (tmp_path / file).write_text(content)
        with pytest.raises(InputError, match=words):
            stream.append(tmp_path / file)
    with pytest.raises(InputError, match="there is no file"):
        stream.append(tmp_path / "none.csv")
    with pytest.raises(InputError, match="match_seq_num= is for a single append"):
        stream.append(tmp_path / "a.jsonl", match_seq_num=0)
    (tmp_path / "b.jsonl").write_text("\n".join(["1"] * 20_001) + "\nbroken")
    with pytest.raises(InputError, match="20,000 records before it were appended") as caught:
        stream.append(Path(tmp_path / "b.jsonl"))
    assert caught.value.appended == len(stream.read(body="bytes")) == 20_000


def test_frames_for_excel(basin):
    stream = basin.create(name())
    stream.append(
        [{"id": 2**60, "small": 3, "x": 1.5, "tags": ["ø"], "t": "a\x00b", "long": "x" * 40_000}, {"id": 1, "x": None}]
    )
    frame = stream.read().kit.excel()
    assert frame["time"].dt.tz is None and frame["id"].tolist() == [str(2**60), "1"] and frame["x"].dtype == float
    assert frame["tags"].tolist() == ['["ø"]', None] and frame["t"][0] == "a\\x00b" and frame.attrs["cut"] == 1
    out = io.BytesIO()
    frame.to_excel(out, index=False)
    assert openpyxl.load_workbook(out).active["A2"].value == 0
