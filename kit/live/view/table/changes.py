"""The changes of a table that are sent to pages: rows that stay are neither sent nor laid out again, and stay selected.

The script of a page (`page_events.js`) puts the new rows into the table that the page has. Each table has a number, and
changes name the number that they apply to: a page that has another table asks for the whole one.
"""

from __future__ import annotations

import re

from .drawing import BLANK, main

_NUMBER = re.compile(r'<tr data-n="(\d+)">')


class Changes:
    """The last table that was sent to pages."""

    def __init__(self) -> None:
        self._number = 0
        self._table = ""
        self._cut: tuple[str, list[str], str] | None = None
        """The parts of it, once they were needed."""
        self.wanted_whole = True
        """Whether a page lacks the table that the next changes would apply to."""

    def whole(self, table: str) -> str:
        """Return a whole table, with a new number."""
        self._number += 1
        self._table, self._cut, self.wanted_whole = table, None, False
        return main(table, moving=True, number=self._number)

    def since(self, table: str) -> str | None:
        """Return the changes from the last table to this one; None if the whole table should be sent."""
        if self.wanted_whole:
            return None
        before, after = self._cut or _parts(self._table), _parts(table)
        if (before[0], before[2]) != (after[0], after[2]):
            return None
        known = set(before[1])
        new = [row for row in after[1] if row not in known]
        if 2 * len(new) > len(after[1]):
            return None
        order = ",".join(match[1] for row in after[1] if (match := _NUMBER.match(row)))
        self._number += 1
        self._table, self._cut = table, after
        return (
            f'<table data-of="{self._number - 1}" data-to="{self._number}" data-order="{order}">'
            f"<tbody>{''.join(new)}</tbody></table>"
        )

    def same(self, table: str) -> bool:
        """Return whether pages have this table."""
        return table == self._table and not self.wanted_whole


def _parts(table: str) -> tuple[str, list[str], str]:
    """Return the HTML before the rows, the rows, and the HTML after them, including empty rows."""
    head, _, rest = table.partition("<tbody>")
    rows, _, end = rest.partition("</tbody>")
    full, blank, empty = rows.partition(BLANK)
    return head, [f"{row}</tr>" for row in full.split("</tr>")[:-1]], blank + empty + end
