"""The `kit` command as a shell sees it: what it prints, where, and with which status."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kit.lab import notebook_copies
from tests.home import living_in, own_environment

pytestmark = pytest.mark.lab


@pytest.fixture
def environment(tmp_path):
    return own_environment(tmp_path)


@pytest.fixture
def run(environment, tmp_path):
    """Runs the command to its end."""

    def run_(*arguments, status=0, **more):
        done = subprocess.run(
            [sys.executable, "-m", "kit", *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            **more,
        )
        assert done.returncode == status, done
        assert "Traceback" not in done.stderr
        return done

    return run_


@contextmanager
def hanging_up() -> Iterator[None]:
    """What is started meanwhile ends when its terminal hangs up, also where the tests run under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def serving(environment, *arguments) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`kit serve`, up; the process and the variables that it printed."""
    with hanging_up():
        child = subprocess.Popen(
            [sys.executable, "-m", "kit", "serve", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        child.stderr.readline()  # what is told to the person comes after the variables
        os.set_blocking(child.stdout.fileno(), False)
        yield child, dict(re.findall(r"^export (\w+)=(\S+)$", child.stdout.read(), re.M))
    finally:
        child.kill()
        child.communicate()


def python(code, environment, **more):
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        **more,
    ).stdout.strip()


def test_help_is_quick_and_names_the_commands(run):
    started = time.perf_counter()
    said = run("--help").stdout
    assert time.perf_counter() - started < 1
    for command in ("lab", "serve", "status", "env"):
        assert re.search(rf"^    {command} ", said, re.M)


def test_help_needs_no_http_client_and_no_frames(environment):
    loaded = python(
        """
        import sys
        from kit.lab.command import main
        try:
            main(["--help"])
        except SystemExit:
            pass
        print(sorted({"httpx", "pandas", "starlette", "jupyterlab", "asyncio"} & set(sys.modules)))
        """,
        environment,
    )
    assert loaded.splitlines()[-1] == "[]"


def test_version(run):
    import kit

    assert run("--version").stdout == f"kit {kit.__version__}\n"


def test_status_of_nothing(run):
    done = run("status", status=1)
    assert done.stdout == ""
    assert "kit serve" in done.stderr
    assert "kit serve" in run("env", status=1).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_serve_prints_variables_until_it_is_ended(environment, run, tmp_path, number):
    with serving(environment) as (child, variables):
        assert set(variables) == {
            "AMDAHL_URL",
            "API_KEY",
            "CLAUDE_API_KEY",
            "CLAUDE_API_URL",
            "KIMBERLITE_ADDRESS",
            "KIMBERLITE_API_KEY",
            "KIMBERLITE_METRICS_URL",
            "KIMBERLITE_TENANT",
            "S2_ACCESS_TOKEN",
            "S2_ACCOUNT_ENDPOINT",
            "S2_BASIN_ENDPOINT",
            "SYNAP_API_KEY",
            "SYNAP_PASSWORD",
            "SYNAP_USERNAME",
            "SYNAP_RPC_URL",
            "SYNAP_URL",
        }
        lines = run("status").stdout
        for line, service in zip(lines.splitlines(), ("s2", "kimberlite", "synap", "claude", "amdahl"), strict=True):
            assert re.fullmatch(rf"{service} +up +[\d.]+ ms +\w+://127\.0\.0\.1:\d+ +process \d+ +data temporary", line)
        assert variables["AMDAHL_URL"] in lines
        assert variables["S2_BASIN_ENDPOINT"] in lines
        assert variables["API_KEY"] not in lines
        assert variables["S2_ACCESS_TOKEN"] not in lines
        assert run("env").stdout.splitlines() == [f"export {name}={value}" for name, value in variables.items()]
        child.send_signal(number)
        assert child.wait(20) == 0
    run("status", status=1)
    assert not living_in(tmp_path)


def test_what_is_served_is_joined_and_left_running(environment, run):
    with serving(environment) as (_, variables):
        said = python(
            """
            import kit
            with kit.Lab() as lab:
                print(lab.joined, lab.url("amdahl"), lab.amdahl.query("select count(*) as n from interactions")["n"][0])
            """,
            environment,
        )
        joined, url, rows = said.split()
        assert (joined, url) == ("True", variables["AMDAHL_URL"])
        assert int(rows) >= 50_000
        run("status")


@contextmanager
def opened(environment, *arguments) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`kit lab`, up, and what it told; interrupted in the end."""
    child = subprocess.Popen(
        [sys.executable, "-m", "kit", "lab", "--no-browser", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with child:
        said = ""
        while "To stop" not in said:
            line = child.stdout.readline()
            assert line, said
            said += line
        yield child, said
        child.send_signal(signal.SIGINT)
    assert child.returncode == 0


def test_lab_joins_what_is_served_and_leaves_it_running(environment, run, tmp_path):
    with serving(environment) as (_, variables):
        with opened(environment, "--port", "0", "--notebooks", str(tmp_path / "mine")) as (_, said):
            assert variables["AMDAHL_URL"] in said
            assert variables["API_KEY"] not in said
            assert "joined" in said
            assert str(tmp_path / "mine") in said
        assert variables["AMDAHL_URL"] in run("status").stdout


def test_a_second_lab_joins_the_first_and_passes_over_what_a_crash_has_left(environment, run, tmp_path):
    """One is on the port that JupyterLab likes best, or on the next; both show the tour, on the same servers."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / "run" / "kit"
    left.mkdir(mode=0o700)
    described = {"pid": gone.pid, "version": "0", "demo": True, "path": None, "services": {}, "token": "x"}
    (left / f"lab-{gone.pid}.json").write_text(json.dumps({**described, "control": "http://127.0.0.1:1"}))

    with opened(environment) as (_, first):
        assert f"lab-{gone.pid}.json" not in [path.name for path in left.glob("lab-*.json")]
        assert "joined" not in first
        assert len(first.splitlines()) < 20  # one screen
        with opened(environment) as (_, second):
            pages = [re.search(r"JupyterLab +(http\S+?)\?token=", said)[1] for said in (first, second)]
            assert pages[0] != pages[1]
            assert all(page.endswith("/lab/tree/00-tour.ipynb") for page in pages)
            servers = [re.findall(r"\w+://127\.0\.0\.1:\d+", said) for said in (first, second)]
            assert len(servers[0]) == 5
            assert servers[0] == servers[1]
            assert "joined, as they were running already" in second
        run("status")  # the second has left the first one's servers up
    run("status", status=1)
    assert not living_in(tmp_path)


STALE = (
    "S2_ACCESS_TOKEN",
    "KIMBERLITE_API_KEY",
    "SYNAP_API_KEY",
    "SYNAP_PASSWORD",
    "SYNAP_USERNAME",
    "CLAUDE_API_KEY",
    "API_KEY",
)


def test_a_token_of_an_earlier_lab_is_told_with_the_way_out(lab):
    import kit

    environment = {name: value[:-6] + "000000" if name in STALE else value for name, value in lab.env().items()}
    ask = {
        "s2": lambda found: found.basins(),
        "kimberlite": lambda found: found.streams(),
        "synap": lambda found: found.keys(),
        "claude": lambda found: found.usage(),
        "amdahl": lambda found: found.me(),
    }
    for service, question in ask.items():
        with pytest.raises(kit.KitError) as caught:
            question(kit.connect(service, environment=environment))
        shown = "\n".join(caught.value._render_traceback_())
        assert re.search(r"api_key=|access_token=", shown), shown
        assert not any(lab.env()[name] in shown or environment[name] in shown for name in STALE)


def test_the_variables_point_any_client_at_it(environment):
    """Through a shell, as they are meant to be used."""
    with serving(environment):
        code = "from kit.amdahl import AmdahlClient; import os; print(sorted(AmdahlClient(os.environ['AMDAHL_URL'], os.environ['API_KEY']).get('/me'))[0])"
        shell = f'eval "$({sys.executable} -m kit env)" && {sys.executable} -c "{code}"'
        done = subprocess.run(["sh", "-c", shell], env=environment, capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == "business_id", done.stderr


def test_serve_on_a_port_and_a_folder(environment, tmp_path, run):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path / "data here"
    with serving(environment, "--port", f"amdahl={port}", "--path", str(folder), "--no-demo") as (child, variables):
        assert variables["AMDAHL_URL"] == f"http://127.0.0.1:{port}"
        assert any(folder.iterdir())
        assert str(folder) in run("status").stdout
        child.terminate()
        assert child.wait(20) == 0
    assert any(folder.iterdir())  # kept


def test_serve_on_a_port_that_is_taken(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = run("serve", "--port", f"amdahl={port}", status=1).stderr
    assert f"amdahl={port}" in said
    assert "--port" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serve", "--services", "nothing"], "no service is called 'nothing'"),
        (["lab", "--services", "amdahl,nothing"], "no service is called 'nothing'"),
        (["serve", "--port", "amdahl"], "not SERVICE=PORT"),
        (["serve", "--port", "amdahl=x"], "'x' is not a port"),
        (["serve", "--port", "amdahl=70000"], "'70000' is not a port"),
        (["serve", "--port", "nothing=1"], "'nothing'"),
        (["lab", "--port", "-1"], "--port"),
        (["nothing"], "invalid choice"),
        ([], "required"),
    ],
)
def test_wrong_arguments(run, arguments, told):
    assert told in run(*arguments, status=2).stderr


@pytest.mark.parametrize("command", ["lab", "serve"])
def test_a_data_folder_that_cannot_be(run, tmp_path, command):
    (tmp_path / "file").write_text("")
    said = run(command, "--path", str(tmp_path / "file" / "below"), status=1).stderr
    assert "--path" in said
    assert len(said.strip().splitlines()) == 2


def test_a_notebooks_folder_that_cannot_be(run, tmp_path):
    (tmp_path / "file").write_text("")
    said = run("lab", "--notebooks", str(tmp_path / "file"), status=1).stderr
    assert "--notebooks" in said
    assert len(said.strip().splitlines()) == 2


def test_lab_on_a_port_that_is_taken(run, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("lab", "--no-browser", "--port", str(port), status=1)
    assert done.stdout == ""
    assert str(port) in done.stderr
    assert "--port" in done.stderr
    assert not living_in(tmp_path)


@pytest.mark.parametrize(("command", "missing"), [("lab", "jupyterlab"), ("lab", "uvicorn"), ("serve", "starlette")])
def test_without_the_extras(environment, run, tmp_path, command, missing):
    """As where only the core is installed: one sentence that names what to install."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text(
        textwrap.dedent(f"""
        import sys
        from importlib.machinery import PathFinder

        class Without(PathFinder):
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                return None if name.partition(".")[0] == {missing!r} else super().find_spec(name, path, target)

        sys.meta_path[sys.meta_path.index(PathFinder)] = Without
        """)
    )
    environment["PYTHONPATH"] = str(tmp_path / "without")
    said = run(command, status=1).stderr
    assert 'pip install "kit-notebook[lab]"' in said
    assert len(said.strip().splitlines()) == 2
    assert not living_in(tmp_path)


def test_copies_keep_what_the_user_changed(tmp_path):
    source, folder = tmp_path / "source", tmp_path / "folder"
    (source / "data").mkdir(parents=True)
    (source / ".ipynb_checkpoints").mkdir()
    for name in ("a.ipynb", "b.ipynb", "data/c.csv", ".ipynb_checkpoints/a.ipynb"):
        (source / name).write_text("1")

    first = notebook_copies.refresh(folder, source)
    assert first.notebooks == ["a.ipynb", "b.ipynb"]
    assert (folder / "data" / "c.csv").read_text() == "1"
    assert not (folder / ".ipynb_checkpoints").exists()

    (folder / "a.ipynb").write_text("mine")
    (folder / "own.ipynb").write_text("own")
    assert notebook_copies.refresh(folder, source).kept == []  # nothing newer was held back

    for name in ("a.ipynb", "b.ipynb", "data/c.csv"):
        (source / name).write_text("2")
    second = notebook_copies.refresh(folder, source)
    assert second.kept == ["a.ipynb"]
    assert (folder / "a.ipynb").read_text() == "mine"
    assert (folder / "b.ipynb").read_text() == "2"
    assert (folder / "data" / "c.csv").read_text() == "2"
    assert (folder / "own.ipynb").read_text() == "own"

    (folder / "a.ipynb").rename(folder / "mine.ipynb")
    assert notebook_copies.refresh(folder, source).kept == []
    assert (folder / "a.ipynb").read_text() == "2"
    assert (folder / "mine.ipynb").read_text() == "mine"


def test_copies_that_were_only_run_are_replaced(tmp_path):
    source, folder = tmp_path / "source", tmp_path / "folder"
    source.mkdir()

    def notebook(code, **more):
        cell = {"cell_type": "code", "source": code, "outputs": more.get("outputs", []), "metadata": {}}
        return json.dumps({"cells": [cell], "metadata": more.get("metadata", {}), "nbformat": 4, "nbformat_minor": 5})

    (source / "a.ipynb").write_text(notebook("1"))
    notebook_copies.refresh(folder, source)
    ran = notebook(["1"], metadata={"language_info": {}}, outputs=[{"output_type": "stream", "text": "x"}])
    (folder / "a.ipynb").write_text(ran)
    notebook_copies.refresh(folder, source)
    assert (folder / "a.ipynb").read_text() == ran  # there is nothing newer

    (source / "a.ipynb").write_text(notebook("2"))
    assert notebook_copies.refresh(folder, source).kept == []
    assert (folder / "a.ipynb").read_text() == notebook("2")


def test_copies_that_were_there_before_the_ledger(tmp_path):
    """A ledger that was lost or damaged costs no work of the user's."""
    source, folder = tmp_path / "source", tmp_path / "folder"
    for place in (source, folder):
        place.mkdir()
    (source / "a.ipynb").write_text("1")
    (folder / "a.ipynb").write_text("mine")
    (folder / ".copied.json").write_text("{damaged")
    assert notebook_copies.refresh(folder, source).kept == ["a.ipynb"]
    assert (folder / "a.ipynb").read_text() == "mine"
