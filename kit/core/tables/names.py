"""Making column names distinct: for pandas, which keeps one column per name, and for SQL, which ignores case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence


def distinct(names: Iterable[str]) -> list[str]:
    """Return the names, those that came before with a number behind them.

    >>> distinct(["a", "a", "a_2", "a"])
    ['a', 'a_2', 'a_2_2', 'a_3']
    """
    used: set[str] = set()
    unique = []
    for name in names:
        free, number = name, 2
        while free in used:
            free, number = f"{name}_{number}", number + 1
        used.add(free)
        unique.append(free)
    return unique


def for_sql(names: Sequence[str], keep: Collection[str] = ()) -> list[str]:
    """Return names that an engine of SQL tells apart; it knows no case, no empty name, and ends one at a NUL.

    All the names that it would take for one get their number behind them, so that none of them is meant by chance;
    those to `keep` stay as they are, and only the others get one.

    >>> for_sql(["A", "b", "a", "n\\0l", "B_2", ""])
    ['A_1', 'b', 'a_2', 'n\\\\x00l', 'B_2', 'empty']
    >>> for_sql(["seq_num", "SEQ_NUM"], keep=["seq_num"])
    ['seq_num', 'SEQ_NUM_1']
    """
    visible = [name.replace("\0", "\\x00") or "empty" for name in names]
    shared = Counter(map(_folded, visible))
    used = {name for name, count in shared.items() if count == 1} | {_folded(name) for name in keep}
    numbers: Counter[str] = Counter()
    unique = []
    for name in visible:
        free = name
        if shared[_folded(name)] > 1 and name not in keep:
            while _folded(free) in used or free == name:
                numbers[_folded(name)] += 1
                free = f"{name}_{numbers[_folded(name)]}"
            used.add(_folded(free))
        unique.append(free)
    return unique


def _folded(name: str) -> str:
    """Return the name in the form that the engine compares: letters beyond ASCII keep their case."""
    return name if name.islower() else name.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
