"""What the server says when it refuses, in the service's own words."""

from __future__ import annotations

from ...synap.errors import code_of


class Refusal(Exception):
    """An error of the service. `status` is what REST answers; the command endpoint tells the text alone."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.status = status or code_of(text)

    @property
    def bare(self) -> str:
        """The text as SynapRPC tells it."""
        return self.text.removeprefix("Invalid request: ")
