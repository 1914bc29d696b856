"""Secrets where calls fail, files, processes, and what the embedded servers let strangers do."""

import asyncio
import http.client
import io
import json
import os
import socket
import stat
import sys
import threading
import time
import traceback
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import kit
from kit.amdahl import AmdahlClient, AsyncAmdahlClient, query_data
from kit.claude import AsyncClaudeClient, ClaudeClient
from kit.core.errors import KitError
from kit.kimberlite import AsyncClient, Client
from kit.s2 import S2, AppendInput, Endpoints, Record, Retry, SeqNum, SyncS2
from kit.synap import AsyncSynapClient, SynapClient

pytestmark = pytest.mark.lab

KEY = "sk_5ecret0123456789abcdefghij"


def clean(text):
    # Not even a part of it, and not as bytes or in base64 either.
    import base64

    forms = [KEY, base64.b64encode(f"user:{KEY}".encode()).decode()]
    return not any(form[n : n + 10] in text for form in forms for n in range(0, len(form) - 10))


def shown(error):
    """All that Python and IPython could print of an error, with the variables of every frame."""
    from IPython.core.ultratb import VerboseTB

    parts = ["".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())]
    stream = io.StringIO()
    maker = VerboseTB(include_vars=True)
    maker.pycolorize = False
    parts.append("\n".join(map(str, maker.structured_traceback(type(error), error, error.__traceback__))))
    return "\n".join([*parts, stream.getvalue(), repr(error), str(error), str(vars(error))])


