"""What of a table is new to a page: rows that stay are neither sent nor laid out again, and stay marked.

A page that listens takes the new rows into the table that it has (`page_events.js`). Each table has a number, and its
changes name the one that they belong to: a page that has another one asks for the whole.
"""

from __future__ import annotations

import re

from .drawing import BLANK, main

_NUMBER = re.compile(r'<tr data-n="(\d+)">')


class Changes:
    """The last table that pages have, as far as they took what was sent."""

    def __init__(self) -> None:
        self._number = 0
        self._table = ""
        self.wanted_whole = True
        """Whether some page has not the table that the next changes would belong to."""

    def whole(self, table: str) -> str:
        """Return the table for pages that have none."""
        self._number += 1
        self._table, self.wanted_whole = table, False
        return main(table, moving=True, number=self._number)

    def since(self, table: str) -> str | None:
        """Return what is new in a table; None where it is as well sent whole."""
        before, after = _parts(self._table), _parts(table)
        if self.wanted_whole or (before[0], before[2]) != (after[0], after[2]):
            return None
        known = set(before[1])
        new = [row for row in after[1] if row not in known]
        if 2 * len(new) > len(after[1]):
            return None
        order = ",".join(match[1] for row in after[1] if (match := _NUMBER.match(row)))
        self._number += 1
        self._table = table
        return (
            f'<table data-of="{self._number - 1}" data-to="{self._number}" data-order="{order}">'
            f"<tbody>{''.join(new)}</tbody></table>"
        )

    def same(self, table: str) -> bool:
        """Whether pages have this table."""
        return table == self._table and not self.wanted_whole


def _parts(table: str) -> tuple[str, list[str], str]:
    """Return what is before the rows, the rows, and what is behind them with the rows that are empty."""
    head, _, rest = table.partition("<tbody>")
    rows, _, end = rest.partition("</tbody>")
    full, blank, empty = rows.partition(BLANK)
    return head, [f"{row}</tr>" for row in full.split("</tr>")[:-1]], blank + empty + end
