"""What the source must not hold: ways to run what a service sent, secrets where they show, certificates unchecked."""

import ast
import pickle
from pathlib import Path

import httpx
import pytest

import kit
from kit.core.http.exchange import Settings
from kit.core.http.http1 import origin_of
from kit.core.http.proxies import proxy_of
from kit.core.secrets import Secret

PACKAGE = Path(kit.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
KEY = "sk_5ecret0123456789abcdef"

FORBIDDEN = {
    "eval",
    "exec",
    "__import__",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "marshal.load",
    "marshal.loads",
    "shelve.open",
    "cloudpickle.loads",
    "yaml.load",
    "yaml.unsafe_load",
    "os.system",
    "os.popen",
    "jsonpickle.decode",
    "pandas.read_pickle",
    "pd.read_pickle",
    "numpy.load",
    "np.load",
    "tempfile.mktemp",
    "ssl._create_unverified_context",
}
REASONS = {
    ("engines/joining.py", "eval"): "a lambda of a constant text, in a space that holds the tables as its variables",
}
"""Where one of these stands after all, and why."""


def calls_in(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_runs_what_was_sent(path):
    for name, node in calls_in(path):
        where = (str(path.relative_to(PACKAGE)), name)
        assert name not in FORBIDDEN or where in REASONS, f"{where} in line {node.lineno}"
        for given in node.keywords:
            said = ast.unparse(given.value)
            assert (given.arg, said) != ("shell", "True"), f"{where} in line {node.lineno}"
            assert (given.arg, said) != ("verify", "False"), f"{where} in line {node.lineno}"
            assert (given.arg, said) != ("follow_redirects", "True"), f"{where} in line {node.lineno}"
            assert (given.arg, said) != ("allow_pickle", "True"), f"{where} in line {node.lineno}"


def test_the_exceptions_are_still_there():
    found = {(str(path.relative_to(PACKAGE)), name) for path in SOURCES for name, _ in calls_in(path)}
    assert set(REASONS) <= found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_html_is_made_in_few_places(path):
    """Whoever writes markup by hand may forget to escape: it is made by `core.html` and what draws for it."""
    makers = {
        "claude/types.py",
        "lab/claude/model/writer.py",
        "lab/claude/routes/described.py",
        "core/html.py",
        "core/progress.py",
        "core/log/profiling/profile_page.py",
        "core/tables/difference.py",
        "live",
        "claude/explore/live.py",
        "lab/jupyter",
    }
    name = str(path.relative_to(PACKAGE))
    if any(name == maker or name.startswith(f"{maker}/") for maker in makers):
        return
    texts = [
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.JoinedStr | ast.Constant) and isinstance(getattr(node, "value", None), str)
    ]
    for text in texts:
        assert not any(mark in text for mark in ("<td", "<tr", "<div", "<span", "<a href", "<script")), (
            name,
            text[:80],
        )


def test_proxies_are_for_what_is_elsewhere(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://user:pass@proxy.example:3128")
    monkeypatch.setenv("all_proxy", "proxy.example:1080")
    monkeypatch.setenv("no_proxy", "spared.example, .below.example, 10.0.0.0/8, [::2]:443, https://exact.example, x:81")
    for here in ("http://127.0.0.1:1", "http://localhost", "http://[::1]:3"):
        assert proxy_of(origin_of(here)) is None
    for elsewhere in ("http://127.example.com", "http://localhost.example.com"):
        assert proxy_of(origin_of(elsewhere)) == "http://proxy.example:1080"
    proxy = httpx.Proxy(proxy_of(origin_of("https://host")))
    assert (proxy.url, proxy.raw_auth) == ("http://proxy.example:3128", (b"user", b"pass"))
    for spared in (
        "https://spared.example",
        "http://a.spared.example:8080",
        "https://a.below.example",
        "https://10.1.2.3",
        "https://exact.example",
        "http://x:81",
    ):
        assert proxy_of(origin_of(spared)) is None, spared
    for not_spared in (
        "https://unspared.example",
        "https://below.example",
        "https://11.1.2.3",
        "https://a.exact.example",
        "http://exact.example",
        "http://x:82",
    ):
        assert proxy_of(origin_of(not_spared)) is not None, not_spared
    monkeypatch.setenv("no_proxy", "*")
    assert proxy_of(origin_of("https://host")) is None


@pytest.mark.parametrize("name", ["spared.example", ".below.example", "10.0.0.1", "localhost", "a.b:8080", "*"])
@pytest.mark.parametrize(
    "url", ["http://spared.example", "https://x.below.example", "http://10.0.0.1:3", "http://a.b:8080"]
)
def test_proxies_are_read_as_httpx_reads_them(monkeypatch, name, url):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:2")
    monkeypatch.setenv("no_proxy", name)
    with httpx.Client() as client:
        # What httpx itself takes: its plain transport, or that of one of the proxies.
        plain = client._transport_for_url(httpx.URL(url)) is client._transport
    assert (proxy_of(origin_of(url)) is None) == plain


def made():
    """A client of each kind, with a key."""
    from kit.amdahl import AmdahlClient, AsyncAmdahlClient
    from kit.claude import AsyncClaudeClient, ClaudeClient
    from kit.s2 import S2, SyncS2
    from kit.synap import AsyncSynapClient, SynapClient

    yield AmdahlClient("https://host", KEY)
    yield AsyncAmdahlClient("https://host", KEY)
    yield ClaudeClient("https://host", KEY)
    yield AsyncClaudeClient("https://host", KEY, project_keys={"p": KEY})
    yield SyncS2(KEY)
    yield S2(KEY)
    yield S2(KEY)["basin-name"].stream("s", encryption_key=b"0" * 32)
    yield SynapClient("http://host", api_key=KEY)
    yield AsyncSynapClient("synap://host", username="user", password=KEY)
    yield Settings("x", "https://host", Secret(KEY))


@pytest.mark.parametrize("client", list(made()), ids=lambda client: type(client).__name__)
def test_no_client_shows_or_pickles_its_key(client):
    for shown in (repr(client), str(client), f"{client}", str(getattr(client, "__dict__", ""))):
        assert KEY not in shown
    try:
        data = pickle.dumps(client)
    except Exception as error:
        data = str(error).encode()
    assert KEY.encode() not in data


def wrong():
    """Each way to make a client, with a key and something else that is refused."""
    from kit.amdahl import AmdahlClient
    from kit.claude import ClaudeClient
    from kit.kimberlite import AsyncClient, Client
    from kit.s2 import SyncS2
    from kit.synap import SynapClient

    yield lambda: AmdahlClient("https://host", KEY, timeout=-1)
    yield lambda: ClaudeClient("https://host", KEY, max_retries=-1)
    yield lambda: ClaudeClient("https://host", project_keys={"p": KEY}, max_retries=-1)
    yield lambda: SyncS2(KEY, endpoints="nowhere")
    yield lambda: SynapClient("http://host", api_key=KEY, timeout=-1)
    yield lambda: SynapClient("http://host", username="u", password=KEY, timeout=-1)
    yield lambda: Client("host", 1, KEY, timeout=-1)
    yield lambda: AsyncClient("host", 1, KEY, timeout=-1)
    yield lambda: kit.connect("amdahl", url="https://host", api_key=KEY, timeout=-1)
    yield lambda: kit.connect("s2", access_token=KEY, endpoints="nowhere")


@pytest.mark.parametrize("make", list(wrong()))
def test_what_is_refused_leaves_no_key_in_a_variable(make):
    with pytest.raises(Exception) as caught:
        make()
    found = caught.value.__traceback__
    while found is not None:
        code = found.tb_frame.f_code
        if code.co_filename != __file__:
            for value in found.tb_frame.f_locals.values():
                try:
                    told = repr(value)
                except AttributeError:
                    continue  # a client that is only half made
                assert KEY not in told, (code.co_qualname, found.tb_lineno)
        found = found.tb_next


@pytest.mark.parametrize(
    "address", ["ftp://user:{key}@host", "https://user:{key}@host", "http://{key}@host", "https://:{key}@host:x"]
)
@pytest.mark.parametrize("service", ["amdahl", "claude", "synap", "kimberlite"])
def test_an_address_that_holds_a_password_is_refused_without_saying_it(service, address):
    url = address.format(key=KEY)
    given = {"kimberlite": {"address": url, "tenant_id": 1}}.get(service, {"url": url})
    with pytest.raises(kit.KitError) as caught:
        kit.connect(service, environment={}, api_key="k", **given)
    assert KEY not in str(caught.value) and KEY not in repr(caught.value)
