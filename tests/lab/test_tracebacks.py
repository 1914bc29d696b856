"""No variable of a traceback holds a credential: every way to make a client, and every verb, failing in every way."""

import asyncio
import base64
import inspect
import os
import signal
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

import kit
from kit.amdahl import AmdahlClient, AsyncAmdahlClient
from kit.claude import AsyncClaudeClient, ClaudeClient
from kit.core.faces import state_of
from kit.kimberlite import AsyncClient, Client
from kit.s2 import S2, AppendInput, Endpoints, Record, Retry, SeqNum, SyncS2, Timeout
from kit.synap import AsyncSynapClient, SynapClient

from .test_security import Rude

pytestmark = pytest.mark.lab

KEY = "sk_5ecret0123456789abcdefghij"
DOWN = "http://127.0.0.1:9"
PACKAGE = str(Path(kit.__file__).parent)
MARKS = ("5ecret0123", base64.b64encode(f"user:{KEY}".encode()).decode()[6:20])


def frames_of(error, seen=None):
    """Every frame of an error and of all that it is chained to, but for those of this file."""
    seen = set() if seen is None else seen
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename != __file__:
            yield frame
    for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
        yield from frames_of(other, seen)


def check(error, what, marks=MARKS):
    assert isinstance(error, Exception), what
    assert not any(mark in text for mark in marks for text in (str(error), repr(error), str(vars(error)))), what
    for frame in frames_of(error):
        for name, value in frame.f_locals.items():
            try:
                told = repr(value)
            except Exception:  # half-made objects of ours have a repr
                assert not type(value).__module__.startswith("kit."), f"{what}: {type(value)}"
                continue
            for mark in marks:
                assert mark not in told, f"{what}: {name} in {frame.f_code.co_qualname}"
                assert mark.encode() not in (value if isinstance(value, bytes) else b""), f"{what}: {name}"
    captured = traceback.TracebackException.from_exception(error, capture_locals=True)
    here = []
    while captured is not None:
        here += [
            f"{k}={v}" for one in captured.stack if one.filename != __file__ for k, v in (one.locals or {}).items()
        ]
        captured = captured.__cause__ or captured.__context__
    assert not [text for text in here if any(mark in text for mark in marks)], what


def failing(make, what, marks=MARKS):
    try:
        made = make()
        if inspect.isawaitable(made):
            made = asyncio.run(_awaited(made))
    except Exception as error:
        check(error, what, marks)
    else:
        raise AssertionError(f"{what} did not fail: {made!r}")


async def _awaited(one):
    return await one


# --- making a client --------------------------------------------------------------------------------------------------

CONSTRUCTORS = {
    "AmdahlClient": (AmdahlClient, {"base_url": "https://host"}, "api_key"),
    "AsyncAmdahlClient": (AsyncAmdahlClient, {"base_url": "https://host"}, "api_key"),
    "ClaudeClient": (ClaudeClient, {"base_url": "https://host"}, "api_key"),
    "AsyncClaudeClient": (AsyncClaudeClient, {"base_url": "https://host"}, "api_key"),
    "SynapClient": (SynapClient, {"url": "http://host"}, "api_key"),
    "AsyncSynapClient": (AsyncSynapClient, {"url": "http://host"}, "api_key"),
    "SynapClient with a password": (SynapClient, {"url": "http://host", "username": "user"}, "password"),
    "S2": (S2, {}, "access_token"),
    "SyncS2": (SyncS2, {}, "access_token"),
    "Client": (Client, {"address": "127.0.0.1:9", "tenant_id": 1}, "api_key"),
    "AsyncClient": (AsyncClient, {"address": "127.0.0.1:9", "tenant_id": 1}, "api_key"),
    "AsyncClient.connect": (AsyncClient.connect, {"address": "127.0.0.1:9", "tenant_id": 1}, "api_key"),
    **{
        f"kit.connect {name}": (lambda _name=name, **given: kit.connect(_name, **given), more, key)
        for name, more, key in (
            ("amdahl", {"url": "https://host"}, "api_key"),
            ("claude", {"url": "https://host"}, "api_key"),
            ("synap", {"url": "http://host"}, "api_key"),
            ("synap", {"url": "http://host", "username": "user"}, "password"),
            ("s2", {}, "access_token"),
            ("kimberlite", {"address": "127.0.0.1:9", "tenant_id": 1}, "api_key"),
        )
    },
}
PLACES = ("base_url", "url", "address")


