"""What has a form of its own: JSON of Amdahl and Claude, headers, signatures, magics, files of our own."""

from __future__ import annotations

import atexit
import hashlib
import hmac
import itertools
import json
import random
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb

from kit.amdahl import verify_webhook_signature
from kit.amdahl.wire import json_messages as amdahl
from kit.amdahl.wire.results import ResultReader, result_of
from kit.claude.client.batches.journal import Journal
from kit.claude.client.client import ClaudeClient
from kit.claude.client.streaming import _Chat
from kit.claude.wire import json_messages as claude
from kit.core.errors import KitError
from kit.core.faces import state_of
from kit.core.http import retry
from kit.core.http.chunked import framing_of
from kit.core.http.operations import Response, asked_pause
from kit.engines import sql_text
from kit.engines.parquet.manifest import Manifest
from kit.engines.parquet.store import Store
from kit.live.feed import checkpoint
from kit.notebook import magic_text

from .mutate import cuts
from .running import Difference, Target

STATUSES = (200, 200, 200, 400, 401, 403, 429, 500, 503)


def _answer(data: bytes, chance: random.Random) -> Response:
    return Response(chance.choice(STATUSES), {"x-request-id": "r"}, data)


def read_amdahl(data: bytes, chance: random.Random) -> None:
    amdahl.event_payload("x", data.decode("utf-8", "replace"))
    answer = _answer(data, chance)
    asked_pause(answer)
    amdahl.judge(answer)


def read_result(data: bytes, chance: random.Random) -> None:
    answer = Response(200, {}, data)
    try:
        found: Any = result_of(answer)
        found.table.validate(full=True)
    except KitError as error:
        found = type(error)
    reader = ResultReader()
    places = cuts(chance, len(data))
    try:
        for a, b in itertools.pairwise(places):
            reader.feed(data[a:b])
        cut: Any = reader.finish(Response(200, {}, b""))
    except KitError as error:
        cut = type(error)
    finally:
        reader.close()
    one, other = [x if isinstance(x, type) else (x.table.to_pylist(), x.row_count, x.truncated) for x in (found, cut)]
    if repr(one) != repr(other):
        raise Difference(f"whole {one!r:.200} and in pieces {other!r:.200}")
    if isinstance(found, type):
        raise KitError("refused")


def read_claude(data: bytes, chance: random.Random) -> None:
    answer = _answer(data, chance)
    refused = 0
    for read in (
        lambda: claude.response_of(answer),
        lambda: claude.batch_results(answer, [("0", "a"), ("1", "b")]),
        lambda: claude.stats_of(answer),
        lambda: claude.task_outcome(claude.parsed(answer, "task")),
    ):
        try:
            repr(read())
        except KitError as error:
            str(error)
            refused += 1
    str(claude.refusal(answer, "complete", 1.0, 5.0))
    claude.nothing_ran(answer), claude.worth_repeating(answer)
    if refused == 4:
        raise KitError("refused")


_CLIENT = ClaudeClient("http://127.0.0.1:9", api_key="k")


def read_socket(data: bytes, chance: random.Random) -> None:
    chat = _Chat(state_of(_CLIENT), "hello", "haiku", 1.0, None)
    for frame in data.split(b"\n"):
        chat.feed(frame)


