"""`kit.connect`: from a service's name and credentials to its explorer."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from .core.errors import InputError

if TYPE_CHECKING:
    from .amdahl.explorer import Amdahl
    from .s2.explorer import S2Explorer

EXPLORERS = {
    "s2": "kit.s2.explorer",
    "amdahl": "kit.amdahl.explorer",
}
"""One module for each service; its `connect(environment, **arguments)` makes the explorer."""


@overload
def connect(
    service: Literal["s2"], *, environment: Mapping[str, str] | None = None, **arguments: Any
) -> S2Explorer: ...
@overload
def connect(
    service: Literal["amdahl"], *, environment: Mapping[str, str] | None = None, **arguments: Any
) -> Amdahl: ...
@overload
def connect(service: str, *, environment: Mapping[str, str] | None = None, **arguments: Any) -> Any: ...
def connect(service: str, *, environment: Mapping[str, str] | None = None, **arguments: Any) -> Any:
    """The explorer of a real service: `kit.connect("amdahl", url=..., api_key=...)`.

    What is not given as an argument is taken from the environment; what is in neither is told by name.
    """
    if service not in EXPLORERS:
        raise InputError(f"no service is called {service!r}", hint=f"there are: {', '.join(EXPLORERS)}")
    make: Callable[..., Any] = importlib.import_module(EXPLORERS[service]).connect
    return make(os.environ if environment is None else environment, **arguments)