def below(found):
    """A traceback without the frames of this file, which hold the key on purpose."""
    chain = None
    frames = []
    while found is not None:
        frames.append(found)
        found = found.tb_next
    for one in reversed(frames):
        if one.tb_frame.f_code.co_filename != __file__:
            chain = types.TracebackType(chain, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return chain


def failure_of(call):
    try:
        call()
    except Exception as error:
        return error


class Rude:
    """Takes connections and does one of several things to them that no server should."""

    def __init__(self, how):
        self.how, self.heads = how, []
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._sock.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                self.heads.append(connection.recv(65536))
                if self.how == "garbage":
                    connection.sendall(b"\x00\xff garbage " * 50)
                elif self.how == "refusal":
                    body = b'{"error":"no","detail":"no","code":"x"}'
                    connection.sendall(b"HTTP/1.1 403 No\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
                elif self.how == "elsewhere":
                    connection.sendall(
                        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:%d/\r\ncontent-length: 0\r\n\r\n" % self.port
                    )
                elif self.how == "silent":
                    time.sleep(3)
            except OSError:
                pass

    def close(self):
        self._sock.close()


def calls(port):
    """One failing call of each client, as a function that makes the client and calls it."""
    web, quick = f"http://127.0.0.1:{port}", {"timeout": 0.4}
    ends = Endpoints(web, web)
    retry = Retry(1)

    def s2(call):
        def run():
            with SyncS2(KEY, endpoints=ends, retry=retry, timeout=_s2_quick()) as client:
                call(client)

        return run

    async def async_s2():
        async with S2(KEY, endpoints=ends, retry=retry, timeout=_s2_quick()) as client:
            async with client["basin-name"]["s"].append_session() as session:
                await (await session.submit(AppendInput([Record(b"x")])))

    async def async_amdahl():
        async with AsyncAmdahlClient(web, KEY, **quick) as client:
            await query_data(client, "select 1")

    async def async_claude():
        async with AsyncClaudeClient(web, KEY, timeout=1, max_retries=1) as client:
            await client.health()

    async def async_synap(url):
        async with AsyncSynapClient(url, api_key=KEY, **quick) as client:
            await client.kv.get("k")

    async def async_kimberlite():
        async with await AsyncClient.connect(f"127.0.0.1:{port}", 1, KEY, max_retries=0, **quick) as client:
            await client.list_tables()

    rpc = f"synap://127.0.0.1:{port}"
    return {
        "s2 list": s2(lambda client: client.list_basins()),
        "s2 read": s2(lambda client: client["basin-name"]["s"].read(start=SeqNum(0))),
        "s2 session": s2(lambda client: list(client["basin-name"]["s"].read_session(start=SeqNum(0), wait=0))),
        "s2 append session": lambda: asyncio.run(async_s2()),
        "amdahl": lambda: AmdahlClient(web, KEY, **quick).get("/me"),
        "amdahl async": lambda: asyncio.run(async_amdahl()),
        "claude": lambda: ClaudeClient(web, KEY, timeout=1, max_retries=1).health(),
        "claude socket": lambda: list(ClaudeClient(web, KEY, timeout=1).stream("x", transport="ws")),
        "claude async": lambda: asyncio.run(async_claude()),
        "synap": lambda: SynapClient(web, api_key=KEY, **quick).kv.get("k"),
        "synap basic": lambda: SynapClient(web, username="user", password=KEY, **quick).kv.get("k"),
        "synap rpc": lambda: SynapClient(rpc, api_key=KEY, **quick).kv.get("k"),
        "synap rpc async": lambda: asyncio.run(async_synap(rpc)),
        "synap async": lambda: asyncio.run(async_synap(web)),
        "kimberlite": lambda: Client(f"127.0.0.1:{port}", 1, KEY, max_retries=0, **quick).list_tables(),
        "kimberlite async": lambda: asyncio.run(async_kimberlite()),
    }


def _s2_quick():
    from datetime import timedelta

    from kit.s2 import Timeout

    return Timeout(request=timedelta(seconds=0.4), connection=timedelta(seconds=0.4))


@pytest.mark.parametrize("how", ["closed", "garbage", "refusal", "elsewhere", "silent"])
def test_no_failure_shows_the_key(how, caplog):
    caplog.set_level("DEBUG")
    server = Rude(how)
    if how == "closed":
        server.close()
    try:
        asked = calls(server.port)
        with ThreadPoolExecutor(len(asked)) as pool:
            failures = dict(zip(asked, pool.map(failure_of, asked.values()), strict=True))
        for name, error in failures.items():
            assert isinstance(error, KitError | OSError), (name, error)
            text = shown(error.with_traceback(below(error.__traceback__)))
            assert clean(text), (name, how, [line for line in text.splitlines() if not clean(line)][:5])
            for chained in (error.__cause__, error.__context__):
                if chained is not None:
                    assert clean(shown(chained.with_traceback(below(chained.__traceback__)))), (name, how)
    finally:
        server.close()
    assert clean(caplog.text)
    assert clean(kit.calls().to_string())
    for head in server.heads:
        asked = head.split(b"\r\n")[0]
        assert not asked.endswith(b" HTTP/1.1") or clean(asked.decode("latin-1")), "a key in an address"


def test_a_redirect_never_carries_the_key(monkeypatch):
    elsewhere = Rude("refusal")

    class Pointing(Rude):
        def _serve(self, connection):
            with connection:
                connection.recv(65536)
                connection.sendall(
                    b"HTTP/1.1 307 Go\r\nlocation: http://localhost:%d/\r\ncontent-length: 0\r\n\r\n" % elsewhere.port
                )

    server = Pointing("")
    web = [call for name, call in calls(server.port).items() if "rpc" not in name and "kimberlite" not in name]
    with ThreadPoolExecutor(len(web)) as pool:
        assert all(pool.map(failure_of, web))
    assert elsewhere.heads == []
    server.close()
    elsewhere.close()


# --- files and processes ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_what_a_lab_writes_is_for_its_user_alone(tmp_path):
    place = tmp_path / "shared"
    place.mkdir(mode=0o755)
    os.chmod(place, 0o755)
    before = os.umask(0o022)
    try:
        with kit.Lab(path=place, join=False) as lab:
            lab.kimberlite.execute("CREATE TABLE secrets (id BIGINT PRIMARY KEY)")
            lab.amdahl.query("select 1 as n")
            open_to_others = [
                str(path.relative_to(place))
                for path in place.rglob("*")
                if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077
            ]
    finally:
        os.umask(before)
    assert not open_to_others


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_the_journal_of_a_batch_is_for_its_user_alone(lab, tmp_path):
    before = os.umask(0o022)
    try:
        lab.claude.batch(["a", "b"], model="haiku", keep=tmp_path / "journal.jsonl")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "journal.jsonl").stat().st_mode) == 0o600


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes as Linux shows them")
def test_no_process_has_the_token_in_its_arguments_or_environment(lab):
    lab.kimberlite.query("SELECT 1 AS n")
    lab.amdahl.query("select 1 as n")
    token = lab.env()["S2_ACCESS_TOKEN"]
    own = f"{os.getuid()}"
    seen = 0
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            if f"Uid:\t{own}" not in Path(f"/proc/{number}/status").read_text():
                continue
            said = Path(f"/proc/{number}/cmdline").read_bytes() + Path(f"/proc/{number}/environ").read_bytes()
        except OSError:
            continue
        seen += b"kit.lab" in said
        assert token.encode() not in said
    assert seen >= 2


# --- strangers --------------------------------------------------------------------------------------------------------


def web_services(lab):
    return {name: urlsplit(lab.url(name)).port for name in ("s2", "synap", "claude", "amdahl")}


