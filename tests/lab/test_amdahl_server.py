"""The embedded Amdahl Platform API, over real sockets."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import json
import os
import queue
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

import kit
from tests.pace import slowness

pytestmark = pytest.mark.lab
BASE = "/api/platform/v1"
SECONDS = 4
"""For how long a query may run: more than one that is no trouble takes on a slow machine."""
GOLDEN = "6681bb4033bc5a07b68323e0a83c99f3"
COLUMNS = [
    ("id", "STRING"),
    ("occurred_at", "TIMESTAMP"),
    ("channel", "STRING"),
    ("kind", "STRING"),
    ("account_id", "STRING"),
    ("account", "STRING"),
    ("person", "STRING"),
    ("sentiment", "FLOAT64"),
    ("amount", "FLOAT64"),
    ("currency", "STRING"),
    ("duration_s", "INT64"),
    ("resolved", "BOOL"),
    ("tags", "ARRAY"),
    ("text", "STRING"),
]


class Api:
    """A bare client: what it sends and gets is what is on the wire."""

    def __init__(self, lab: kit.Lab) -> None:
        self.lab = lab
        self.root = lab.env()["AMDAHL_URL"]
        self.key = lab.env()["API_KEY"]
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {self.key}"

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        return self.session.request(method, f"{self.root}{BASE}{path}", json=body, timeout=30, **more)

    def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        response = self(method, path, body, **more)
        assert response.ok, (response.status_code, response.text[:500])
        return response.json() if response.content else None

    def refused(self, status: int, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        response = self(method, path, body, **more)
        assert response.status_code == status, (response.status_code, response.text[:500])
        assert self.key not in response.text
        return response.json()["error"]

    def sql(self, sql: str, limit: int | None = None) -> Any:
        return self.ok("POST", "/data/query", {"sql": sql} if limit is None else {"sql": sql, "limit": limit})

    def run(self, profile: str = "researcher", task: str = "look", wait: bool = False, **params: Any) -> Any:
        body = {"profile_id": profile, "task": task, "input_params": params, "async": not wait}
        return self.ok("POST", "/agents/run", body)

    def until(self, session_id: str, *statuses: str) -> Any:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            found = self.ok("GET", f"/agents/{session_id}/status")
            if found["status"] in statuses:
                return found
            time.sleep(0.02)
        raise AssertionError(found)

    def events(self, session_id: str, after: int | None = None) -> list[dict[str, Any]]:
        """A stream read to its end."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        with self("GET", f"/agents/{session_id}/stream", headers=headers, stream=True) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            return list(frames(response))

    def close(self) -> None:
        self.session.close()


def frames(response: requests.Response) -> Iterator[dict[str, Any]]:
    fields: dict[str, str] = {}
    for line in response.iter_lines(chunk_size=1):
        if line:
            name, _, value = line.decode().partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            event = json.loads(fields["data"])
            assert event["type"] == fields["event"]
            yield {"id": int(fields["id"]), **event}
            fields = {}


@contextlib.contextmanager
def started(**arguments: Any) -> Iterator[Api]:
    knobs = arguments.pop("knobs", {})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in knobs.items():
            patch.setenv(f"KIT_AMDAHL_{name.upper()}", str(value))
        lab = kit.Lab("amdahl", join=False, **arguments)
    api = Api(lab)
    try:
        yield api
    finally:
        api.close()
        lab.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("amdahl")


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[Api]:
    knobs = {"query_seconds": SECONDS, "ping_seconds": 0.2, "retry_seconds": 0.05}
    with started(path=folder, knobs=knobs) as api:
        yield api


class Receiver:
    """A webhook receiver that answers as told, and keeps what it got."""

    def __init__(self, answer: Callable[[int], int] = lambda n: 202, port: int = 0) -> None:
        self.got: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self.seen = itertools.count(1)
        self.hold = threading.Event()
        self.hold.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.got.put(({name.lower(): value for name, value in self.headers.items()}, body))
                outer.hold.wait(20)
                status = answer(next(outer.seen))
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    if status in (301, 302, 307, 308):
                        self.send_header("location", f"{outer.url}/elsewhere")
                    self.send_header("content-length", "0")
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def events(self, count: int, within: float = 10) -> list[dict[str, Any]]:
        return [json.loads(self.got.get(timeout=within)[1]) for _ in range(count)]

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def hook(api: Api, url: str, *events: str, **more: Any) -> Any:
    return api.ok("POST", "/webhooks", {"url": url, "events": list(events), **more})


def eventually(check: Callable[[], Any], within: float = 10) -> Any:
    deadline = time.monotonic() + within
    while not (found := check()):
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.02)
    return found


# --- the gate


def test_health_needs_no_key(api: Api) -> None:
    response = requests.get(f"{api.root}/health", timeout=5)
    assert response.status_code == 200 and response.json() == {"ok": True}


@pytest.mark.parametrize(
    "given", [None, "Bearer wrong", "Bearer", "Basic {key}", "Bearer {key}x", "{key}", "Bearer {half}"]
)
def test_a_request_without_the_key_is_refused(api: Api, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given.format(key=api.key, half=api.key[:20])}
    response = requests.get(f"{api.root}{BASE}/me", headers=headers, timeout=5)
    assert response.status_code == 401
    assert set(response.json()) == {"error"} and response.json()["error"]["code"] == "unauthorized"
    assert api.key[6:14] not in response.text
    assert "x-ratelimit-remaining" in response.headers


def test_me(api: Api) -> None:
    me, context = api.ok("GET", "/me"), api.ok("GET", "/me/context")
    assert set(me) == {"business_id", "scopes", "expires_at"}
    assert context["auth_method"] == "api_key" and context["business_id"] == me["business_id"] and context["user_id"]
    assert "data:read" in context["scopes"] and set(context["workspace"]) == {"id", "name", "slug"}
    assert api.key.startswith("amdhl_")


def test_unknown_routes_and_methods_answer_in_json(api: Api) -> None:
    for path in ("/nope", "/pages/", "", "/", "/pages/x/y", "/%00"):
        assert api.refused(404, "GET", path)["code"] == "not_found", path
    error = api.refused(405, "PUT", "/pages")
    assert "GET" in error["message"] or "POST" in error["message"]
    assert api("DELETE", "/data/query").status_code == 405


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[1]",
        b'"x"',
        b"nul",
        b"\xff\xfe",
        b'{"sql": NaN}',
        b'{"sql": "select 1", "more": -1e999}',
        b"[" * 100_000,
        b'{"sql": "\\ud800"}',
        b'{"sql": "select 1"',
        b"7",
    ],
)
def test_a_malformed_body_is_an_invalid_argument(api: Api, raw: bytes) -> None:
    response = api.session.post(f"{api.root}{BASE}/data/query", data=raw, timeout=5)
    assert response.status_code == 400 and response.json()["error"]["code"] == "invalid_argument"


