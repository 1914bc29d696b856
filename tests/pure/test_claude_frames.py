"""What the Claude service says of usage, logs and files, as DataFrames."""

import json

import pandas as pd
import pytest

from kit.claude.types import BatchResult, Paid, Usage
from kit.claude.wire import frames, prices
from kit.claude.wire import json_messages as wire
from kit.core.errors import InputError, KitError
from kit.core.http.operations import Response


def usage(**more):
    value = {"project_id": "p", "period": "month", "total_tokens": 40, "total_cost": 4.0, "by_model": {}, **more}
    return wire.stats_of(Response(200, {}, json.dumps(value).encode()))


def test_shares_of_models_dearest_first():
    by_model = {
        "b": {"tokens": 10, "cost": 1.0},
        "a": {"tokens": 30, "cost": 3.0},
        "c": {"tokens": 0},
        "d": {"cost": True, "tokens": -1},
        "e": {"tokens": 2**63},
        "no": 5,
    }
    stats = usage(by_model=by_model, limit=100, remaining=60)
    frame = frames.usage_frame(stats)
    assert frame.to_dict("list") == {
        "model": ["a", "b", "c", "d", "e"],
        "tokens": [30, 10, 0, 0, 0],
        "cost": [3.0, 1.0, 0.0, 0.0, 0.0],
        "token_share": [0.75, 0.25, 0.0, 0.0, 0.0],
        "cost_share": [0.75, 0.25, 0.0, 0.0, 0.0],
    }
    assert frame.attrs["limit"] == 100
    assert frame.attrs["remaining"] == 60
    assert frames.usage_frame(usage(by_model={"a": {}}))["cost_share"].tolist() == [0.0]

    for wrong in ({"total_tokens": None}, {"total_tokens": 2**63}, {"total_cost": "1"}, {"by_model": []}):
        with pytest.raises(KitError, match="no totals"):
            usage(**wrong)


def test_the_rest_of_the_budget_is_that_of_a_month():
    samples = frames.metric_frame(usage(by_model={"a": {"tokens": 3, "cost": 0.5}}, limit=9, remaining=6), 1.5)
    assert dict(zip(samples["metric"], samples["value"], strict=True)) == {
        "usage_tokens": 3, "usage_cost": 0.5, "budget_limit": 9, "budget_remaining": 6,
    }  # fmt: skip
    assert set(samples["time"]) == {pd.Timestamp("1970-01-01 00:00:01.500Z")}
    for more in ({"period": "day", "limit": 9, "remaining": 6}, {"limit": None}):
        assert not len(frames.metric_frame(usage(**more), 0))


@pytest.mark.parametrize(
    ("told", "size"),
    [(0, 0), (2**63 - 1, 2**63 - 1), (2**63, None), (-1, None), (True, None), ("7", None), (1.5, None)],
)
def test_sizes_and_steps_are_whole_numbers_that_a_column_holds(told, size):
    made = frames.artifact_frame([{"path": "a", "size_bytes": told}])["size_bytes"][0]
    assert made is pd.NA if size is None else made == size
    entry = {"action": "x", "step": told}
    assert frames.log_frame([{"action": "w"}, entry])["step"].tolist() == [1, 2 if size is None else size]


def test_a_log_with_details_of_both_kinds():
    entries = [
        {"step": 5, "timestamp": "2026-01-02T03:04:05+01:00", "action": "run", "details": {"a": 1}},
        {"action": ["x"], "timestamp": "2026-01-02T03:04:05", "tool": "sh"},
        "no entry",
        {"timestamp": 7},
    ]
    frame = frames.log_frame(entries)
    assert frame["step"].tolist() == [5, 2, 3]
    assert frame["time"].tolist()[:2] == [pd.Timestamp(f"2026-01-02 0{hour}:04:05Z") for hour in (2, 3)]
    assert pd.isna(frame["time"][2])
    assert frame["action"].tolist()[:2] == ["run", '["x"]']
    assert frame["details"].tolist()[:2] == ['{"a": 1}', '{"tool": "sh"}']
    assert frame[["action", "details"]].iloc[2].isna().all()


def test_prompts_payments_and_what_is_kept():
    done = BatchResult("1", "p", "completed", content="c", usage=Usage(1, 2, 3), cost=0.5)
    batch = frames.batch_frame(["p", "q"], [done, BatchResult("2", "q", "failed", error="e")], ["x", "y"])
    assert batch.index.tolist() == ["x", "y"]
    assert batch["tokens"].tolist() == [3, pd.NA]
    assert batch["cost"].tolist()[0] == 0.5
    line = Paid(1.5, "complete", "m", 1, 2, 3, None, None, "r", "unknown")
    paid = frames.ledger_frame([line]).iloc[0]
    assert paid["time"] == pd.Timestamp("1970-01-01 00:00:01.500Z")
    assert (paid["tokens"], paid["status"]) == (3, "unknown")
    kept = frames.cache_frame([(1.5, "m", "p", "", None, 1, 0.5, "s"), (2, "m", "p", "c", "{}", 1, 0.5, "s")])
    assert kept["state"].tolist() == ["lost", "answer"]
    assert kept["time"][0] == paid["time"]
    assert kept["columns"].isna().tolist() == [True, False]
    assert not len(frames.cache_frame([]))
    priced = frames.price_frame().set_index("model")
    for model, (into, out) in prices.PRICES.items():
        assert priced.loc[model].tolist() == [into, out]
    assert frames.estimate_frame([("m", 1, 2, 3, 0.5)]).iloc[0].tolist() == ["m", 1, 2, 3, 0.5]


def test_names_are_a_list_of_texts():
    assert wire.names(None, "tools") == []
    assert wire.names(("Read", "Bash"), "tools") == ["Read", "Bash"]
    for wrong in ("Read", ["Read", 5]):
        with pytest.raises(InputError, match="give a list of names"):
            wire.names(wrong, "tools")
