"""The server's errors, in the service's own words."""

from __future__ import annotations

from ...synap.errors import code_of


class Refusal(Exception):
    """An error of the service. `status` is the status of REST; the command endpoint sends the text alone."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.status = status or code_of(text)

    @property
    def bare(self) -> str:
        """The text as SynapRPC tells it."""
        return self.text.removeprefix("Invalid request: ")