def test_a_huge_body_is_refused(api: Api) -> None:
    assert api.refused(413, "POST", "/data/query", {"sql": "x" * 5_000_000})["message"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/data/query", {}, "sql"),
        ("/data/query", {"sql": 1}, "sql"),
        ("/data/query", {"sql": "  "}, "sql"),
        ("/data/query", {"sql": "select '\0'"}, "sql"),
        ("/data/query", {"sql": "select 1", "limit": "5"}, "limit"),
        ("/data/query", {"sql": "select 1", "limit": 0}, "limit"),
        ("/data/query", {"sql": "select 1", "limit": -1}, "limit"),
        ("/data/query", {"sql": "select 1", "limit": 1.5}, "limit"),
        ("/data/query", {"sql": "select 1", "limit": True}, "limit"),
        ("/data/explore", {"scope": "everything"}, "scope"),
        ("/data/explore", {"include_samples": "yes"}, "include_samples"),
        ("/agents/run", {"profile_id": "content_writer", "task": ""}, "task"),
        ("/agents/run", {"profile_id": "content_writer"}, "task"),
        ("/agents/run", {"profile_id": "poet", "task": "x"}, "profile_id"),
        ("/agents/run", {"profile_id": "copilot", "task": "x", "input_params": []}, "input_params"),
        ("/agents/run", {"profile_id": "copilot", "task": "x", "async": "true"}, "async"),
        ("/agents/run", {"profile_id": "copilot", "task": "x", "input_params": {"steps": 0}}, "steps"),
        ("/agents/run", {"profile_id": "copilot", "task": "x", "input_params": {"seconds": "1"}}, "seconds"),
        ("/pages", {"spec": {"type": "Divider"}}, "name"),
        ("/pages", {"name": "x"}, "spec"),
        ("/pages", {"name": "x" * 201, "spec": {"type": "Divider"}}, "name"),
        ("/pages", {"name": "x", "tags": [1], "spec": {"type": "Divider"}}, "tags"),
        ("/webhooks", {"url": "http://127.0.0.1:1/"}, "events"),
        ("/webhooks", {"url": "http://127.0.0.1:1/", "events": []}, "events"),
        ("/webhooks", {"url": "http://127.0.0.1:1/", "events": ["artifact.deleted"]}, "events"),
        ("/webhooks", {"events": ["session.completed"]}, "url"),
        ("/webhooks", {"url": "ftp://127.0.0.1/", "events": ["session.completed"]}, "url"),
        ("/webhooks", {"url": "http://127.0.0.1:99999/", "events": ["session.completed"]}, "url"),
        ("/webhooks", {"url": "http://127.0.0.1:1/\x01", "events": ["session.completed"]}, "url"),
        ("/webhooks", {"url": "http://127.0.0.1:1/a b", "events": ["session.completed"]}, "url"),
        ("/webhooks", {"url": "http://example.com/hook", "events": ["session.completed"]}, "url"),
        ("/webhooks", {"url": "http://127.0.0.1.example.com/", "events": ["session.completed"]}, "url"),
        ("/webhooks", {"url": "http://169.254.169.254/", "events": ["session.completed"]}, "url"),
        ("/webhooks", {"url": "http://127.0.0.1@example.com/", "events": ["session.completed"]}, "url"),
    ],
)
def test_a_wrong_field_is_named(api: Api, path: str, body: Any, field: str) -> None:
    error = api.refused(400, "POST", path, body)
    assert error["code"] == "invalid_argument" and error["details"]["field"] == field


def test_the_version_header_is_a_date_and_comes_back(api: Api) -> None:
    response = api("GET", "/me", headers={"X-Amdahl-API-Version": "2026-01-31"})
    assert response.ok and response.headers["x-amdahl-api-version"] == "2026-01-31"
    for bad in ("latest", "2026-13-01", "2026-1-1", "20260131", ""):
        assert api.refused(400, "GET", "/me", headers={"X-Amdahl-API-Version": bad})["code"] == "invalid_argument"
    assert "x-amdahl-api-version" not in api("GET", "/me").headers


def test_a_foreign_page_cannot_call(api: Api) -> None:
    assert api("GET", "/me", headers={"Origin": "https://example.com"}).status_code == 403
    assert api("GET", "/me", headers={"Host": "example.com"}).status_code == 403


def test_the_rate_limit_is_real() -> None:
    with started(knobs={"rate_limit": 5}, demo=False) as api:
        left = [int(api("GET", "/me").headers["x-ratelimit-remaining"]) for _ in range(5)]
        assert left == [4, 3, 2, 1, 0]
        response = api("GET", "/me")
        assert response.status_code == 429
        body = response.json()
        assert body["error"]["code"] == "rate_limited"
        assert body["retry_after"] == int(response.headers["retry-after"]) and 0 < body["retry_after"] <= 60
        assert 0 < int(response.headers["x-ratelimit-reset"]) - time.time() < 65
        assert requests.get(f"{api.root}/health", timeout=5).ok


def test_injected_faults_speak_the_service_language(api: Api) -> None:
    api.lab.faults("amdahl", 503, path=f"{BASE}/me")
    assert api.refused(503, "GET", "/me")["code"] == "unavailable"
    api.lab.faults("amdahl", 429, path=f"{BASE}/me", retry_after=3)
    response = api("GET", "/me")
    assert response.json()["error"]["code"] == "rate_limited" and response.headers["retry-after"] == "3"
    api.ok("GET", "/me")


# --- queries


def test_the_answer_to_a_query(api: Api) -> None:
    sql = "SELECT channel, COUNT(*) AS events FROM interactions GROUP BY channel ORDER BY events DESC LIMIT 5;"
    response = api("POST", "/data/query", {"sql": sql})
    assert response.text.startswith('{"rows":[{"channel":"email","events":17106},{"channel":"chat",')
    assert int(response.headers["content-length"]) == len(response.content)
    body = response.json()
    assert list(body) == ["rows", "rowCount", "truncated", "columns"]
    assert body["rowCount"] == 5 == len(body["rows"]) and body["truncated"] is False
    assert body["columns"] == [{"name": "channel", "type": "STRING"}, {"name": "events", "type": "INT64"}]


def test_the_table_is_the_same_everywhere(api: Api) -> None:
    sql = """
        select count(*) as n, md5(string_agg(concat_ws('|', id, epoch_us(occurred_at), channel, kind, account_id, account,
            person, round(sentiment*1000)::int, round(amount*100)::bigint, currency, duration_s, resolved, tags::varchar, text),
            chr(10) order by id)) as hash
        from interactions
    """
    assert api.sql(sql)["rows"] == [{"n": 50_000, "hash": GOLDEN}]


def test_the_table_has_something_to_find(api: Api) -> None:
    found = api.sql(
        "select strftime(date_trunc('week', occurred_at), '%Y-%m-%d') as week, count(*) as n from interactions"
        " where kind = 'complaint' and channel = 'chat' group by 1 order by 2 desc limit 2"
    )["rows"]
    assert found[0]["week"] == "2026-04-13" and found[0]["n"] > 8 * found[1]["n"]
    mood = {
        row["kind"]: row["m"]
        for row in api.sql("select kind, avg(sentiment) as m from interactions group by 1")["rows"]
    }
    assert mood["complaint"] < -0.4 < 0.6 < mood["praise"]


def test_columns_of_the_table(api: Api) -> None:
    body = api.sql("select * from interactions order by id limit 3")
    assert [(column["name"], column["type"]) for column in body["columns"]] == COLUMNS
    first = body["rows"][0]
    assert list(first) == [name for name, _ in COLUMNS]
    assert re.fullmatch(r"2026-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first["occurred_at"]) and isinstance(
        first["tags"], list
    )
    empty = api.sql("select * from interactions where false")
    assert empty["rows"] == [] and [(c["name"], c["type"]) for c in empty["columns"]] == COLUMNS


