"""No way of a record through the package gets longer unnoticed: calls are counted, no clock is read."""

from __future__ import annotations

import json

import pytest

import kit
from tests.bench import way

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


def test_warm_calls_take_no_more_than_is_kept():
    kept = json.loads(way.KEPT.read_text())
    with kit.Lab(join=False) as lab:
        operations = way.operations(lab)
        assert operations.keys() == kept.keys()
        longer = {}
        for name, call in operations.items():
            calls = way.way(call)["calls"]
            if calls > kept[name]["calls"] * way.LEEWAY + 3:
                longer[name] = (kept[name]["calls"], calls)
    assert not longer, f"longer than kept, see tests/bench/way.py: {longer}"


def test_what_is_counted_is_what_is_called():
    from kit.core.words import nearest

    assert way.way(lambda: nearest("orders", ["order"]))["calls"] == 1 + way.way(lambda: None)["calls"]
