"""Alerts: once per crossing, of rows, of keys, of a whole result; errors and counts shown."""

import threading
import time

import pytest

import kit
from kit.core.errors import InputError

PATIENCE = 20


class Calls:
    """What an alert's function was given."""

    def __init__(self):
        self.frames = []
        self._more = threading.Condition()

    def __call__(self, frame):
        with self._more:
            self.frames.append(frame)
            self._more.notify_all()

    def wait(self, count):
        with self._more:
            assert self._more.wait_for(lambda: len(self.frames) >= count, PATIENCE)
        return self.frames


def test_rows_that_are_added_cross_once(given):
    prices, calls = given(), Calls()
    feed = prices.feed
    assert feed.when("price > 3", call=calls) is calls
    prices.put(*({"price": price} for price in (1, 4, 5, 2, 6)))
    feed.wait(5, timeout=PATIENCE)
    calls.wait(1)
    prices.put({"price": 7})
    prices.put({"price": 0}, {"price": 9})
    prices.end()
    feed.wait(timeout=PATIENCE)
    feed.close()
    assert [price for frame in calls.frames for price in frame["price"]] == [4, 6, 9]
    assert "when &#x27;price &gt; 3&#x27;: 3 times, last" in kit.LiveView(feed)._repr_mimebundle_()["text/html"]


def test_a_key_of_a_result_crosses_by_itself(given):
    orders, calls = given(), Calls()
    with orders.feed.per("city", total="sum:total") as totals:
        totals.when("total > 10", call=calls)
        orders.put({"city": "Oslo", "total": 11}, {"city": "Rome", "total": 5})
        assert calls.wait(1)[0]["city"].tolist() == ["Oslo"]
        orders.put({"city": "Oslo", "total": 1})
        orders.put({"city": "Rome", "total": 6})
        assert calls.wait(2)[1].to_dict("list") == {"city": ["Rome"], "total": [11]}
        orders.put({"city": "Oslo", "total": -5})
        totals.wait(until=lambda feed: feed.df["total"].tolist() == [7, 11], timeout=PATIENCE)
        orders.put({"city": "Oslo", "total": 9})
        assert calls.wait(3)[2]["total"].tolist() == [16]
        # What is met already when it is asked for is a crossing too.
        again = Calls()
        totals.when("total > 10", call=again)
        assert sorted(again.wait(1)[0]["city"]) == ["Oslo", "Rome"]
        totals.off(again)
        orders.put({"city": "Lima", "total": 50})
        assert calls.wait(4)[3]["city"].tolist() == ["Lima"] and len(again.frames) == 1


def test_a_live_query_crosses_as_a_whole(given):
    orders, calls = given(), Calls()
    with kit.live_sql("select n from orders where n > 2", every=0.1, orders=orders.feed) as found:
        found.when("n > 0", call=calls)
        orders.put({"n": 1}, {"n": 3}, {"n": 4})
        assert calls.wait(1)[0]["n"].tolist() == [3, 4]
        orders.put({"n": 5})
        found.wait(3, timeout=PATIENCE)
        orders.feed.clear()
        orders.put({"n": 0})
        found.wait(until=lambda feed: feed.total == 0, timeout=PATIENCE)
        orders.put({"n": 9})
        assert calls.wait(2)[1]["n"].tolist() == [9]


def test_no_more_often_than_asked(given):
    prices, calls = given(), Calls()
    prices.feed.when("price > 3", call=calls, every=0.5)
    began = time.monotonic()
    for n in range(5):
        prices.put({"price": 9 + n}, {"price": 0})
        time.sleep(0.02)
    assert calls.wait(2)[0]["price"].tolist() == [9]
    assert time.monotonic() - began >= 0.5 and calls.frames[1]["price"].tolist() == [10, 11, 12, 13]


def test_whole_numbers_that_waited_beside_floats_keep_their_digits(given):
    prices, calls = given(), Calls()
    prices.feed.when("price > 3", call=calls, every=0.5)
    for count, price in enumerate((9, 0, 2**53 + 1, 0, 10.5, 0), 1):
        prices.put({"price": price})
        prices.feed.wait(count, timeout=PATIENCE)
    assert calls.wait(2)[1]["price"].tolist() == [str(2**53 + 1), "10.5"]


def test_errors_of_the_function_and_of_the_condition_are_shown(given):
    prices = given()

    @prices.feed.when("price > 3")
    def broken(frame):
        return frame["absent"]

    prices.feed.when("prise > 3", call=print)
    prices.put({"price": 4})
    prices.feed.wait(until=lambda feed: len(feed.problems) == 2, timeout=PATIENCE)
    told = kit.LiveView(prices.feed)._repr_mimebundle_()["text/html"]
    assert "test_live_alerts.py, line" in told and "did you mean &#x27;price&#x27;" in told
    for wrong in (
        {"where": "price > 3", "call": 5},
        {"where": None, "call": print},
        {"where": "a > 3", "call": print, "every": -1},
    ):
        with pytest.raises(InputError):
            prices.feed.when(**wrong)


def test_a_key_without_a_value_is_another_one_than_the_text_none(given):
    orders, calls = given(), Calls()
    with orders.feed.per("city", total="sum:total") as totals:
        totals.when("total > 1", call=calls)
        orders.put({"city": None, "total": 5})
        assert calls.wait(1)[0]["total"].tolist() == [5]
        orders.put({"city": "None", "total": 6})
        assert calls.wait(2)[1]["city"].tolist() == ["None"]
