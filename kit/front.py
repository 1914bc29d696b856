"""`kit.connect`: from a service's name and credentials to its explorer."""

from __future__ import annotations

import importlib
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_overloads, overload

from .core.environment import Environment, Given, check_names
from .core.errors import InputError, KitError

if TYPE_CHECKING:
    from ssl import SSLContext

    from .amdahl.explore.explorer import Amdahl
    from .claude.explore.explorer import Claude
    from .core.clock import Clock
    from .core.secrets import Secret
    from .kimberlite import DataClass, TenantId
    from .kimberlite.explore.explorer import Kimberlite
    from .s2 import Compression, Endpoints, Retry, Timeout
    from .s2.explore.explorer import S2Explorer
    from .synap.explore.explorer import Synap

    Variables = Mapping[str, str] | Environment | None

EXPLORERS = {
    "s2": "kit.s2.explore.explorer",
    "kimberlite": "kit.kimberlite.explore.explorer",
    "synap": "kit.synap.explore.explorer",
    "claude": "kit.claude.explore.explorer",
    "amdahl": "kit.amdahl.explore.explorer",
}
"""One module for each service; its `connect(environment, **arguments)` makes the explorer of a `CLIENT`."""


@overload
def connect(
    service: Literal["s2"],
    *,
    profile: str | None = None,
    environment: Variables = None,
    access_token: str | Secret | None = None,
    endpoints: Endpoints | None = None,
    timeout: Timeout | None = None,
    retry: Retry | None = None,
    compression: Compression = ...,
    verify: Any = True,
    clock: Clock | None = None,
) -> S2Explorer: ...
@overload
def connect(
    service: Literal["kimberlite"],
    *,
    profile: str | None = None,
    environment: Variables = None,
    address: str | Sequence[str] | None = None,
    tenant_id: TenantId | int | None = None,
    api_key: str | Secret | None = None,
    metrics_url: str | None = None,
    timeout: float | None = 30,
    connect_timeout: float | None = 5.0,
    tls: bool | SSLContext | None = None,
    max_retries: int = 3,
    compression: bool = False,
    numbering: Literal["named", "native"] = "named",
    default_data_class: DataClass = ...,
    clock: Clock | None = None,
) -> Kimberlite: ...
@overload
def connect(
    service: Literal["synap"],
    *,
    profile: str | None = None,
    environment: Variables = None,
    url: str | None = None,
    rpc_url: str | None = None,
    api_key: str | Secret | None = None,
    username: str | None = None,
    password: str | Secret | None = None,
    timeout: float = 30.0,
    connect_timeout: float = 5.0,
    clock: Clock | None = None,
) -> Synap: ...
@overload
def connect(
    service: Literal["claude"],
    *,
    profile: str | None = None,
    environment: Variables = None,
    url: str | None = None,
    base_url: str | None = None,
    api_key: str | Secret | None = None,
    timeout: float | None = None,
    max_retries: int = 3,
    retry_delay: float = 1.0,
    project_id: str | None = None,
    project_keys: Mapping[str, str | Secret] | None = None,
    max_cost: float | None = None,
    verify: Any = True,
    clock: Clock | None = None,
) -> Claude: ...
@overload
def connect(
    service: Literal["amdahl"],
    *,
    profile: str | None = None,
    environment: Variables = None,
    url: str | None = None,
    base_url: str | None = None,
    api_key: str | Secret | None = None,
    timeout: float | None = 30.0,
    api_version: str | None = None,
    verify: Any = True,
    clock: Clock | None = None,
) -> Amdahl: ...
@overload
def connect(service: str, *, profile: str | None = None, environment: Variables = None, **arguments: Any) -> Any: ...
def connect(service: str, *, profile: str | None = None, environment: Variables = None, **arguments: Any) -> Any:
    """Connect to a real service, and return its explorer: `kit.connect("amdahl", url=..., api_key=...)`.

    What is not given as an argument is taken from the profile, if one is named, else from the environment; what is
    nowhere is an error that names it. Each service takes:

    s2          access_token, endpoints, timeout, retry, compression, verify, clock
    kimberlite  address, tenant_id, api_key, metrics_url, timeout, connect_timeout, tls, clock, ...
    synap       url, rpc_url, api_key or username and password, timeout, connect_timeout, clock
    claude      url, api_key, timeout, max_retries, retry_delay, project_id, project_keys, max_cost, verify, clock
    amdahl      url, api_key, timeout, api_version, verify, clock

    A profile says where services are and where their credentials come from; `kit profiles` lists and makes them.

    >>> connect("claude", url="http://127.0.0.1:8006", api_key="cc_00")
    <Claude at http://127.0.0.1:8006: .ask(prompt), .batch(prompts), .task(...), .usage(), .live(prompt)>
    """
    # From here on no variable in a traceback contains a credential, whatever its name was.
    environment, hidden = Environment(environment), Given(arguments)
    if service not in EXPLORERS:
        raise InputError(f"no service is called {service!r}", hint=f"there are: {', '.join(EXPLORERS)}")
    if profile is not None:
        from .notebook.profiles import environment as of_profile

        environment = of_profile(profile, service)
    module = importlib.import_module(EXPLORERS[service])
    check_names(service, hidden, module.connect, module.CLIENT)
    return module.connect(environment, **hidden.values())


def _with_all_arguments() -> inspect.Signature:
    """Return the signature for Tab and help(): the implementation only has `**arguments`."""
    parameters: dict[str, inspect.Parameter] = {}
    for one in get_overloads(connect):
        for name, parameter in inspect.signature(one).parameters.items():
            if parameter.kind is not parameter.VAR_KEYWORD:
                parameters.setdefault(name, parameter.replace(annotation=parameter.empty))
    first = parameters["service"].replace(annotation="str")
    return inspect.Signature(
        [first, *(one.replace(default=None) for name, one in parameters.items() if one.default is not one.empty)]
    )


connect.__signature__ = _with_all_arguments()  # type: ignore[attr-defined]


SMALL_QUESTIONS: Mapping[str, Callable[[Any], Any]] = {
    "s2": lambda explorer: explorer.client.list_basins(limit=1),
    "kimberlite": lambda explorer: explorer.client.server_info(),
    "synap": lambda explorer: explorer.client.kv.exists("kit"),
    "claude": lambda explorer: explorer.client.get_usage("day"),
    "amdahl": lambda explorer: explorer.client.get("/me"),
}
"""For each service, a small request that needs the credential."""


def tried(name: str, service: str) -> tuple[float, str]:
    """Return the milliseconds of a small request, and the error: empty if it succeeded."""
    began = time.monotonic()
    try:
        with connect(service, profile=name) as explorer:
            began = time.monotonic()
            SMALL_QUESTIONS[service](explorer)
        failed = ""
    except KitError as error:
        failed = str(error).splitlines()[0]
    return (time.monotonic() - began) * 1000, failed
