"""What holds for all tests."""

import gc
import os
import signal
import sys
import time

import pytest
from hypothesis import HealthCheck, settings

# Tests start hundreds of processes: without compiled files each would compile the whole package for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell starts background jobs with interrupts ignored, and everything that they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Bounds of time are stated where they are meant; a slow machine is not a failure of every randomized test.
settings.register_profile("kit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kit")


def pytest_configure():
    """Each run asks the randomized tests something else; its workers inherit what it asks."""
    os.environ.setdefault("KIT_SEED", str(int(time.time()) % 10**6))


def pytest_report_header():
    return f"randomized tests: KIT_SEED={os.environ['KIT_SEED']} repeats them"


@pytest.fixture(scope="session")
def seed():
    """The seed of this run, from which randomized tests count theirs."""
    return int(os.environ["KIT_SEED"])


@pytest.fixture(scope="session", autouse=True)
def _own_answers(tmp_path_factory):
    """Answers that tests pay for are kept in a folder of theirs."""
    os.environ["KIT_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    del os.environ["KIT_CACHE_DIR"]


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left(request):
    """What a file leaves open, and a shell of IPython's that it leaves, is told of that file and not of a later one."""
    gc.freeze()  # what earlier files have imported and made is looked through no more: half a second each time
    yield
    gc.collect()
    shell = sys.modules.get("IPython.core.interactiveshell")
    if shell is not None and shell.InteractiveShell.initialized():
        shell.InteractiveShell.clear_instance()
        pytest.fail(f"{request.path.name} leaves a shell, so that later tests believe to be in a notebook")
