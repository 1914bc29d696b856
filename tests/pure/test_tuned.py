"""Numbers from the environment for the embedded servers."""

import pytest

from kit.core.errors import SetupError
from kit.lab.claude.tuning import Tuning


def test_what_is_set_is_taken_and_the_rest_stays():
    tuning = Tuning.of({"KIT_CLAUDE_WINDOW": "2.5", "KIT_CLAUDE_QUIRKS": "0", "KIT_CLAUDE_WORKERS": ""})
    assert (tuning.window, tuning.quirks, tuning.workers) == (2.5, 0.0, 5)


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "many", "0"])
def test_what_is_no_such_number_is_told(value):
    with pytest.raises(SetupError, match="KIT_CLAUDE_WINDOW must be a number above 0"):
        Tuning.of({"KIT_CLAUDE_WINDOW": value})


def test_some_may_be_zero():
    with pytest.raises(SetupError, match="from 0 up"):
        Tuning.of({"KIT_CLAUDE_TOKEN_SECONDS": "-1"})
