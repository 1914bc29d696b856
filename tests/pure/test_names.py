"""Names of columns that are told apart."""

import itertools

from kit.core.tables.names import for_sql


def test_names_for_an_engine_that_knows_no_case():
    """Every mixture of near names: those that nobody shares stay, and no two are one."""
    near = ["a", "A", "a_1", "A_1", "a_2", "b", "", "empty", "Empty_1"]
    for names in itertools.chain.from_iterable(itertools.combinations(near, size) for size in range(1, 6)):
        for keep in ((), names[:1]):
            found = for_sql(names, keep)
            folded = [name.lower() for name in found]
            assert len(set(folded)) == len(names), (names, found)
            visible = [name.lower() or "empty" for name in names]
            for name, told in zip(names, found, strict=True):
                alone = visible.count(name.lower() or "empty") == 1
                if alone or (name and name in keep):
                    assert told == (name or "empty"), (names, found)
                else:
                    assert told != name