def test_without_demo_data_the_table_is_empty_and_the_same() -> None:
    with started(demo=False) as api:
        body = api.sql("select * from interactions")
        assert body["rows"] == [] and [(c["name"], c["type"]) for c in body["columns"]] == COLUMNS
        assert api.ok("GET", "/pages")["total"] == 0 == api.ok("GET", "/agents")["total"]
        assert api.run(wait=True, seconds=0)["status"] == "complete"
        explored = api.ok("POST", "/data/explore", {})
        assert explored["schema"]["row_count"] == 0 and explored["clusters"] == []


def test_limits_cut_and_say_so(api: Api) -> None:
    body = api.sql("select id from interactions order by id")
    assert (len(body["rows"]), body["rowCount"], body["truncated"]) == (1000, 1000, True)
    body = api.sql("select id from interactions order by id desc", 3)
    assert [row["id"] for row in body["rows"]] == ["int_050000", "int_049999", "int_049998"] and body["truncated"]
    body = api.sql("select id from interactions", 50_000)
    assert body["rowCount"] == 50_000 and body["truncated"] is False
    assert api.sql("select 1 as x", 10**12)["rows"] == [{"x": 1}]


def test_each_type_travels_as_documented(api: Api) -> None:
    columns = {
        "i": ("7", "INT64", 7),
        "b": ("9007199254740993", "INT64", "9007199254740993"),
        "least": ("(-9223372036854775808)::bigint", "INT64", "-9223372036854775808"),
        "edge": ("9007199254740992", "INT64", 9007199254740992),
        "h": ("170141183460469231731687303715884105727::hugeint", "NUMERIC", "170141183460469231731687303715884105727"),
        "s": ("(select sum(range) from range(3))", "INT64", 3),
        "d": ("12.50::decimal(9,2)", "NUMERIC", "12.50"),
        "f": ("0.1::double", "FLOAT64", 0.1),
        "nan": ("'nan'::double", "FLOAT64", None),
        "inf": ("'-inf'::float", "FLOAT64", None),
        "t": ("true", "BOOL", True),
        "ts": ("timestamp '2026-01-31 09:30:00.25'", "TIMESTAMP", "2026-01-31T09:30:00.250000Z"),
        "tz": ("timestamptz '2026-01-31 09:30:00+02'", "TIMESTAMP", "2026-01-31T07:30:00.000000Z"),
        "day": ("date '2026-01-31'", "DATE", "2026-01-31"),
        "blob": ("'ab'::blob", "BYTES", "YWI="),
        "json": ("'{\"a\": [1]}'::json", "JSON", '{"a": [1]}'),
        "list": ("[1.5, 'nan'::double, null]", "ARRAY", [1.5, None, None]),
        "rec": (
            "{'a': 1.5::decimal(3,1), 'b': {'c': [date '2026-01-31']}}",
            "RECORD",
            {"a": "1.5", "b": {"c": ["2026-01-31"]}},
        ),
        "map": ("map{'k': 1}", "JSON", {"k": 1}),
        "null": ("null::varchar", "STRING", None),
        "q\"u'o": ("'\"\\ é 😀 ' || chr(10) || chr(8232)", "STRING", '"\\ é 😀 \n\u2028'),
    }
    sql = ", ".join(
        f'{expression} as "{name.replace(chr(34), chr(34) * 2)}"' for name, (expression, _, _) in columns.items()
    )
    body = api.sql(f"select {sql}")
    assert {c["name"]: c["type"] for c in body["columns"]} == {name: kind for name, (_, kind, _) in columns.items()}
    assert body["rows"] == [{name: value for name, (_, _, value) in columns.items()}]


def test_every_type_of_the_engine_is_valid_json(api: Api) -> None:
    def no_constant(name: str) -> None:
        raise AssertionError(name)

    response = api("POST", "/data/query", {"sql": "select * from test_all_types()"})
    body = json.loads(response.content, parse_constant=no_constant)
    assert response.ok and body["rowCount"] == 3 and len(body["columns"]) > 40


def test_large_integers_make_strings_of_the_whole_column(api: Api) -> None:
    body = api.sql("select i, i * 1000000 as big from range(0, 20000000000, 1000000000) t(i)", 100)
    assert all(isinstance(row["i"], int) and isinstance(row["big"], str) for row in body["rows"])
    assert body["rowCount"] == 20 and body["rows"][1] == {"i": 10**9, "big": str(10**15)}


def test_columns_of_the_same_name_are_told_apart(api: Api) -> None:
    body = api.sql('select 1 as a, 2 as a, 3 as a_1, 4 as "A"')
    assert [c["name"] for c in body["columns"]] == list(body["rows"][0]) and len(body["rows"][0]) == 4
    assert list(body["rows"][0].values()) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "sql",
    [
        "with x as (select 1 as a) select a from x",
        "select 1 as a; -- done",
        "select 1 as a /* ; */ ;",
        "from (select 1 as a)",
        "values (1)",
        "select ';' as a, 1 -- ;",
        "; select 1 as a",
        "/* a */ ;; select 'é;' as a ;; -- ü",
        "select 1 as a /* /* ; */ ; */",
        "with a as (select 1 as n), b as (select * from a) select * from b, a",
        "with recursive t as (select 1 as n union all select n + 1 from t where n < 3) select max(n) as n from t",
        "select count(*) as n from main.interactions",
        "show tables",
        "select count(*) as n from information_schema.tables",
        "select count(*) as n from (describe interactions)",
        "select count(*) as n from interactions a join lateral (select a.id) b on true",
        "select " + " + ".join(["n"] * 300) + " as a from range(1) t(n)",
    ],
)
def test_one_select_in_all_its_forms(api: Api, sql: str) -> None:
    assert api.sql(sql)["rowCount"] == 1


