"""The comparison of two servers sees what it is there to see."""

from __future__ import annotations

import pytest

from kit.core.errors import KitError
from tests.differential.running import World, campaign, same


class Numbers(World):
    """Asks for the square of a number; a client is a function."""

    def next(self):
        number = self.chance.randrange(5)
        return f"square({number})", lambda client: client(number)

    def error(self, error):
        return {"error": str(error)}


def squares(number):
    if number == 4:
        raise KitError("too large")
    return [number * number]


def broken(number):
    if number == 4:
        raise KitError("large")
    return [number * number + (number == 3)]


def test_servers_that_answer_alike():
    report = campaign(Numbers, squares, squares, 1000, 1, size=100)
    assert (report.calls, report.worlds, report.findings) == (1000, 10, [])
    assert report.kinds["square"] == 1000 and report.errors["too large"] > 100


def test_each_world_ends_with_its_first_difference_and_its_seed_repeats_it():
    report = campaign(Numbers, squares, broken, 300, 2, size=100)
    assert len(report.findings) == report.worlds > 30
    assert {finding.what for finding in report.findings} == {"square(3)", "square(4)"}
    again = campaign(Numbers, squares, broken, 300, 2, size=100)
    assert list(map(str, again.findings)) == list(map(str, report.findings))
    assert "lab:  [9]" in "".join(map(str, report.findings))


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, True), (1, 1.0), ([1], (1,)), ({"a": 1}, {"a": 1, "b": 2}), ([1, 2], [1]), ("1", 1), (None, 0)],
)
def test_what_is_not_the_same(one, other):
    assert not same(one, other) and same(one, one) and same(other, other)


def test_what_is_the_same():
    assert same({"a": [float("nan"), (1, None)]}, {"a": [float("nan"), (1, None)]})
