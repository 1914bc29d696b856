"""The explorers that a notebook's magics use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import SetupError

if TYPE_CHECKING:
    from ..lab.lab import Lab

connected: dict[str, Any] = {}
"""The explorers of real services, by service."""


def reached(service: str, space: dict[str, Any]) -> Any:
    """Return the explorer a magic uses: the notebook's lab's, else that of the real service which the environment
    names."""
    for lab in labs_in(space).values():
        if service in dir(lab):
            return getattr(lab, service)
    if service not in connected:
        from ..front import connect

        try:
            connected[service] = connect(service)
        except SetupError as error:
            message = f"no {service} is in reach: {error.args[0]}"
            raise SetupError(message, hint="%lab starts the embedded servers") from None
    return connected[service]


def labs_in(space: dict[str, Any]) -> dict[str, Lab]:
    """Return the labs among the notebook's variables, the one called `lab` first."""
    from ..lab.lab import Lab

    labs = {name: value for name, value in list(space.items()) if isinstance(value, Lab) and not name.startswith("_")}
    return dict(sorted(labs.items(), key=lambda item: item[0] != "lab"))