FORBIDDEN = [
    "copy interactions to '{out}/stolen.csv'",
    "copy (select 1) to '{out}/stolen.csv'",
    "attach '{out}/other.db'",
    "attach '/etc/passwd' as p",
    "detach memory",
    "select * from read_csv('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from read_blob('/proc/self/environ')",
    "select * from read_json('/etc/passwd')",
    "select * from read_parquet('/etc/passwd')",
    "select * from glob('/etc/*')",
    "select * from glob('*')",
    "select * from sniff_csv('/etc/passwd')",
    "select * from 'file.csv'",
    "select * from '/etc/passwd'",
    "select * from 'https://example.com/a.parquet'",
    "select * from read_csv('http://127.0.0.1:1/a.csv')",
    "select * from read_parquet('s3://bucket/a.parquet')",
    "install httpfs",
    "load httpfs",
    "force install httpfs",
    "select 1; select 2",
    "select 1; drop table interactions",
    "select 1) as q; drop table interactions; select (1",
    "pragma database_list",
    "set threads = 1",
    "set enable_external_access = true",
    "reset lock_configuration",
    "set global memory_limit = '100GB'",
    "create table t (i int)",
    "create temp table t (i int)",
    "create table t as select 1",
    "create view v as select 1",
    "create macro f() as 1",
    "create secret s (type s3)",
    "insert into interactions (id) values ('x')",
    "update interactions set id = 'x'",
    "delete from interactions",
    "truncate interactions",
    "alter table interactions add column x int",
    "drop table interactions",
    "call pragma_version()",
    "export database '{out}/all'",
    "import database '{out}/all'",
    "checkpoint",
    "vacuum",
    "begin",
    "use memory",
    "prepare p as select 1",
    "execute p",
    "explain select 1",
    "explain analyze select 1",
    "select getenv('HOME')",
    "select * from query('drop table interactions')",
    "select * from enable_logging(storage='file', storage_path='{out}/log')",
    "select * from enable_profiling(save_location='{out}/profile.json')",
    "select * from pandas_scan(1)",
    "select * from arrow_scan(1, 2, 3)",
    "select * from connection",
    "select * from sys",
    "with x as (copy interactions to '{out}/stolen.csv') select 1",
    "with x as (copy (select 1) to '{out}/stolen.csv') select * from x",
    "with x as (insert into interactions (id) values ('x') returning id) select * from x",
    "with x as (update interactions set id = 'x' returning id) select * from x",
    "with x as (delete from interactions returning id) select * from x",
    "select (with x as (delete from interactions returning id) select count(*) from x) as n",
    "select octet_length(content) as n from read_blob('{file}')",
    "select * from read_text('{file}')",
    "select * from read_duckdb('{file}')",
    "select * from query('select * from read_blob(''{file}'')')",
    "select * from query_table('{file}')",
    "select * from '{file}'",
    "describe '{file}'",
    "select (select count(*) from read_blob('{file}')) as n",
    'with "{file}" as (select * from \'{file}\') select * from "{file}"',
    "select 1 as n limit (select count(*) from read_blob('{file}'))",
    "select * from parquet_metadata('{file}')",
    "select * from duckdb_databases()",
    "select * from pragma_database_list",
    "with pragma_database_list as (select * from pragma_database_list) select * from pragma_database_list",
    "select * from pragma_database_list, (with pragma_database_list as (select 1) select 1)",
    "select * from duckdb_settings()",
    "select * from duckdb_variables()",
    "select current_setting('allowed_paths')",
    "select main.current_setting('allowed_paths')",
    "select json_serialize_plan('select * from read_blob(''{file}'')')",
    "select ?",
    "select $x",
    "",
    "-- nothing",
    ";",
    "selec 1",
    "select nope from interactions",
    "select 1/*",
]


def test_nothing_but_reading_the_table(api: Api, folder: Path, tmp_path: Path) -> None:
    count = "select count(*) as n, md5(string_agg(id || text, '' order by id)) as h from interactions"
    before, files = api.sql(count)["rows"], sorted(os.listdir(folder))
    here = sorted(os.listdir("."))
    [file] = folder.rglob("interactions-*.duckdb")
    for sql in FORBIDDEN:
        error = api.refused(400, "POST", "/data/query", {"sql": sql.format(out=tmp_path, file=file)})
        assert error["code"] == "invalid_argument" and error["message"], sql
        # What the query itself holds may be quoted, other paths not.
        told = (
            error["message"].replace(str(file), "") if str(file) in sql.format(out="", file=file) else error["message"]
        )
        assert "root:" not in told and str(tmp_path) not in told and str(folder) not in told, sql
    assert api.sql(count)["rows"] == before
    assert sorted(os.listdir(folder)) == files and os.listdir(tmp_path) == [] and sorted(os.listdir(".")) == here


def test_the_refusal_says_what_was_found(api: Api) -> None:
    for sql, word in (
        ("drop table interactions", "DROP"),
        ("select 1; select 2", "2 statements"),
        (" ", "empty"),
        ("insert into interactions (id) values (1)", "INSERT"),
    ):
        assert word in api.refused(400, "POST", "/data/query", {"sql": sql})["message"]


SLOW = "select count(*) as n from interactions a, interactions b, interactions c where a.text || b.text < c.text"
HOGS = [
    "select list(i) as l from range(1000000000) t(i)",
    "select repeat('x', 100000000) as x from range(1000)",
    "select length(repeat('x', 4000000000)) as n",
    "select range(1000000000) as r",
    "select string_agg(repeat('x', 100000), '') as s from range(100000)",
    "with recursive t as (select repeat('x', 1000) as x union all select x || x from t) select max(length(x)) as n from t",
]


