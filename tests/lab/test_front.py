"""`kit.connect`, typed and by profile; `kit profiles`; and the lab's variables in this process."""

import importlib
import inspect
import os
import pydoc
import stat
import subprocess
import sys
from typing import get_overloads

import pytest

import kit
from kit.amdahl import AmdahlClient
from kit.front import EXPLORERS
from kit.kimberlite import Client
from kit.lab.command import main
from kit.notebook import profiles
from kit.synap import SynapClient

pytestmark = pytest.mark.lab


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "kit" / "profiles.toml"


# --- connect ---------------------------------------------------------------------------------------------------------


def test_each_service_has_its_own_arguments():
    typed = {}
    for one in get_overloads(kit.connect):
        service = inspect.signature(one).parameters["service"].annotation
        names = {
            name
            for name, parameter in inspect.signature(one).parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD
        }
        typed[service] = names - {"service", "profile", "environment"}
    for service, module in EXPLORERS.items():
        loaded = importlib.import_module(module)
        takes = inspect.signature(loaded.connect).parameters
        expected = set(takes) - {"environment", "options"}
        if "options" in takes:
            expected |= set(inspect.signature(loaded.CLIENT).parameters)
        assert typed[f"Literal[{service!r}]"] == expected, service


def test_each_service_is_known_wherever_services_are_listed():
    from kit.front import SMALL_QUESTIONS
    from kit.lab.services import NAMES
    from kit.notebook.profiles import FIELDS

    assert set(EXPLORERS) == set(NAMES) == set(FIELDS) == set(SMALL_QUESTIONS)
    assert all(hasattr(kit.Lab, name) and hasattr(kit, name) for name in EXPLORERS)


def test_tab_and_help_list_the_arguments():
    names = set(inspect.signature(kit.connect).parameters)
    assert {"profile", "access_token", "endpoints", "url", "api_key", "tenant_id", "rpc_url", "max_cost"} <= names
    page = pydoc.render_doc(kit.connect, renderer=pydoc.plaintext)
    assert "access_token, endpoints" in page and "profile" in page


def test_every_argument_that_is_listed_is_taken():
    kit.connect("claude", url="http://127.0.0.1:1", api_key="cc_0", retry_delay=0.5).close()
    with pytest.raises(kit.KitError, match=r"s2 has no argument token=") as caught:
        kit.connect("s2", token="x")
    assert "access_token=" in str(caught.value)


# --- profiles --------------------------------------------------------------------------------------------------------


@pytest.fixture
def prod(home, lab, monkeypatch, capsys):
    """A profile of all services, with each way to a credential."""
    env = lab.env()
    monkeypatch.setenv("PROD_KEY", env["CLAUDE_API_KEY"])
    key = home.parent / "key.txt"
    key.parent.mkdir()
    key.write_text(env["S2_ACCESS_TOKEN"] + "\n")
    monkeypatch.setenv("PROD_AMDAHL", env["API_KEY"])
    monkeypatch.setenv("PROD_SYNAP", env["SYNAP_PASSWORD"])
    monkeypatch.setenv("PROD_KIMBERLITE", env["KIMBERLITE_API_KEY"])
    command = f"command:{sys.executable} -c \"print(open('{key}').read())\""
    for fields in (
        [
            "s2",
            f"account_endpoint={env['S2_ACCOUNT_ENDPOINT']}",
            f"basin_endpoint={env['S2_BASIN_ENDPOINT']}",
            f"access_token={command}",
        ],
        ["claude", f"url={env['CLAUDE_API_URL']}", "api_key=variable:PROD_KEY", "timeout=7"],
        ["amdahl", f"url={env['AMDAHL_URL']}", "api_key=variable:PROD_AMDAHL"],
        ["synap", f"url={env['SYNAP_URL']}", f"username={env['SYNAP_USERNAME']}", "password=variable:PROD_SYNAP"],
        ["kimberlite", f"address={env['KIMBERLITE_ADDRESS']}", "tenant_id=1", "api_key=variable:PROD_KIMBERLITE"],
    ):
        assert main(["profiles", "add", "prod", *fields]) == 0
    capsys.readouterr()
    return home


def test_a_profile_leads_to_each_service(prod):
    with kit.connect("s2", profile="prod") as s2:
        assert "demo-shop" in list(s2)
    with kit.connect("claude", profile="prod") as claude:
        assert claude.client.timeout == 7 and claude.client.get_usage("day")
    with kit.connect("synap", profile="prod") as synap:
        assert synap.client.kv.exists("none") is False
    with kit.connect("kimberlite", profile="prod") as kimberlite:
        assert len(kimberlite.tables()) > 1
    with kit.connect("amdahl", profile="prod", timeout=3) as amdahl:
        assert amdahl.client.timeout == 3 and amdahl.client.get("/me")


def test_the_file_is_the_users_alone_and_holds_no_credential(prod, lab):
    assert stat.S_IMODE(prod.stat().st_mode) == 0o600
    text = prod.read_text()
    assert not any(value in text for name, value in lab.env().items() if name.endswith(("KEY", "TOKEN", "PASSWORD")))
    prod.chmod(0o644)
    with pytest.raises(kit.KitError, match="chmod 600"):
        kit.connect("s2", profile="prod")