def wrongly(name):
    """The ways in which a constructor can fail."""
    _, good, key = CONSTRUCTORS[name]
    s2 = key == "access_token"
    place = next((one for one in good if one in PLACES), None)
    for value in (KEY + "\n", KEY.encode(), [KEY], {"key": KEY}, KEY + "é", f" {KEY}"):
        yield "a key that is none", {**good, key: value}
    for wrong in (
        "ftp://host",
        f"https://user:{KEY}@host",
        f"http://{KEY}@host:x",
        f"{KEY}@host",
        "http://[::1",
        5,
        "",
    ):
        if wrong == "" and "claude" in name.lower():
            continue  # the usual one
        if place:
            yield f"an address that is none ({str(wrong)[:8]})", {**good, place: wrong, key: KEY}
        elif wrong:
            yield "endpoints that are none", {key: KEY, "endpoints": wrong}
    yield "a timeout that is none", {**good, key: KEY, ("retry" if s2 else "timeout"): Retry(-1) if s2 else -1}
    yield "an argument that is none", {**good, key: KEY, "acces_token": KEY}
    yield "an argument that is none, and no key", {**good, "tokn": KEY}
    if place == "address":
        for tenant in (-1, "x", KEY[:2], 2**70):
            yield "a tenant that is none", {**good, key: KEY, "tenant_id": tenant}
        yield "a server that is down", {**good, key: KEY}
    if key == "password":
        yield "a user and a key", {**good, "password": KEY, "api_key": KEY}
        yield "a password alone", {"url": "http://host", "password": KEY}
    if "claude" in name.lower():
        for keys in ({"p": KEY + "\n"}, {"p": KEY.encode()}):
            yield "a project's key that is none", {**good, key: KEY, "project_keys": keys}
        yield "too few tries", {**good, "project_keys": {"p": KEY}, "max_retries": -1}


VARIABLES = {
    "S2_ACCESS_TOKEN": KEY,
    "KIMBERLITE_API_KEY": KEY,
    "SYNAP_API_KEY": KEY,
    "CLAUDE_API_KEY": KEY,
    "API_KEY": KEY,
    "OTHER_SECRET": KEY,
}


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_no_failure_to_make_a_client_shows_a_key(name, monkeypatch):
    for variable, value in VARIABLES.items():
        monkeypatch.setenv(variable, value)
    make = CONSTRUCTORS[name][0]
    lazy = {("AsyncClient", "a server that is down")}
    for what, given in wrongly(name):
        if (name, what) not in lazy:
            failing(lambda given=given: make(**given), f"{name}: {what}")


@pytest.mark.parametrize("service", ["amdahl", "claude", "synap", "kimberlite", "s2"])
def test_what_is_in_the_environment_is_not_shown(service, monkeypatch):
    names = {
        "amdahl": "AMDAHL_URL",
        "claude": "CLAUDE_API_URL",
        "synap": "SYNAP_URL",
        "kimberlite": "KIMBERLITE_ADDRESS",
    }
    places = (
        {service: (names[service],)} if service in names else {service: ("S2_ACCOUNT_ENDPOINT", "S2_BASIN_ENDPOINT")}
    )
    key = {"amdahl": "API_KEY", "s2": "S2_ACCESS_TOKEN"}.get(service, f"{service.upper()}_API_KEY")
    for place, value in (
        ("http://[::1", KEY),
        (f"https://user:{KEY}@host", KEY),
        ("http://host", KEY + "\n"),
        ("ftp://host", KEY),
    ):
        variables = {**VARIABLES, key: value, **dict.fromkeys(places[service], place), "KIMBERLITE_TENANT": "1"}
        failing(lambda v=variables: kit.connect(service, environment=v), f"{service} at {place[:9]}")
        with monkeypatch.context() as patched:
            for one, text in variables.items():
                patched.setenv(one, text)
            failing(lambda: kit.connect(service), f"{service} at {place[:9]}, of the process")
    failing(lambda: kit.connect(service, environment={"OTHER": KEY}, api_kye=KEY), f"{service}, a key by a wrong name")
    failing(lambda: kit.connect("amdhal", environment={"OTHER": KEY}, api_key=KEY), "no such service")


