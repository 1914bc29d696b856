"""The front door: what is listed is there, and opening it costs next to nothing."""

import subprocess
import sys

import pytest

import kit
from tests.pace import slowness

HEAVY = ("pandas", "numpy", "pyarrow", "matplotlib", "ipywidgets", "httpx", "anyio", "starlette", "IPython")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_every_public_name_resolves():
    for name in kit.__all__:
        assert getattr(kit, name) is not None, name
    assert set(kit.__all__) - {"__version__"} == set(kit._WHERE)
    assert set(dir(kit)) == set(kit.__all__)


def test_no_module_bears_the_name_of_a_front_door_function():
    # Importing such a submodule would put it where the function was.
    import pkgutil

    functions = {name for name, where in kit._WHERE.items() if ":" in where}
    assert not functions & {module.name for module in pkgutil.iter_modules(kit.__path__)}


def test_a_wrong_name_is_told_with_the_right_one():
    with pytest.raises(AttributeError, match=r"did you mean kit\.connect"):
        kit.conect


def test_import_loads_nothing_heavy():
    loaded = run(f"import kit, sys; print([m for m in {HEAVY} if m in sys.modules])")
    assert loaded.strip() == "[]"


def test_import_costs_under_60_ms_over_a_bare_interpreter():
    code = "import time; a = time.perf_counter(); import kit; print(time.perf_counter() - a)"
    # The fastest of several is the import's own cost; the rest is the machine's other work.
    assert min(float(run(code)) for _ in range(7)) < 0.060 * slowness()


def test_an_old_python_is_told_in_a_sentence(tmp_path):
    old = "import sys; sys.version_info = (3, 10, 4, 'final', 0); "
    done = subprocess.run([sys.executable, "-c", old + "import kit"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: kit needs Python 3.11 or later, and this is")
    as_command = old + "sys.argv = ['-m']; import kit"
    done = subprocess.run([sys.executable, "-c", as_command], capture_output=True, text=True)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("kit needs Python 3.11 or later")


def test_every_public_name_has_a_docstring():
    for name in kit.__all__:
        if name != "__version__":
            assert (getattr(kit, name).__doc__ or "").strip(), name


def test_connect_names_both_ways(monkeypatch):
    monkeypatch.delenv("AMDAHL_URL", raising=False)
    monkeypatch.delenv("API_KEY", raising=False)
    with pytest.raises(kit.KitError) as caught:
        kit.connect("amdahl")
    message = str(caught.value)
    for part in ("base_url=", "AMDAHL_URL", "api_key=", "API_KEY", "kit.Lab()"):
        assert part in message
    with pytest.raises(kit.KitError, match=r"there are: .*amdahl"):
        kit.connect("amdal")
