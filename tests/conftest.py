"""What holds for all tests."""

import os
import signal

import pytest

# A shell starts background jobs with interrupts ignored, and everything that they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_answers(tmp_path_factory):
    """Answers that tests pay for are kept in a folder of theirs."""
    os.environ["KIT_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    del os.environ["KIT_CACHE_DIR"]