def test_slow_queries_end_and_hold_up_nobody(api: Api) -> None:
    api.sql("select 1")
    with ThreadPoolExecutor(6) as pool:
        begun = time.monotonic()
        slow = [
            pool.submit(
                requests.post,
                f"{api.root}{BASE}/data/query",
                json={"sql": SLOW},
                headers=dict(api.session.headers),
                timeout=30,
            )
            for _ in range(3)
        ]
        waits = []
        while not all(one.done() for one in slow):
            asked = time.monotonic()
            api.ok("GET", "/me")
            waits.append(time.monotonic() - asked)
            time.sleep(0.02)
        for one in slow:
            message = one.result().json()["error"]["message"]
            assert one.result().status_code == 400 and f"took longer than {SECONDS} s" in message
        assert time.monotonic() - begun < 4 * SECONDS
    assert sorted(waits)[len(waits) // 2] < 0.1 * slowness() and max(waits) < 1.5 * slowness()
    assert api.sql("select 1 as x")["rows"] == [{"x": 1}]


def test_a_burst_right_after_the_start(tmp_path: Path) -> None:
    with started(path=tmp_path) as api, ThreadPoolExecutor(8) as pool:
        headers = dict(api.session.headers)
        body = {"sql": "select count(*) as n from interactions"}
        answers = list(
            pool.map(
                lambda _: requests.post(f"{api.root}{BASE}/data/query", json=body, headers=headers, timeout=30),
                range(12),
            )
        )
        assert [answer.json()["rows"] for answer in answers] == [[{"n": 50_000}]] * 12


def test_memory_hogs_end_as_errors(api: Api) -> None:
    with ThreadPoolExecutor(2) as pool:
        headers = dict(api.session.headers)
        answers = list(
            pool.map(
                lambda sql: requests.post(
                    f"{api.root}{BASE}/data/query", json={"sql": sql}, headers=headers, timeout=60
                ),
                HOGS,
            )
        )
    for sql, answer in zip(HOGS, answers, strict=True):
        assert answer.status_code == 400, (sql, answer.text[:200])
        assert re.search("memory|longer|larger|another way", answer.json()["error"]["message"]), answer.text
    assert api.sql("select count(*) as n from interactions")["rows"] == [{"n": 50_000}]


def test_a_query_ends_with_its_client(api: Api) -> None:
    body = json.dumps({"sql": SLOW}).encode()
    host, port = api.root.removeprefix("http://").split(":")
    for _ in range(8):  # more than may run at once: abandoned ones must make room
        with socket.create_connection((host, int(port))) as sock:
            sock.sendall(
                f"POST {BASE}/data/query HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {api.key}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            time.sleep(0.1)
    begun = time.monotonic()
    assert api.sql("select 1 as x")["rows"] == [{"x": 1}]
    assert time.monotonic() - begun < 2 * slowness()


def test_a_large_result_arrives_whole(api: Api) -> None:
    response = api(
        "POST",
        "/data/query",
        {"sql": "select i.*, r.range as copy from interactions i cross join range(2) r", "limit": 90_000},
    )
    body = response.json()
    assert body["rowCount"] == 90_000 == len(body["rows"]) and body["truncated"] is True
    assert response.text.count('},{"id":"') == 90_000 - 1


def test_explore(api: Api) -> None:
    everything = api.ok("POST", "/data/explore", {"include_samples": True})
    assert list(everything) == ["scope", "schema", "clusters", "knowledge"]
    columns = everything["schema"]["columns"]
    assert [(c["name"], c["type"]) for c in columns] == COLUMNS
    assert all(c["description"] and c["samples"] for c in columns)
    assert sum(cluster["count"] for cluster in everything["clusters"]) == everything["schema"]["row_count"] == 50_000
    schema = api.ok("POST", "/data/explore", {"scope": "schema"})
    assert list(schema) == ["scope", "schema"] and "samples" not in schema["schema"]["columns"][0]
    assert api.ok("POST", "/data/explore", {"scope": "knowledge"})["knowledge"][0]["text"]


# --- pages and lists

SPEC = {"type": "Section", "children": [{"type": "Table", "data": {"$query": "by_channel"}}]}
QUERIES = [{"name": "by_channel", "sql": "SELECT channel, COUNT(*) AS events FROM interactions GROUP BY channel"}]
PAGE = {"name": "Weekly sentiment", "tags": ["weekly", "sentiment"], "declared_queries": QUERIES, "spec": SPEC}


def test_a_page_from_birth_to_archive(api: Api) -> None:
    page = api.ok("POST", "/pages", PAGE)
    assert page["id"].startswith("page_") and page["status"] == "active"
    assert {name: page[name] for name in PAGE} == PAGE
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", page["created_at"])
    assert api.ok("GET", f"/pages/{page['id']}") == page
    changed = api.ok("PATCH", f"/pages/{page['id']}", {"name": "Renamed", "description": "d"})
    assert changed["name"] == "Renamed" and changed["spec"] == SPEC and changed["updated_at"] > page["updated_at"]
    assert changed["created_at"] == page["created_at"]
    response = api("DELETE", f"/pages/{page['id']}")
    assert response.status_code == 204 and response.content == b""
    assert api.ok("GET", f"/pages/{page['id']}")["status"] == "archived"
    assert page["id"] not in [one["id"] for one in api.ok("GET", "/pages?limit=200")["items"]]
    assert page["id"] in [one["id"] for one in api.ok("GET", "/pages?status=archived&limit=200")["items"]]
    assert api.refused(409, "PATCH", f"/pages/{page['id']}", {"name": "again"})["code"] == "conflict"
    assert api("DELETE", f"/pages/{page['id']}").status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        assert api.refused(404, method, "/pages/page_none", {"name": "x"})["code"] == "not_found"
    assert api.refused(400, "PATCH", "/pages/page_demo1", {})["message"].startswith("nothing to change")


@pytest.mark.parametrize(
    ("change", "stage", "path"),
    [
        ({"spec": []}, "shape", "spec"),
        ({"spec": {}}, "shape", "spec.type"),
        ({"spec": {"type": "Section", "children": {}}}, "shape", "spec.children"),
        ({"spec": {"type": "Section", "children": ["x"]}}, "shape", "spec.children[0]"),
        ({"declared_queries": {}}, "shape", "declared_queries"),
        ({"declared_queries": [{"name": "a"}]}, "shape", "declared_queries[0].sql"),
        ({"declared_queries": QUERIES * 2}, "shape", "declared_queries[1].name"),
        ({"spec": {"type": "Tabel"}}, "components", "spec.type"),
        ({"spec": {"type": "Table"}}, "components", "spec.data"),
        ({"spec": {"type": "Text"}}, "components", "spec.text"),
        ({"spec": {"type": "Divider", "children": [{"type": "Divider"}]}}, "components", "spec.children"),
        ({"spec": {"type": "Table", "data": {"$query": "by_chanel"}}}, "queries", "spec.data.$query"),
        ({"spec": {"type": "Section", "footer": [{"deep": {"$query": 3}}]}}, "queries", "spec.footer[0].deep.$query"),
        (
            {"declared_queries": [{"name": "by_channel", "sql": "drop table interactions"}]},
            "queries",
            "declared_queries[0].sql",
        ),
        (
            {"declared_queries": [{"name": "by_channel", "sql": "select nope from interactions"}]},
            "queries",
            "declared_queries[0].sql",
        ),
        (
            {"declared_queries": [{"name": "by_channel", "sql": "select 1; select 2"}]},
            "queries",
            "declared_queries[0].sql",
        ),
    ],
)
def test_a_broken_page_is_refused_with_a_verdict_per_stage(api: Api, change: Any, stage: str, path: str) -> None:
    total = api.ok("GET", "/pages")["total"]
    for method, where in (("POST", "/pages"), ("PATCH", "/pages/page_demo1")):
        error = api.refused(400, method, where, {**PAGE, **change})
        stages = error["details"]["stages"]
        assert [one["stage"] for one in stages] == ["shape", "components", "queries"]
        failed = [one for one in stages if one["ok"] is False]
        assert [one["stage"] for one in failed] == [stage]
        assert failed[0]["issues"][0]["path"] == path and path in error["message"]
        reached = [one["ok"] for one in stages]
        assert reached == [True] * reached.index(False) + [False] + [None] * (2 - reached.index(False))
    assert api.ok("GET", "/pages")["total"] == total
    assert api.ok("GET", "/pages/page_demo1")["name"] == "Weekly sentiment"


def test_deep_specs_are_refused_not_crashed_on(api: Api) -> None:
    spec: dict[str, Any] = {"type": "Divider"}
    for _ in range(200):
        spec = {"type": "Section", "children": [spec]}
    assert "deeper" in api.refused(400, "POST", "/pages", {"name": "deep", "spec": spec})["message"]


def test_demo_pages_are_good_pages(api: Api) -> None:
    items = [item for item in api.ok("GET", "/pages?limit=200")["items"] if item["id"].startswith("page_demo")]
    assert len(items) == 3
    for item in items:
        for query in item["declared_queries"]:
            assert api.sql(query["sql"])["rowCount"] > 0
        copy = {name: item[name] for name in ("name", "spec", "declared_queries", "tags")}
        api.ok("DELETE", f"/pages/{api.ok('POST', '/pages', copy)['id']}")


@pytest.fixture(scope="module")
def tagged(api: Api) -> list[str]:
    """Ids of 230 pages, newest first, made as fast as can be so that many share a time."""

    def make(n: int) -> str:
        body = {"name": f"Walk {n:03d} Ünder_%", "tags": ["walk"], "spec": {"type": "Divider"}}
        return requests.post(
            f"{api.root}{BASE}/pages", json=body, headers=dict(api.session.headers), timeout=30
        ).json()["id"]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(230)))
    return [item["id"] for item in walk_offsets(api, "walk")]


def walk_offsets(api: Api, q: str, limit: int = 200) -> list[Any]:
    items: list[Any] = []
    while True:
        page = api.ok("GET", "/pages", params={"limit": limit, "offset": len(items), "q": q})
        assert page["offset"] == len(items)
        items += page["items"]
        if not page["has_more"]:
            assert page["total"] == len(items) and page["next_cursor"] is None
            return items


