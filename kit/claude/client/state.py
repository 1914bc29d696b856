"""What the calls of a client share."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from ...core import faces
from ...core.clock import Clock
from ...core.errors import CLOSED, CLOSED_HINT
from ...core.http.retry import Policy
from ...core.secrets import Secret
from ..errors import ClaudeInputError
from ..types import BatchResult
from ..wire import json_messages as wire
from .spend_log import SpendLog

LOG = logging.getLogger("client")


@dataclass(eq=False, repr=False)
class ClientState(faces.ClientState):
    """The driver, the keys of projects, and the spending."""

    timeout: float
    policy: Policy
    project_keys: dict[str, Secret]
    book: SpendLog = field(default_factory=SpendLog)
    own_project: str | None = None
    """The project that the key belongs to, once the service has reported it."""
    warned: set[tuple[str, str]] = field(default_factory=set)
    last_batch: list[BatchResult] = field(default_factory=list)
    """What the last batch has brought so far."""

    @property
    def clock(self) -> Clock:
        """The clock that limits of time, pauses and paces go by."""
        clock: Clock = self.driver.clock
        return clock

    def check_open(self) -> None:
        """Raise if the client is closed."""
        if self.driver.closed:
            raise ClaudeInputError(CLOSED, hint=CLOSED_HINT)

    def limited(self, timeout: float | None) -> float:
        """Return the seconds of a call, which the service takes up to its own limit."""
        return wire.limited(self.timeout if timeout is None else wire.seconds(timeout))

    def note_project(self, project: str | None, reported: str | None) -> None:
        """Remember the key's project; warn once if the service charges another project than the requested one."""
        if reported is None:
            return
        if project is None:
            self.own_project = reported
        elif project != reported and (project, reported) not in self.warned:
            self.warned.add((project, reported))
            LOG.warning(
                "project %r was requested, but the service charges %r, the project of the key; "
                "project_keys={%r: key} sets another key for a project",
                project,
                reported,
                project,
            )
