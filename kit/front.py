"""`kit.connect`: from a service's name and credentials to its explorer."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from .core.environment import Environment, Given, check_names
from .core.errors import InputError

if TYPE_CHECKING:
    from .amdahl.explorer import Amdahl
    from .claude.explorer import Claude
    from .kimberlite.explorer import Kimberlite
    from .s2.explorer import S2Explorer
    from .synap.explorer import Synap

EXPLORERS = {
    "s2": "kit.s2.explorer",
    "kimberlite": "kit.kimberlite.explorer",
    "synap": "kit.synap.explorer",
    "claude": "kit.claude.explorer",
    "amdahl": "kit.amdahl.explorer",
}
"""One module for each service; its `connect(environment, **arguments)` makes the explorer of a `CLIENT`."""


@overload
def connect(
    service: Literal["s2"], *, environment: Mapping[str, str] | None = None, **arguments: Any
) -> S2Explorer: ...
@overload
def connect(
    service: Literal["kimberlite"], *, environment: Mapping[str, str] | None = None, **arguments: Any
) -> Kimberlite: ...
@overload
def connect(
    service: Literal["claude"], *, environment: Mapping[str, str] | None = None, **arguments: Any
) -> Claude: ...
@overload
def connect(service: Literal["synap"], *, environment: Mapping[str, str] | None = None, **arguments: Any) -> Synap: ...
@overload
def connect(
    service: Literal["amdahl"], *, environment: Mapping[str, str] | None = None, **arguments: Any
) -> Amdahl: ...
@overload
def connect(service: str, *, environment: Mapping[str, str] | None = None, **arguments: Any) -> Any: ...
def connect(service: str, *, environment: Mapping[str, str] | Environment | None = None, **arguments: Any) -> Any:
    """The explorer of a real service: `kit.connect("amdahl", url=..., api_key=...)`.

    What is not given as an argument is taken from the environment; what is in neither is told by name.

    >>> connect("claude", url="http://127.0.0.1:8006", api_key="cc_00")
    <Claude at http://127.0.0.1:8006: .ask(prompt), .batch(prompts), .task(...), .usage(), .live(prompt)>
    """
    # From here on no variable of a traceback holds a credential, whatever name it was given by.
    environment, given = Environment(environment), Given(arguments)
    if service not in EXPLORERS:
        raise InputError(f"no service is called {service!r}", hint=f"there are: {', '.join(EXPLORERS)}")
    module = importlib.import_module(EXPLORERS[service])
    check_names(service, given, module.connect, module.CLIENT)
    return module.connect(environment, **given.values())