def walk_cursors(api: Api, q: str, limit: int) -> list[Any]:
    items: list[Any] = []
    cursor = None
    while True:
        page = api.ok("GET", "/pages", params={"limit": limit, "q": q, **({"cursor": cursor} if cursor else {})})
        assert page["offset"] == len(items) and page["has_more"] is (page["next_cursor"] is not None)
        items += page["items"]
        cursor = page["next_cursor"]
        if not cursor:
            return items


def test_both_walks_give_the_same(api: Api, tagged: list[str]) -> None:
    assert len(tagged) == 230 == len(set(tagged))
    assert [item["id"] for item in walk_cursors(api, "walk", 33)] == tagged
    items = walk_offsets(api, "walk", 77)
    assert [item["id"] for item in items] == tagged
    assert [item["created_at"] for item in items] == sorted((item["created_at"] for item in items), reverse=True)


def test_the_envelope_of_a_list(api: Api, tagged: list[str]) -> None:
    page = api.ok("GET", "/pages")
    assert list(page) == ["items", "limit", "offset", "total", "has_more", "next_cursor"]
    assert page["limit"] == 50 == len(page["items"]) and page["has_more"] is True
    assert api.ok("GET", "/pages?limit=100000")["limit"] == 200
    past = api.ok("GET", "/pages?offset=100000")
    assert past["items"] == [] and past["has_more"] is False and past["next_cursor"] is None


def test_a_cursor_walk_is_steady_while_pages_come_and_go(api: Api, tagged: list[str]) -> None:
    first = api.ok("GET", "/pages", params={"limit": 10, "q": "walk"})
    extra = api.ok("POST", "/pages", {"name": "walk in between", "spec": {"type": "Divider"}})
    second = api.ok("GET", "/pages", params={"limit": 10, "q": "walk", "cursor": first["next_cursor"]})
    api.ok("DELETE", f"/pages/{extra['id']}")
    assert [item["id"] for item in first["items"] + second["items"]] == tagged[:20]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", "limit=x", "limit=1.5", "offset=-1", "offset=x", "limit=" + "9" * 30, "cursor=x", "cursor=%00", "cursor=W10",
     "cursor=WyJwYWdlcyIsMSwyXQ&offset=3", "cursor=WyJzZXNzaW9ucyIsMSwyXQ", "cursor=WyJwYWdlcyIsIngiLDJd", "status=gone", "created_at_gte=soon", "updated_at_lte=2026-99-01"],
)  # fmt: skip
def test_wrong_list_parameters_are_refused(api: Api, query: str) -> None:
    error = api.refused(400, "GET", f"/pages?{query}")
    assert error["code"] == "invalid_argument" and error["details"]["field"] == query.split("=")[0]


def test_filters(api: Api, tagged: list[str]) -> None:
    assert api.ok("GET", "/pages", params={"q": "ünder_%"})["total"] == 230
    assert api.ok("GET", "/pages", params={"q": "x_%"})["total"] == 0
    middle = api.ok("GET", f"/pages/{tagged[100]}")
    for field in ("created_at", "updated_at"):
        later = api.ok("GET", "/pages", params={"q": "walk", f"{field}_gte": middle[field]})["total"]
        sooner = api.ok("GET", "/pages", params={"q": "walk", f"{field}_lte": middle[field]})["total"]
        same = api.ok(
            "GET", "/pages", params={"q": "walk", f"{field}_lte": middle[field], f"{field}_gte": middle[field]}
        )["total"]
        assert same >= 1 and later + sooner - same == 230 and later >= 101
    assert api.ok("GET", "/pages", params={"created_at_gte": "2999-01-01"})["total"] == 0
    assert api.ok("GET", "/agents", params={"status": "failed", "q": "open cases"})["total"] == 1


# --- agents


def test_a_session_runs_by_itself(api: Api) -> None:
    begun = api.run("researcher", "Why did complaints rise?", seconds=0.4)
    assert re.fullmatch(r"plat_[0-9a-f-]{36}", begun["session_id"]) and begun["status"] == "running"
    done = api.until(begun["session_id"], "complete")
    assert done["progress"] == 1.0 and done["result"]["summary"] and "error" not in done and "input_request" not in done
    assert done["usage"]["turns"] == 5 and done["usage"]["input_tokens"] > 0 < done["usage"]["output_tokens"]
    assert done["profile_id"] == "researcher" and done["task"] == "Why did complaints rise?"
    again = api.until(api.run("researcher", "Why did complaints rise?", seconds=0)["session_id"], "complete")
    assert again["usage"] == done["usage"] and again["result"] == done["result"]
    assert api.ok("GET", "/agents?limit=1")["items"][0]["session_id"] == again["session_id"]


def test_a_run_can_be_waited_for(api: Api) -> None:
    assert api.run("copilot", wait=True, seconds=0.2)["status"] == "complete"
    assert api.run("copilot", wait=True, seconds=0, ask=True)["status"] == "awaiting_input"
    body = {"profile_id": "copilot", "task": "x", "input_params": {"seconds": 0}}
    assert api.ok("POST", "/agents/run", body)["status"] == "complete"


def test_events_come_in_order_live_and_again(api: Api) -> None:
    session_id = api.run("content_writer", "Write it", seconds=0.5)["session_id"]
    live = api.events(session_id)
    assert [event["id"] for event in live] == list(range(1, len(live) + 1))
    kinds = [event["type"] for event in live]
    assert kinds[0] == "session.started" and kinds[-1] == "session.completed"
    assert [kind for kind in kinds if kind.startswith("artifact")] == [
        "artifact.created",
        "artifact.updated",
        "artifact.status_changed",
    ]
    assert all(event["session_id"] == session_id and event["timestamp"] and "data" in event for event in live)
    assert api.events(session_id) == live
    assert api.events(session_id, after=7) == live[7:]
    assert api.events(session_id, after=live[-1]["id"]) == []
    assert api.events(session_id, after=live[-1]["id"] + 1) == live  # an id of another session
    with api("GET", f"/agents/{session_id}/stream", headers={"Last-Event-ID": "what?"}, stream=True) as response:
        assert list(frames(response)) == live
    called = [event["data"]["rows"] for event in live if event["type"] == "tool.result"]
    assert called[0][0] == {"channel": "email", "interactions": 17106, "sentiment": 0.041}


def test_the_guide_reads_the_stream(api: Api) -> None:
    from sseclient import SSEClient

    session_id = api.run(seconds=0.2)["session_id"]
    response = api("GET", f"/agents/{session_id}/stream", stream=True)
    kinds = [json.loads(message.data)["type"] for message in SSEClient(response).events() if message.data]
    response.close()
    assert kinds[-1] == "session.completed"


def test_a_quiet_stream_is_kept_alive(api: Api) -> None:
    session_id = api.run(seconds=0, ask=True)["session_id"]
    api.until(session_id, "awaiting_input")
    with api("GET", f"/agents/{session_id}/stream", stream=True) as response:
        lines = response.iter_lines(chunk_size=1)
        assert next(lines) == b"retry: 1000"
        assert next(line for line in lines if line.startswith(b":")) == b": ping"
        api.ok("POST", f"/agents/{session_id}/resume", {"input": {"action": "finish"}})
        assert b"event: session.completed" in list(lines)