def read_headers(data: bytes, chance: random.Random) -> None:
    headers = {}
    for line in data.decode("latin-1").split("\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    amdahl.rate_limit(headers, 1.0)
    retry.retry_after(headers)
    framing_of(headers)
    asked_pause(Response(429, headers, b""))


def read_signature(data: bytes, chance: random.Random) -> None:
    secret = "s3cret"
    good = hmac.new(secret.encode(), data, hashlib.sha256).hexdigest()
    text = data.decode("utf-8", "replace")
    if not verify_webhook_signature(data, chance.choice((good, f"sha256={good}", good.upper())), secret):
        raise Difference("a good signature is refused")
    if verify_webhook_signature(data, text, secret) or verify_webhook_signature(data + b"x", good, secret):
        raise Difference("a bad signature is taken")
    at = chance.randrange(64)
    wrong = good[:at] + ("0" if good[at] != "0" else "1") + good[at + 1 :]
    if verify_webhook_signature(data, wrong, secret):
        raise Difference("a bad signature is taken")


def read_magic(data: bytes, chance: random.Random) -> None:
    text = data.decode("utf-8", "replace")
    line, _, cell = text.partition("\n")
    order = magic_text.order_of("sql", line, cell or None, ("at", "limit"), ("plain",))
    order.whole("limit")
    sql, values = sql_text.bound(order.text, lambda expression: expression, lambda n, value: f"${n}")
    if len(values) > sql.count("$"):
        raise Difference("more values than marks")
    magic_text.filled(order.text, lambda expression: "x")


@lru_cache
def _duck() -> Any:
    connection = duckdb.connect(":memory:")
    atexit.register(connection.close)
    return connection


def read_literal(data: bytes, chance: random.Random) -> None:
    """What a value becomes as SQL text must be that value, and nothing beside it."""
    text = data.decode("utf-8", "replace")
    found = _duck().execute(f"select {sql_text.literal(text)}").fetchall()
    if found != [(text,)]:
        raise Difference(f"{text!r:.100} came back as {found!r:.100}")


_FOLDER = tempfile.TemporaryDirectory(prefix="kit-fuzz-", ignore_cleanup_errors=True)


def read_files(data: bytes, chance: random.Random) -> None:
    folder = Path(_FOLDER.name)
    refused = 0
    (folder / "checkpoint.json").write_bytes(data)
    for name in ("_kit_manifest.json", "journal.jsonl"):
        (folder / name).write_bytes(data)
    for read in (
        lambda: checkpoint.read(str(folder / "checkpoint.json"), "key"),
        lambda: Manifest.read(Store(str(folder))),
        lambda: Journal(folder / "journal.jsonl").close(),
    ):
        try:
            read()
        except KitError:
            refused += 1
    if refused == 3:
        raise KitError("refused")


AMDAHL = [
    b'{"data":{"rows":[{"a":1,"b":"x"},{"a":2,"b":null}],"rowCount":2,"truncated":false,'
    b'"columns":[{"name":"a","type":"INT64"},{"name":"b","type":"STRING"}]}}',
    b'{"error":{"code":"rate_limited","message":"slow","details":{"retry_after":3}}}',
    b'{"success":false,"error":"no"}',
    b'{"rows":[{"a":[1],"b":true,"c":5,"d":1e300}],"columns":[{"name":"a","type":"INT64"},{"name":"b","type":"DATE"},'
    b'{"name":"c","type":"TIMESTAMP"},{"name":"d","type":"DATETIME"}]}',
    b'{"data":{"rows":[null,{"a":1},null,{"a":2}],"rowCount":2}}',
    b'{"items":[{"id":"p"}],"next_cursor":null,"retry_after":1.5}',
    b'{"rows":[{"t":"2024-01-01T00:00:00Z","n":"12345678901234567890.5"}],"columns":[{"name":"t","type":"TIMESTAMP"},'
    b'{"name":"n","type":"NUMERIC"}],"rowCount":1}',
]
CLAUDE = [
    b'{"id":"1","model":"haiku","content":"Hi","usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3},"cost":0.1}',
    b'{"results":[{"status":"completed","content":"x","usage":{"input_tokens":1,"output_tokens":2},"cost":0.5},'
    b'{"status":"failed","error":"no"}]}',
    b'{"project_id":"p","period":"month","total_tokens":5,"total_cost":0.5,"by_model":{"haiku":{"tokens":5,"cost":0.5}}}',
    b'{"task_id":"t","status":"completed","result":{"summary":"s"},"execution_log":[],"usage":{"total_cost":0.1}}',
    b'{"detail":"Rate limit exceeded"}',
    b'{"detail":[{"loc":["body"],"msg":"bad","type":"x"}]}',
]
CHATS = [
    b'{"type":"token","content":"Hi"}\n{"type":"done","usage":{"input_tokens":1,"output_tokens":2},"cost":0.1}',
    b'{"type":"error","error":"Budget exceeded: 5"}',
]
HEADERS = [
    b"x-ratelimit-remaining: 59\nx-ratelimit-reset: 1700000000.5\nretry-after: 7",
    b"retry-after: Thu, 01 Jan 1970 00:01:00 GMT\ncontent-length: 5\ntransfer-encoding: chunked",
]
MAGICS = [
    b"rows << --at 5 --limit '10' --plain\nselect * from t where a = {x + 1} and b = '{x}' -- {y}\n",
    b"--at \"2024\" select {a}, $tag$ {b} $tag$, {'k': 1}",
    b"\nHello {name}, {{this}} and {not code!}\n",
]
LITERALS = [b"it's", b"'; drop table x; --", "\\' \u2028 \u0000 \x1b".encode(), b"$$x$$ {y} /* */"]
FILES = [
    b'{"form":"kit.feed/1","source":"key","position":5,"total":9}',
    b'{"form":1,"source":"s","start":0,"next":5,"partition_by":[],"parts":[{"name":"part-0.parquet","first":0,"stop":5,"rows":5}]}',
    json.dumps({"key": "0", "sending": True}).encode() + b"\n",
]

ALL = (
    Target("amdahl-json", lambda: AMDAHL, read_amdahl, (KitError,), text=True),
    Target("amdahl-results", lambda: AMDAHL, read_result, (KitError,), text=True, factor=5000),
    Target("claude-json", lambda: CLAUDE, read_claude, (KitError,), text=True),
    Target("claude-socket", lambda: CHATS, read_socket, (KitError,), text=True),
    Target("headers", lambda: HEADERS, read_headers, (KitError,), text=True),
    Target("signatures", lambda: [b"{}", b'{"a":1}', b"sha256=" + b"0" * 64], read_signature, (KitError,), text=True),
    Target("magics", lambda: MAGICS, read_magic, (KitError,), text=True),
    Target("literals", lambda: LITERALS, read_literal, (KitError,), text=True),
    Target("files", lambda: FILES, read_files, (KitError,), text=True),
)