def test_profiles_are_listed_and_tried_by_a_command(prod, capsys):
    assert main(["profiles"]) == 0
    listed = capsys.readouterr().out
    assert "variable:PROD_KEY" in listed and len(listed.splitlines()) == 5
    assert main(["profiles", "test", "prod"]) == 0
    assert capsys.readouterr().out.count("good, ") == 5
    os.environ["PROD_KEY"] = "cc_wrong"
    assert main(["profiles", "test", "prod", "claude"]) == 1
    assert "status 401" in capsys.readouterr().out
    assert main(["profiles", "test", "none"]) == 1


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (["s2", "access_token=sk_live_1"], "does not belong in the file"),
        (["s2", "acess_token=variable:X"], "did you mean 'access_token'"),
        (["s3", "url=http://x"], "no service is called 's3'"),
    ],
)
def test_what_cannot_be_a_profile_is_refused(home, fields, told, capsys):
    assert main(["profiles", "add", "prod", *fields]) == 2
    said = capsys.readouterr().err
    assert told in said and "sk_live_1" not in said
    assert not home.exists()


def test_errors_of_profiles_say_what_to_do(home, capsys):
    with pytest.raises(kit.KitError, match=r"there is no profile 'prod'[\s\S]*kit profiles add prod s2"):
        kit.connect("s2", profile="prod")
    for source, told in (
        ("variable:NOT_SET_ANYWHERE", "NOT_SET_ANYWHERE is not set"),
        ("command:/no/such/program", "could not be run"),
        (f"command:{sys.executable} -c \"print('sk_live_2'); raise SystemExit(3)\"", "ended with status 3"),
    ):
        profiles.keep("prod", "s2", {"access_token": source})
        with pytest.raises(kit.KitError, match=told) as caught:
            kit.connect("s2", profile="prod")
        assert "sk_live_2'" not in str(caught.value).replace(source.partition(":")[2], "")
    with pytest.raises(kit.KitError, match="has no entry for synap"):
        kit.connect("synap", profile="prod")
    with pytest.raises(kit.KitError, match=r"argument api_key= or variable API_KEY, or a profile"):
        kit.connect("amdahl", environment={"AMDAHL_URL": "http://127.0.0.1:1"})


def test_any_name_of_a_profile_can_be_written_and_read_again(home):
    profiles.keep("café", "amdahl", {"url": "http://127.0.0.1:1"})
    home.write_text(home.read_text() + '["my own".amdahl]\nurl = "http://127.0.0.1:2"\n')
    profiles.keep("prod", "amdahl", {"url": "http://127.0.0.1:3"})
    assert [name for name, _ in profiles.read()] == ["café", "my own", "prod"]


def test_a_profile_takes_no_credential_of_the_environment(home, lab, monkeypatch):
    for name, value in lab.env().items():
        monkeypatch.setenv(name, value)
    profiles.keep("prod", "amdahl", {"url": "http://127.0.0.1:1"})
    with pytest.raises(kit.KitError, match="needs an API key"):
        kit.connect("amdahl", profile="prod")


# --- the lab's variables in this process -----------------------------------------------------------------------------


def test_a_lab_is_used_on_request_and_until_it_is_closed(lab, monkeypatch):
    for name in lab.env():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("API_KEY", "mine")
    with kit.Lab("amdahl", "synap", "kimberlite", join=False) as own:
        assert os.environ["API_KEY"] == "mine" and "SYNAP_URL" not in os.environ
        assert own.use() is own
        with AmdahlClient() as client:
            assert client.get("/me")
        with SynapClient() as client:
            assert client.kv.exists("none") is False
        with Client() as client:
            assert client.list_tables()
        monkeypatch.setenv("SYNAP_API_KEY", "changed since")
    assert os.environ["API_KEY"] == "mine"
    assert {name for name in lab.env() if name in os.environ} == {"API_KEY", "SYNAP_API_KEY"}


def test_loading_the_extension_sets_nothing(lab):
    code = (
        "import os; before = dict(os.environ); from IPython.core.interactiveshell import InteractiveShell;"
        "shell = InteractiveShell.instance(); shell.run_line_magic('load_ext', 'kit');"
        "assert not any(n in os.environ for n in ('SYNAP_URL', 'AMDAHL_URL'));"
        "lab = shell.run_line_magic('lab', 'use');"
        "assert os.environ['SYNAP_URL'] == lab.env()['SYNAP_URL'];"
        "shell.run_line_magic('lab', 'stop'); assert 'SYNAP_URL' not in os.environ; print('good')"
    )
    clean = {name: value for name, value in os.environ.items() if name not in lab.env()}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, timeout=60)
    assert "good" in done.stdout, done.stderr


def test_a_small_read_loads_only_what_it_needs(lab):
    code = (
        "import sys, kit; frame = kit.connect('s2')['demo-shop']['orders'].read(limit=100); assert len(frame) == 100;"
        "print([name for name in ('pyarrow.dataset', 'pyarrow.parquet', 'pyarrow.fs', 'matplotlib', 'ipywidgets',"
        " 'duckdb', 'dask', 'polars') if name in sys.modules])"
    )
    env = {**os.environ, **lab.env()}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "[]", run.stderr