def test_a_session_asks_and_goes_on(api: Api) -> None:
    session_id = api.run(seconds=0, steps=4, ask=True)["session_id"]
    waiting = api.until(session_id, "awaiting_input")
    assert waiting["input_request"]["type"] == "continue_or_finish" and 0 < waiting["progress"] < 1
    resumed = api.ok("POST", f"/agents/{session_id}/resume", {"input": {"action": "continue"}})
    assert resumed["session_id"] == session_id
    done = api.until(session_id, "complete")
    assert done["usage"]["turns"] == 4 and "input_request" not in done
    kinds = [event["type"] for event in api.events(session_id)]
    assert kinds.index("session.awaiting_input") < kinds.index("session.resumed") < kinds.index("session.completed")
    assert api.refused(409, "POST", f"/agents/{session_id}/resume", {"input": {}})["code"] == "conflict"


def test_a_question_is_answered_by_finishing(api: Api) -> None:
    session_id = api.run("copilot", seconds=0, ask="question")["session_id"]
    assert api.until(session_id, "awaiting_input")["input_request"]["prompt"]
    done = api.ok("POST", f"/agents/{session_id}/resume", {"input": {"action": "finish"}})
    assert done["status"] == "complete" and done["progress"] == 1.0


def test_two_resumes_at_once_make_one(api: Api) -> None:
    session_id = api.run(seconds=0, ask=True)["session_id"]
    api.until(session_id, "awaiting_input")
    url, headers = f"{api.root}{BASE}/agents/{session_id}/resume", dict(api.session.headers)
    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(
            r.status_code
            for r in pool.map(lambda _: requests.post(url, json={"input": {}}, headers=headers, timeout=10), range(4))
        )
    assert statuses == [200, 409, 409, 409]
    api.until(session_id, "complete")
    kinds = [event["type"] for event in api.events(session_id)]
    assert kinds.count("session.resumed") == 1 == kinds.count("session.completed")


@pytest.mark.parametrize(("params", "status"), [({"fail": "no sources"}, "failed"), ({"cancel": True}, "canceled")])
def test_sessions_that_do_not_complete(api: Api, params: Any, status: str) -> None:
    done = api.run(wait=True, seconds=0, **params)
    assert done["status"] == status and "result" not in done
    assert done.get("error", {}).get("message") == params.get("fail")
    assert api.events(done["session_id"])[-1]["type"] == f"session.{status}"


def test_unknown_sessions(api: Api) -> None:
    for method, path in (("GET", "status"), ("GET", "stream"), ("POST", "resume")):
        assert api.refused(404, method, f"/agents/plat_none/{path}", {"input": {}})["code"] == "not_found"
    assert api.refused(400, "POST", "/agents/plat_00000000-0000-4000-8000-000000000001/resume", {"input": 3})


def test_a_head_request_for_a_stream_ends(api: Api) -> None:
    session_id = api.run(seconds=0, ask=True)["session_id"]
    assert api("HEAD", f"/agents/{session_id}/stream").status_code == 200


def test_open_streams_do_not_keep_the_lab_from_ending() -> None:
    with started(demo=False) as api:
        session_id = api.run(seconds=0, ask=True)["session_id"]
        with api("GET", f"/agents/{session_id}/stream", stream=True) as response:
            assert response.ok
            begun = time.monotonic()
            api.lab.close()
            assert time.monotonic() - begun < 3


def test_demo_sessions_can_be_read(api: Api) -> None:
    for n in (1, 2, 3):
        session_id = f"plat_00000000-0000-4000-8000-00000000000{n}"
        events = api.events(session_id)
        assert len(events) > 5 and events[-1]["type"] in ("session.completed", "session.failed")
        assert api.ok("GET", f"/agents/{session_id}/status")["status"] in ("complete", "failed")


def test_many_streams_at_once(api: Api) -> None:
    """Two hundred streams of one session: each gets everything, and leaves nothing behind."""
    session_id = api.run(seconds=1.0, steps=20, ask=True)["session_id"]
    host, port = api.root.removeprefix("http://").split(":")
    ask = f"GET {BASE}/agents/{session_id}/stream HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {api.key}\r\n\r\n".encode()
    open_before = descriptors(api)
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(200)]
        for sock in socks:
            sock.sendall(ask)
        api.until(session_id, "awaiting_input")
        for sock in socks[100:]:
            sock.close()  # half of them leave in the middle
        eventually(lambda: open_before is None or descriptors(api) < open_before + 120)
        api.ok("POST", f"/agents/{session_id}/resume", {"input": {}})
        expected = None
        for sock in socks[:100]:
            sock.settimeout(10)
            data = b""
            while b"0\r\n\r\n" not in data[-16:]:
                data += sock.recv(65536)
            ids = re.findall(rb"\nid: (\d+)\n", data)
            expected = expected or ids
            assert ids == expected and ids == [str(n).encode() for n in range(1, len(ids) + 1)]
            assert b"session.completed" in data
    eventually(lambda: open_before is None or descriptors(api) < open_before + 10)


def descriptors(api: Api) -> int | None:
    """How many files and sockets the lab has open, where the system tells."""
    folder = Path(f"/proc/{api.lab._described['pid']}/fd")
    return len(list(folder.iterdir())) if folder.exists() else None


# --- webhooks


def test_a_webhook_and_its_secret(api: Api) -> None:
    made = hook(api, "http://localhost:9/x", "session.completed", "session.completed", description="mine", active=False)
    assert made["id"].startswith("whk_") and re.fullmatch("[0-9a-f]{64}", made["secret"])
    assert made["events"] == ["session.completed"] and made["active"] is False and made["description"] == "mine"
    assert {"business_id", "user_id", "url", "created_at", "failure_count"} <= set(made)
    listed = api.ok("GET", "/webhooks?limit=200")
    assert made["id"] in [item["id"] for item in listed["items"]] and made["secret"] not in json.dumps(listed)
    changed = api.ok(
        "PATCH",
        f"/webhooks/{made['id']}",
        {"events": ["session.failed"], "url": "http://127.0.0.1:9/y", "description": None},
    )
    assert changed["events"] == ["session.failed"] and changed["url"].endswith("/y") and changed["description"] is None
    assert "secret" not in changed and changed["active"] is False
    assert (
        api.refused(400, "PATCH", f"/webhooks/{made['id']}", {"url": "http://10.0.0.1/"})["details"]["field"] == "url"
    )
    assert api.refused(400, "PATCH", f"/webhooks/{made['id']}", {"active": 1})["details"]["field"] == "active"
    response = api("DELETE", f"/webhooks/{made['id']}")
    assert response.status_code == 204 and not response.content
    for method in ("GET", "PATCH", "DELETE"):
        api.refused(404, method, f"/webhooks/{made['id']}", {"active": True})