def test_a_misspelt_argument_is_told_with_the_nearest():
    with pytest.raises(
        kit.KitError, match=r"s2 has no argument token=\n  did you mean access_token=\? its arguments: access"
    ):
        kit.connect("s2", token=KEY)
    with pytest.raises(kit.KitError, match=r"kimberlite has no argument tenant=\n  did you mean tenant_id=\?"):
        kit.connect("kimberlite", address="h:1", tenant=1)
    with pytest.raises(kit.KitError, match=r"timeout=, connect_timeout="):
        kit.connect("synap", timout=1, connect_timout=2)
    with pytest.raises(kit.KitError, match=r"url= or base_url= or variable AMDAHL_URL"):
        kit.connect("amdahl", environment={}, api_key=KEY)


def test_a_half_made_client_has_a_repr():
    for name, (kind, _, _) in CONSTRUCTORS.items():
        if isinstance(kind, type):
            assert repr(object.__new__(kind)) == f"<{kind.__name__}, not made>", name


# --- the environment's credential goes to the environment's address ---------------------------------------------------


def test_a_key_of_the_environment_goes_to_its_own_address_only(monkeypatch):
    for variable in (*VARIABLES, "AMDAHL_URL", "CLAUDE_API_URL", "SYNAP_URL", "KIMBERLITE_ADDRESS", "SYNAP_RPC_URL"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in VARIABLES.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(
        kit.KitError, match="API_KEY is set, but goes only to the address in AMDAHL_URL, which is not set"
    ):
        AmdahlClient("https://elsewhere")
    monkeypatch.setenv("AMDAHL_URL", "https://named")
    with pytest.raises(kit.KitError, match="goes only to the address in AMDAHL_URL, which is https://named"):
        kit.connect("amdahl", url="https://elsewhere")
    for client in (
        AmdahlClient(),
        AmdahlClient("https://named/api/platform/v1/"),
        AsyncAmdahlClient("https://Named:443"),
    ):
        assert state_of(client).driver.settings.credential.reveal() == KEY
    assert state_of(ClaudeClient("https://elsewhere")).driver.settings.credential is None
    assert state_of(ClaudeClient()).driver.settings.credential.reveal() == KEY
    assert state_of(ClaudeClient("http://localhost:8006/")).driver.settings.credential.reveal() == KEY
    monkeypatch.setenv("SYNAP_URL", "http://named:15500")
    monkeypatch.setenv("SYNAP_RPC_URL", "synap://named:15501")
    assert state_of(SynapClient()).settings.api_key.reveal() == KEY
    assert state_of(SynapClient("synap://named:15501")).settings.api_key.reveal() == KEY
    assert state_of(SynapClient("http://elsewhere:15500")).settings.api_key is None
    assert state_of(SynapClient(username="u", password="p")).settings.api_key is None
    monkeypatch.setenv("KIMBERLITE_ADDRESS", "named:3000")
    monkeypatch.setenv("KIMBERLITE_TENANT", "7")
    for client in (AsyncClient(), AsyncClient("kimberlite://named:3000"), AsyncClient(["named:3000"])):
        assert state_of(client).settings.api_key.reveal() == KEY
    assert (state_of(AsyncClient()).settings.tenant_id, state_of(AsyncClient("elsewhere:3000")).settings.tenant_id) == (
        7,
        None,
    )
    assert state_of(AsyncClient(["named:3000", "elsewhere:3000"])).settings.api_key is None
    assert (
        state_of(S2()).transport.credential.reveal()
        == state_of(SyncS2(endpoints=Endpoints.default())).transport.credential.reveal()
        == KEY
    )
    for name in ("S2_ACCOUNT_ENDPOINT", "S2_BASIN_ENDPOINT"):
        monkeypatch.setenv(name, "http://named")
    assert state_of(S2()).transport.endpoints.account == "http://named"
    with pytest.raises(kit.KitError, match="goes only to the address in S2_ACCOUNT_ENDPOINT"):
        S2(endpoints=Endpoints.default())


def test_each_client_runs_from_the_environment_alone(lab, monkeypatch):
    for name, value in lab.env().items():
        monkeypatch.setenv(name, value)
    with (
        Client() as kimberlite,
        SynapClient() as synap,
        SyncS2() as s2,
        AmdahlClient() as amdahl,
        ClaudeClient() as claude,
    ):
        assert kimberlite.query("SELECT 1 AS n").rows
        assert synap.kv.set("from-the-environment", "x")
        assert s2.list_basins().items
        assert amdahl.get("/me")["business_id"]
        assert claude.get_usage().project_id

    async def main():
        async with AsyncClient() as kimberlite, AsyncSynapClient() as synap, S2() as s2:
            assert (await kimberlite.query("SELECT 1 AS n")).rows
            assert await synap.kv.get("from-the-environment") == "x"
            assert (await s2.list_basins()).items

    asyncio.run(main())


# --- verbs ------------------------------------------------------------------------------------------------------------

VALUES = {
    "method": "GET", "path": "/me", "prompt": "x", "prompts": ["x"], "description": "x", "name": "basin-name",
    "key": "k", "keys": ["k"], "pairs": {"k": "v"}, "value": "v", "amount": 2, "queue": "q", "payload": "x", "room": "r",
    "payloads": ["x"], "event": "e", "events": ["e"], "data": b"x", "topic": "t", "topics": ["t"], "consumer_id": "c",
    "subscriber_id": "s", "message_id": "m", "sql_text": "SELECT 1", "stream_id": "s", "tenant_id": 1, "position": 0,
    "id": "token-id", "basin": "basin-name", "stream": "s", "location": "aws:us-east-1", "ttl": 5, "prefix": "p",
    "seconds": 5, "inp": AppendInput([Record(b"x")]), "start": SeqNum(0), "inputs": [AppendInput([Record(b"x")])], "delta": 1,
}  # fmt: skip


OTHERWISE = {
    "append_batch": {"events": [b"x"]},
    "publish_many": {"events": [("e", "x")]},
    "execute": {"sql_text": "INSERT INTO t VALUES (1)"},
}


def called(verb, what, marks=MARKS):
    """Call a verb with what it needs, and take what it gives; the error that comes of it, if one does."""
    signature = inspect.signature(verb)
    given, keywords = [], {}
    for name, one in signature.parameters.items():
        if one.default is not one.empty or one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL):
            continue
        value = (VALUES | OTHERWISE.get(verb.__name__, {})).get(name)
        if name == "config":
            from kit.s2 import BasinConfig, StreamConfig

            value = StreamConfig() if "StreamConfig" in str(one.annotation) else BasinConfig()
        elif name == "scope":
            from kit.s2 import AccessTokenScope

            value = AccessTokenScope()
        elif name == "set":
            from kit.s2 import AccountMetricSet, BasinMetricSet, StreamMetricSet

            value = {
                "account_metrics": AccountMetricSet.ACCOUNT_OPS,
                "basin_metrics": BasinMetricSet.STORAGE,
                "stream_metrics": StreamMetricSet.STORAGE,
            }[verb.__name__]
        if one.kind is one.KEYWORD_ONLY:
            keywords[name] = value
        else:
            given.append(value)

    async def run():
        made = verb(*given, **keywords)
        if hasattr(made, "__aiter__"):
            async for _ in made:
                break
            return
        if inspect.isawaitable(made):
            made = await made
        if hasattr(made, "__aenter__"):
            async with made:
                pass
        elif hasattr(made, "__next__") or inspect.isgenerator(made):
            for _ in made:
                break

    try:
        asyncio.run(asyncio.wait_for(run(), 20))
    except Exception as error:
        check(error, what, marks)
        return error