def ask(port, method, target, headers=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest(method, target, skip_host=bool(headers and "Host" in headers))
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def credentials(lab):
    env = lab.env()
    keys = {
        "s2": env["S2_ACCESS_TOKEN"],
        "synap": env["SYNAP_API_KEY"],
        "claude": env["CLAUDE_API_KEY"],
        "amdahl": env["API_KEY"],
    }
    return {name: {"Authorization": f"Bearer {key}"} for name, key in keys.items()}


PLACES = {
    "s2": "/v1/basins",
    "synap": "/kv/stats",
    "claude": "/v1/usage",
    "amdahl": "/api/platform/v1/me",
}


def test_without_the_token_nothing_is_told(lab):
    for name, port in web_services(lab).items():
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
            status, _, _ = ask(port, "GET", PLACES[name], headers)
            assert status in (401, 403), (name, headers, status)
        assert ask(port, "GET", PLACES[name], credentials(lab)[name])[0] == 200, name


OPEN = {
    "s2": ("/health", "/ping"),
    "synap": ("/health",),
    "claude": ("/", "/ready", "/v1/providers", "/v1/providers/claude/models"),
    "amdahl": ("/health",),
}
"""What the lab answers without its token."""
CLOSED = {
    "synap": ("/metrics", "/info", "/queue/list", "/kv/stats", "/api/v1/command", "/metrics?api_key=wrong", "/slowlog"),
    "claude": ("/v1/capabilities", "/v1/usage", "/lab/keys", "/lab/budgets", "/v1/batch", "/v1/task", "/v1/route"),
    "amdahl": ("/api/platform/v1/me", "/api/platform/v1/pages", "/metrics", "/api/platform/v1/me/context"),
    "s2": ("/v1/basins", "/v1/metrics?set=account-ops", "/v1/access-tokens", "/v1/locations", "/metrics"),
}


def test_the_open_pages_say_nothing_of_what_the_user_does(lab):
    ports = web_services(lab)

    def said():
        return {(name, path): ask(ports[name], "GET", path)[::2] for name, paths in OPEN.items() for path in paths}

    before = said()
    assert {status for status, _ in before.values()} == {200}
    health = [json.loads(ask(ports["claude"], "GET", "/health")[2])]
    lab.synap.client.queue.create("q-5ecret-name")
    lab.synap.client.stream.create("r-5ecret-name")
    lab.s2.create_basin("b-5ecret-name")
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(lab.claude.client.complete, "Say a 5ecret thing", "haiku")
        for _ in range(20):
            health.append(json.loads(ask(ports["claude"], "GET", "/health")[2]))
        running.result(30)
    assert said() == before
    for one in health:
        one.pop("uptime_seconds")
        assert one == health[0]
        assert "active_workers" not in str(one)
    assert "active_workers" in str(lab.claude.client.health())


def test_the_other_pages_want_the_token(lab):
    lab.synap.client.queue.create("q-5ecret-name")
    for name, port in web_services(lab).items():
        for path in CLOSED[name]:
            for method in ("GET", "POST"):
                status, _, body = ask(port, method, path, {"Content-Length": "0"} if method == "POST" else None)
                assert status in (401, 403, 404, 405), (name, path, status)
                assert b"5ecret" not in body
    assert "q-5ecret-name" in str(lab.synap.metrics().values.tolist())


def test_foreign_pages_get_nothing(lab):
    """Another site's page in the user's browser: by its name for this machine, or by asking across origins."""
    for name, port in web_services(lab).items():
        known = credentials(lab)[name]
        for strange in (
            {"Host": "evil.example"},
            {"Host": f"evil.example:{port}"},
            {"Host": "127.0.0.1.evil.example"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
        ):
            status, headers, _ = ask(port, "GET", PLACES[name], {**known, **strange})
            assert status in (400, 403, 421), (name, strange, status)
            assert not any(header.lower().startswith("access-control") for header in headers), (name, headers)
        status, headers, _ = ask(
            port,
            "OPTIONS",
            PLACES[name],
            {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
        )
        assert status >= 400 and not any(header.lower().startswith("access-control") for header in headers)


@pytest.mark.parametrize(
    "path", ["/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "//etc/passwd", "/%00"]
)
def test_paths_lead_nowhere(lab, path):
    for name, port in web_services(lab).items():
        for start in ("", PLACES[name], "/v1/streams", "/api/platform/v1/pages", "/kv/get", "/v1/agentic"):
            status, _, body = ask(port, "GET", start + path, credentials(lab)[name])
            assert b"root:" not in body and status != 500, (name, start + path, status)


@pytest.mark.parametrize("name", ["../../outside", "a/../../b", "..", "/etc/passwd", "a\0b", "x" * 5000])
def test_names_stay_names(lab, name, tmp_path):
    """Names of streams, rooms, queues, pages and keys never become files."""
    before = set(Path("/tmp").iterdir())
    for make in (
        lambda: lab.s2.create_basin("names-basin").create(name),
        lambda: lab.kimberlite.append(name, [b"x"]),
        lambda: lab.synap.client.stream.create(name),
        lambda: lab.synap.client.queue.create(name),
        lambda: lab.synap.client.kv.set(name, "x"),
        lambda: kit.amdahl.get_page(lab.amdahl.client, name),
        lambda: lab.claude.client.complete("x", project_id=name, model="haiku"),
    ):
        try:
            make()
        except KitError:
            pass
    assert not [path for path in set(Path("/tmp").iterdir()) - before if "outside" in path.name]
    assert lab.status()["state"].tolist() == ["up"] * 5


def test_a_body_without_end_is_cut(lab):
    for name, port in web_services(lab).items():
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            key = credentials(lab)[name]["Authorization"]
            head = f"POST {PLACES[name]} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {key}\r\n"
            sock.sendall(f"{head}Content-Length: 99999999999\r\n\r\n".encode())
            said = sock.recv(4096)
            assert not said or said.split(b" ")[1] in (b"404", b"405", b"413", b"400"), (name, said[:80])


def test_slow_and_endless_heads_hold_nobody_up(lab):
    """Many half-said requests, a head without end: others are answered all the same, and quickly."""
    held = []
    try:
        for port in web_services(lab).values():
            for _ in range(50):
                sock = socket.create_connection(("127.0.0.1", port), timeout=5)
                sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
                held.append(sock)
            greedy = socket.create_connection(("127.0.0.1", port), timeout=5)
            held.append(greedy)
            sent = 0
            try:
                greedy.sendall(b"GET / HTTP/1.1\r\n")
                while sent < 4_000_000:
                    greedy.sendall(b"X-Long: " + b"a" * 65536 + b"\r\n")
                    sent += 65546
            except OSError:
                pass
            assert sent < 4_000_000, "a head of any size is taken"
        started = time.monotonic()
        assert lab.status()["state"].tolist() == ["up"] * 5
        assert len(lab.amdahl.query("select 1 as n")) == 1
        assert time.monotonic() - started < 10
    finally:
        for sock in held:
            sock.close()


# --- SQL --------------------------------------------------------------------------------------------------------------

REACHING_OUT = [
    "select * from read_csv('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from '/etc/passwd'",
    "select * from glob('/*')",
    "copy (select 1) to '/tmp/kit-leak.csv'",
    "attach '/tmp/kit-leak.db' as x",
    "install httpfs",
    "load httpfs",
    "select * from read_parquet('http://127.0.0.1:1/x.parquet')",
    "set enable_external_access = true",
    "pragma database_list",
    "select getenv('HOME')",
    "create table t as select 1",
    "export database '/tmp/kit-leak'",
    "select 1; select 2; copy (select 1) to '/tmp/kit-leak.csv'",
]


@pytest.mark.parametrize("sql", REACHING_OUT)
def test_the_servers_sql_stays_inside(lab, sql):
    for run in (lambda: lab.amdahl.query(sql), lambda: lab.kimberlite.query(sql), lambda: lab.kimberlite.execute(sql)):
        try:
            told = str(run())
        except KitError:
            continue
        assert "root:" not in told and "/home" not in told and "/root" not in told
    assert not list(Path("/tmp").glob("kit-leak*"))


def test_joins_take_no_table_for_a_file(tmp_path):
    """`kit.sql` runs the user's own text, files included; what a service calls its columns and values is none of it."""
    import pandas as pd

    frame = pd.DataFrame({"x'); copy (select 1) to 'out.csv'; --": ["select * from '/etc/passwd'"], "n": [1]})
    found = kit.sql("select * from t", t=frame)
    assert found.columns.tolist() == frame.columns.tolist() and found.iloc[0, 0] == "select * from '/etc/passwd'"
    with pytest.raises(KitError):
        kit.sql("select * from t where n = $1; copy (select 1) to 'out.csv'", params=[1], t=frame)
    assert not list(tmp_path.glob("out*")) and not Path("out.csv").exists()


def test_parameters_are_values_never_sql(lab):
    evil = "x'; DROP TABLE evil; --"
    lab.kimberlite.execute("CREATE TABLE IF NOT EXISTS evil (name TEXT PRIMARY KEY)")
    lab.kimberlite.execute("INSERT INTO evil VALUES ($1)", evil)
    assert lab.kimberlite.query("SELECT name FROM evil WHERE name = $1", evil)["name"].tolist() == [evil]
    assert json.dumps(evil)
