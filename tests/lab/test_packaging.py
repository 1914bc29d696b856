"""The wheel: what is in it, and that it works where no checkout is near."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import kit
from tests.home import own_environment

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of what belongs to it, so that nothing else in the checkout can help or harm."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("kit", "notebooks", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source],
        check=True,
        capture_output=True,
        text=True,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment with the wheel in it, and its dependencies lent by the one that runs the tests."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, symlinks=True, with_pip=False)
    site = next((home / "lib").glob("python3.*")) / "site-packages"
    python = home / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel],
        check=True,
    )
    # Appended to the path, so that the wheel is found before an editable checkout.
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = Parser().parsestr(archive.read(next(n for n in names if n.endswith(".dist-info/METADATA"))).decode())
    assert "kit/py.typed" in names
    assert "kit/__main__.py" in names
    packed = {Path(name).name for name in names if name.startswith("kit/lab/notebooks/")}
    shipped = [path for path in (ROOT / "notebooks").iterdir() if path.suffix in (".ipynb", ".md", ".png")]
    assert {path.name for path in shipped} == packed
    assert packed
    tops = {name.split("/")[0] for name in names}
    assert tops == {"kit", f"kit_notebook-{kit.__version__}.dist-info"}
    assert not [name for name in names if "__pycache__" in name or ".ipynb_checkpoints" in name]
    assert metadata["Version"] == kit.__version__
    assert set(metadata.get_all("Provides-Extra")) == {
        "lab",
        "fast",
        "sql",
        "dask",
        "keyring",
        "polars",
        "test",
        "docs",
    }
    assert metadata["License-Expression"] == "MIT"


def test_what_is_installed_is_what_runs(installed, tmp_path):
    code = """
import json, kit
from kit.lab import notebook_copies as copies
with kit.Lab("amdahl", join=False) as lab:
    print(json.dumps([kit.__file__, lab.status()["state"].tolist(), str(copies.shipped())]))
"""
    done = subprocess.run(
        [installed, "-c", code], cwd=tmp_path, env=own_environment(tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    file, states, notebooks = json.loads(done.stdout)
    assert Path(file).is_relative_to(installed.parents[1])
    assert states == ["up"]
    assert Path(notebooks) == Path(file).parent / "lab" / "notebooks"


def test_the_command_is_installed(installed, tmp_path):
    done = subprocess.run([installed.with_name("kit"), "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == f"kit {kit.__version__}\n"