QUIET = ("close", "aclose", "basin", "stream", "handle", "connect", "subscribe", "observe", "producer")


def verbs_of(client):
    for name in dir(type(client)):
        if not name.startswith("_") and name not in QUIET and callable(getattr(client, name)):
            yield name, getattr(client, name)


def clients(url, rpc):
    ends = Endpoints(url, url)
    quick = Timeout(request=timedelta(seconds=1), connection=timedelta(seconds=1))
    for kind in (SyncS2, S2):
        client = kind(KEY, endpoints=ends, retry=Retry(1), timeout=quick)
        yield client
        yield client["basin-name"]
        yield client["basin-name"].stream("s", encryption_key=base64.b64encode(b"5ecret0123" * 3 + b"xx").decode())
    for kind in (AmdahlClient, AsyncAmdahlClient):
        yield kind(url, KEY, timeout=1)
    for kind in (ClaudeClient, AsyncClaudeClient):
        yield kind(url, KEY, timeout=1, max_retries=1)
        yield kind(url, project_keys={"p": KEY}, project_id="p", timeout=1, max_retries=1)
    for kind in (SynapClient, AsyncSynapClient):
        for more in ({"api_key": KEY}, {"username": "user", "password": KEY}):
            for place in (url, rpc):
                client = kind(place, timeout=1, connect_timeout=1, **more)
                yield client
                yield from (client.kv, client.queue, client.stream, client.pubsub)
    yield AsyncClient(rpc.partition("://")[2], 1, KEY, timeout=1, max_retries=0)