def test_deliveries_are_signed_and_in_order(api: Api) -> None:
    wanted = ["artifact.created", "artifact.updated", "artifact.status_changed", "session.completed"]
    with Receiver() as receiver:
        made = hook(api, f"{receiver.url}/hooks", *wanted, secret="shh")
        assert made["secret"] == "shh"
        session = api.run("content_writer", "Write", seconds=0)
        got = [receiver.got.get(timeout=10) for _ in wanted]
        bodies = [json.loads(body) for _, body in got]
        assert [body["event"] for body in bodies] == wanted == [headers["x-webhook-event"] for headers, _ in got]
        for headers, raw in got:
            signature = hmac.new(b"shh", raw, hashlib.sha256).hexdigest()
            assert headers["x-webhook-signature"] == signature
            assert headers["x-amdahl-signature"] == f"sha256={signature}"
            assert headers["content-type"] == "application/json"
        assert all(body["business_id"] == made["business_id"] and body["timestamp"] for body in bodies)
        assert set(bodies[0]["artifact"]) == {"id", "artifact_type", "title", "status", "current_version"}
        assert bodies[1]["version"] == 2 and bodies[1]["change_summary"]
        assert (bodies[2]["previous_status"], bodies[2]["new_status"]) == ("draft", "final")
        assert bodies[3]["session_id"] == session["session_id"]
        api.run(seconds=0, fail="x")  # not asked for
        api.run("copilot", seconds=0)
        assert receiver.events(1)[0]["event"] == "session.completed"
        api.ok("PATCH", f"/webhooks/{made['id']}", {"active": False})
        api.run("copilot", wait=True, seconds=0)
        api.ok("DELETE", f"/webhooks/{made['id']}")
        time.sleep(0.2)
        assert receiver.got.empty()


def test_writes_are_told_as_audit_entries(api: Api) -> None:
    with Receiver() as receiver:
        made = hook(api, receiver.url, "audit_log.entry_created")
        page = api.ok("POST", "/pages", PAGE)
        api.ok("PATCH", f"/pages/{page['id']}", {"name": "b"})
        api.ok("DELETE", f"/pages/{page['id']}")
        api.ok("PATCH", f"/webhooks/{made['id']}", {"description": "x"})
        entries = [event["entry"] for event in receiver.events(4)]
        assert [entry["action"] for entry in entries] == [
            "page.created",
            "page.updated",
            "page.archived",
            "webhook.updated",
        ]
        assert [entry["resource_id"] for entry in entries] == [page["id"]] * 3 + [made["id"]]
        api.ok("DELETE", f"/webhooks/{made['id']}")


def test_a_failing_receiver_is_tried_four_times(api: Api) -> None:
    with Receiver(lambda n: 307 if n == 1 else 500) as receiver:
        made = hook(api, receiver.url, "session.completed")
        api.run("copilot", seconds=0)
        same = [receiver.got.get(timeout=10) for _ in range(4)]
        assert len({body for _, body in same}) == 1 and len({headers["x-webhook-delivery"] for headers, _ in same}) == 1
        found = eventually(lambda: (w := api.ok("GET", f"/webhooks/{made['id']}"))["failure_count"] and w)
        assert found["failure_count"] == 1 and "500" in found["last_error"] and found["active"] is True
        time.sleep(0.3)
        assert receiver.got.empty()
        record = api.ok("GET", f"/webhooks/{made['id']}/deliveries")["items"]
        assert [(one["status"], one["attempts"]) for one in record] == [("gave_up", 4)]
        api.ok("DELETE", f"/webhooks/{made['id']}")


def test_a_receiver_that_recovers_gets_everything(api: Api) -> None:
    with Receiver(lambda n: 503 if n <= 2 else 204) as receiver:
        made = hook(api, receiver.url, "session.completed")
        first = api.run("copilot", wait=True, seconds=0)["session_id"]
        second = api.run("copilot", wait=True, seconds=0)["session_id"]
        assert [event["session_id"] for event in receiver.events(4)] == [first, first, first, second]
        eventually(lambda: api.ok("GET", f"/webhooks/{made['id']}/deliveries?status=delivered")["total"] == 2)
        assert api.ok("GET", f"/webhooks/{made['id']}")["failure_count"] == 0
        api.ok("DELETE", f"/webhooks/{made['id']}")


def test_a_slow_receiver_holds_up_nobody(api: Api) -> None:
    with Receiver() as slow, Receiver() as quick:
        slow.hold.clear()
        ids = [hook(api, receiver.url, "session.completed")["id"] for receiver in (slow, quick)]
        api.run("copilot", seconds=0)
        assert quick.events(1, within=2)
        for hook_id in ids:
            api.ok("DELETE", f"/webhooks/{hook_id}")


# --- kill -9


def kill(api: Api) -> None:
    os.kill(api.lab._described["pid"], signal.SIGKILL)
    eventually(lambda: not alive(api.lab._described["pid"]))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    with Receiver() as receiver:
        receiver.hold.clear()
        with started(path=tmp_path) as api:
            page = api.ok("POST", "/pages", PAGE)
            gone = api.ok("POST", "/pages", PAGE)
            api.ok("DELETE", f"/pages/{gone['id']}")
            made = hook(api, receiver.url, "session.completed", "session.failed", secret="kept")
            done = api.run("content_writer", wait=True, seconds=0)
            log = api.events(done["session_id"])
            asking = api.run(seconds=0, ask=True)["session_id"]
            api.until(asking, "awaiting_input")
            going = api.run("researcher", seconds=1.0, steps=40)["session_id"]
            seen = []
            with api("GET", f"/agents/{going}/stream", stream=True) as response:
                for event in frames(response):
                    seen.append(event)
                    if len(seen) == 30:
                        break
            assert receiver.got.get(timeout=10)  # in the middle of a delivery
            workers = children(api)
            kill(api)
        eventually(lambda: not any(map(alive, workers)))
        receiver.hold.set()
        with started(path=tmp_path) as api:
            assert api.ok("GET", f"/pages/{page['id']}") == page
            assert api.ok("GET", f"/pages/{gone['id']}")["status"] == "archived"
            assert api.ok("GET", f"/webhooks/{made['id']}")["events"] == made["events"]
            assert api.ok("GET", f"/agents/{done['session_id']}/status") == done
            assert api.events(done["session_id"]) == log
            rest = api.events(going, after=seen[-1]["id"])
            whole = seen + rest
            assert [event["id"] for event in whole] == list(range(1, len(whole) + 1)) and api.events(going) == whole
            steps = [event["data"]["index"] for event in whole if event["type"] == "step.completed"]
            assert steps == list(range(40)) and whole[-1]["type"] == "session.completed"
            api.ok("POST", f"/agents/{asking}/resume", {"input": {}})
            api.until(asking, "complete")
            told: dict[str, int] = {}
            while len(told) < 3:
                raw_headers, raw = receiver.got.get(timeout=10)
                assert raw_headers["x-webhook-signature"] == hmac.new(b"kept", raw, hashlib.sha256).hexdigest()
                session_id = json.loads(raw)["session_id"]
                told[session_id] = told.get(session_id, 0) + 1
            assert set(told) == {done["session_id"], going, asking}
            assert api.sql("select count(*) as n from interactions")["rows"] == [{"n": 50_000}]
            assert len([p for p in api.ok("GET", "/pages")["items"] if p["id"].startswith("page_demo")]) == 3


def children(api: Api) -> list[int]:
    """The lab's SQL workers, where the system tells."""
    file = Path(f"/proc/{api.lab._described['pid']}/task/{api.lab._described['pid']}/children")
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended may wait for somebody to take note of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
