"""What Binder would build, built here: the environment, `postBuild`, `start`, and the tour in it.

It installs everything anew, which takes minutes, so it runs on request: KIT_BINDER=1 pytest tests/lab/test_binder.py
What can be seen without installing is always looked at.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import nbformat
import pytest

from tests.home import own_environment

pytestmark = pytest.mark.lab
ROOT = Path(__file__).parents[2]
BINDER = ROOT / "binder"
GIGABYTE = 1_000_000_000


def requirements() -> dict[str, str]:
    """Names and bounds, without what only the machine that builds needs to know."""
    lines = [line.split("#")[0].strip() for line in (BINDER / "requirements.txt").read_text().splitlines()]
    found = [re.fullmatch(r"([\w.-]+(?:\[[\w,]+\])?)(.*)", line) for line in lines if line]
    assert all(found)
    return {match[1]: match[2] for match in found if match}


def test_it_installs_this_package_with_what_the_lab_needs():
    assert ".[lab]" in requirements()


def test_versions_are_bounded():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["lab"], *extras["sql"], *extras["fast"]]
    names = {re.match(r"[\w.-]+", line)[0] for line in wanted}
    for name, bound in requirements().items():
        if name != ".[lab]":
            assert name in names, f"{name} is nothing that the package needs"
            assert bound.startswith("<")


def test_the_python_is_one_that_the_package_takes():
    version = re.fullmatch(r"python-(3\.\d+)\n", (BINDER / "runtime.txt").read_text())[1]
    assert tuple(map(int, version.split("."))) >= (3, 11)


@pytest.mark.skipif(os.name != "posix", reason="Binder is Linux")
@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_a_script_may_be_run_and_parses(name):
    assert os.access(BINDER / name, os.X_OK)
    subprocess.run(["bash", "-n", BINDER / name], check=True)


@pytest.mark.skipif(os.environ.get("KIT_BINDER") is None, reason="takes minutes: set KIT_BINDER=1")
@pytest.mark.skipif(sys.platform != "linux", reason="Binder is Linux")
@pytest.mark.timeout(900)
def test_the_environment_is_built_and_runs_the_tour(tmp_path):
    house = tmp_path / "repository"  # Binder works in a clone, of what is committed
    house.mkdir()
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], cwd=house, input=archive, check=True)

    environment = own_environment(tmp_path / "home")
    for name in [name for name in environment if name.startswith(("PYTHON", "VIRTUAL_ENV"))]:
        del environment[name]
    environment["PIP_CACHE_DIR"] = os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))
    python = tmp_path / "env" / "bin" / "python"
    environment["PATH"] = f"{python.parent}:{environment['PATH']}"

    def run(*command: object, **more: object) -> str:
        done = subprocess.run(
            [*map(str, command)], cwd=house, env=environment, capture_output=True, text=True, timeout=600, **more
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    started = time.monotonic()
    run(sys.executable, "-m", "venv", python.parents[1])
    run(python, "-m", "pip", "install", "--quiet", "-r", BINDER.name + "/requirements.txt")
    run(f"{BINDER.name}/postBuild")
    built = time.monotonic() - started
    size = sum(file.stat().st_size for file in python.parents[1].rglob("*") if file.is_file() and not file.is_symlink())

    # `start` hands over to the command that Binder gives it; here that waits, as the notebook server would.
    session = subprocess.Popen(
        [f"{BINDER.name}/start", "sleep", "300"], cwd=house, env=environment, stdin=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while subprocess.run([python.parent / "kit", "status"], env=environment, capture_output=True).returncode:
            assert time.monotonic() < deadline, "the servers are not up"
            assert session.poll() is None
            time.sleep(0.2)
        (tmp_path / "run.py").write_text(RUN)
        told = run(python, tmp_path / "run.py", house / "notebooks" / "00-tour.ipynb", tmp_path / "ran.ipynb")
        kernel = int(told.split()[-1])
        servers = sum(_memory(pid) for pid in _living(environment["XDG_RUNTIME_DIR"]) if _is_lab(pid))
    finally:
        session.kill()
        session.wait()
        for pid in _living(environment["XDG_RUNTIME_DIR"]):
            os.kill(pid, 15)

    ran = nbformat.read(tmp_path / "ran.ipynb", as_version=4)
    kinds = {output.output_type for cell in ran.cells for output in cell.get("outputs", [])}
    assert "error" not in kinds
    print(f"built in {built:.0f} s, {size / 1e6:.0f} MB; servers {servers / 1e6:.0f} MB, kernel {kernel / 1e6:.0f} MB")
    assert servers > 10_000_000, "the servers were not found"
    assert servers + kernel < GIGABYTE


RUN = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
code = [cell for cell in notebook.cells if cell.cell_type == "code"]
code[1].source = "assert lab.joined\\n" + code[1].source
measure = nbformat.v4.new_code_cell(
    "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
)
notebook.cells.append(measure)
NotebookClient(notebook, timeout=120).execute()
nbformat.write(notebook, sys.argv[2])
print(int(notebook.cells[-1].outputs[0].text) * 1024)
"""


def _living(runtime: str) -> list[int]:
    """The processes of that session."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if f"XDG_RUNTIME_DIR={runtime}".encode() in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
        except OSError:
            continue
    return found


def _is_lab(pid: int) -> bool:
    return b"kit" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _memory(pid: int) -> int:
    """What a process holds that it shares with no other, and its part of what it shares."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss: +(\d+) kB", text, re.M)[1]) * 1024