def all_failing(client, how, marks=MARKS, without=()):
    """Call every verb of a client; those that failed, none of which showed a key."""
    found = []
    for name, verb in verbs_of(client):
        if name not in without and called(verb, f"{type(client).__name__}.{name}, {how}", marks) is not None:
            found.append(name)
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["closed", "refusal", "garbage"])
def test_no_failing_verb_shows_a_key(how):
    server = Rude(how)
    if how == "closed":
        server.close()
    asked = clients(f"http://127.0.0.1:{server.port}", f"synap://127.0.0.1:{server.port}")
    try:
        with ThreadPoolExecutor(12) as pool:
            assert sum(pool.map(lambda client: len(all_failing(client, how)), asked)) > 250
    finally:
        server.close()


def test_no_failing_verb_of_a_blocking_kimberlite_client_shows_a_key():
    lab = kit.Lab("kimberlite", join=False, demo=False)
    env = lab.env()
    key = env["KIMBERLITE_API_KEY"]
    client = Client(env["KIMBERLITE_ADDRESS"], int(env["KIMBERLITE_TENANT"]), key, timeout=1, max_retries=0)
    lab.close()
    assert len(all_failing(client, "server gone", (key[3:15],))) > 12
    client.close()


@pytest.mark.filterwarnings("ignore")
def test_no_failing_verb_of_an_explorer_shows_a_key():
    lab = kit.Lab(join=False, demo=False)
    env, token = lab.env(), lab.env()["S2_ACCESS_TOKEN"]
    marks = tuple(env[name][6:18] for name in ("S2_ACCESS_TOKEN", "SYNAP_API_KEY", "API_KEY", "CLAUDE_API_KEY"))
    explorers = [lab.s2, lab.kimberlite, lab.synap, lab.claude, lab.amdahl]
    assert token
    os.kill(lab._described["pid"], signal.SIGTERM)
    while lab.status()["state"].eq("up").any():
        time.sleep(0.1)
    quiet = ("live", "browse", "watch_queue", "run", "read_many")
    with ThreadPoolExecutor(5) as pool:
        failed = pool.map(lambda explorer: len(all_failing(explorer, "lab gone", marks, quiet)), explorers)
        assert sum(failed) > 20
    assert called(lambda: lab.faults("s2", 503), "lab.faults", marks) is not None
    shown = repr(vars(lab)) + str(vars(lab)) + repr(lab) + lab._repr_html_()
    assert not any(mark in shown for mark in marks)
    lab.close()
