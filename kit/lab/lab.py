"""The handle on the embedded servers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, overload

from ..core.clock import Clock, checked
from ..core.errors import InputError, KitError, SetupError
from ..core.http.operations import Request, call
from ..core.processes import OfOneProcess
from ..core.secrets import Secret
from ..core.tables.into import GivesFrames
from . import child, running_labs
from .services import NAMES, chosen

if TYPE_CHECKING:
    import pandas as pd

    from ..amdahl.explore.explorer import Amdahl
    from ..claude.explore.explorer import Claude
    from ..kimberlite.explore.explorer import Kimberlite
    from ..s2.explore.explorer import S2Explorer
    from ..synap.explore.explorer import Synap


T = TypeVar("T")


class _lazily(Generic[T]):
    """A method as an attribute.

    It is not a property or `__getattr__`: IPython calls neither of them for Tab, and `lab.s2["` would complete nothing.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, lab: None, owner: Any = None) -> Self: ...
    @overload
    def __get__(self, lab: Lab, owner: Any = None) -> T: ...
    def __get__(self, lab: Lab | None, owner: Any = None) -> Any:
        return self if lab is None else self._make(lab)


class Lab(GivesFrames, OfOneProcess):
    """The embedded servers: start them, or join those that this user has running already.

    >>> with Lab("amdahl", join=False) as lab:
    ...     lab.status()["state"].tolist()
    ['up']

    It has the named services (`Lab("amdahl")`), or all of them. `demo=False` leaves out the demo data, `path=` keeps
    the data in that folder, `join=False` always starts separate servers, `moving=True` keeps adding demo data, see
    `move()`. The explorers go by `clock=`, see `kit.testing.Clock`. Servers that this process started end when the last
    handle on them is closed or collected, at the latest with the process. Servers of another process are left running.
    """

    _elsewhere = "call kit.Lab() there too: it joins these servers"

    def __init__(
        self,
        *services: str,
        demo: bool = True,
        path: str | os.PathLike[str] | None = None,
        join: bool = True,
        ports: dict[str, int] | None = None,
        moving: bool = False,
        clock: Clock | None = None,
    ) -> None:
        names = chosen(services)
        self._explorers: dict[str, Any] = {}
        self._clock = checked(clock, InputError)
        self._before: dict[str, Secret | None] = {}
        self._closed = False
        # Kept while searching, as another handle may close them at this moment.
        started = child.started()
        described = running_labs.find(names, demo, path) if join and not ports else None
        self.joined = described is not None
        if described is not None:
            self._servers = started.get(described["pid"])
        else:
            self._servers = child.start(
                {
                    "services": names,
                    "demo": demo,
                    "path": None if path is None else os.fspath(path),
                    "joinable": join,
                    "ports": ports,
                    "moving": moving,
                }
            )
            described = self._servers.described
        self._described = described
        self._names = names if self.joined else tuple(described["services"])
        self._control = running_labs.control(described)
        if moving and self.joined:
            self.move()

    @_lazily
    def amdahl(self) -> Amdahl:
        """Return the explorer of amdahl, connected."""
        return cast("Amdahl", self._explorer("amdahl"))

    @_lazily
    def claude(self) -> Claude:
        """Return the explorer of claude, connected."""
        return cast("Claude", self._explorer("claude"))

    @_lazily
    def kimberlite(self) -> Kimberlite:
        """Return the explorer of kimberlite, connected."""
        return cast("Kimberlite", self._explorer("kimberlite"))

    @_lazily
    def s2(self) -> S2Explorer:
        """Return the explorer of s2, connected."""
        return cast("S2Explorer", self._explorer("s2"))

    @_lazily
    def synap(self) -> Synap:
        """Return the explorer of synap, connected."""
        return cast("Synap", self._explorer("synap"))

    @property
    def explorers(self) -> dict[str, Any]:
        """Return the explorers that were used so far, by service."""
        return dict(self._explorers)

    def _explorer(self, name: str) -> Any:
        if name not in self._names:
            raise SetupError(f"this lab runs without {name}", hint=f"start one with it: kit.Lab({name!r})")
        if self._closed:
            raise SetupError(f"this lab is closed, so there is no {name} in it", hint="start one again: kit.Lab()")
        if name not in self._explorers:
            from ..front import connect

            self._explorers[name] = connect(name, environment=self.env(), clock=self._clock)
        return self._explorers[name]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__()} - {*NAMES} | {*self._names})

    def env(self) -> dict[str, str]:
        """Return the environment variables that point any client, in any language, at these servers. They hold the
        token."""
        return dict(self._described["env"].values())

    def use(self) -> Self:
        """Set the lab's variables in this process, so that clients made without arguments find it; return the lab.

        Closing the lab puts back what was there before.
        """
        for name, value in self.env().items():
            before = os.environ.get(name)
            if before != value:
                self._before.setdefault(name, None if before is None else Secret.unchecked(before))
                os.environ[name] = value
        return self

    def _use_no_more(self) -> None:
        ours = self.env()
        for name, before in self._before.items():
            # A variable that another lab or the user has set since then stays.
            if os.environ.get(name) == ours[name]:
                if before is None:
                    del os.environ[name]
                else:
                    os.environ[name] = before.reveal()
        self._before.clear()

    def url(self, service: str) -> str:
        """Return the address of a service."""
        return str(self._described["services"][service]["url"])

    def status(self) -> pd.DataFrame:
        """Return one row per service: service, url, state (up or down) and latency_ms, the time of a small request."""
        import pyarrow as pa

        from ..core.tables.frames import from_rows

        rows = []
        for name in self._names:
            service = self._described["services"][name]
            latency = running_labs.latency(service["url"], service["health"])
            state = "down" if latency is None else "up"
            rows.append({"service": name, "url": service["url"], "state": state, "latency_ms": latency})
        return from_rows(
            rows,
            pa.schema(
                [("service", pa.string()), ("url", pa.string()), ("state", pa.string()), ("latency_ms", pa.float64())]
            ),
        )

    def faults(
        self,
        service: str | None = None,
        kind: str | int | None = None,
        *,
        path: str = "*",
        count: int = 1,
        clear: bool = False,
        **details: Any,
    ) -> pd.DataFrame:
        """Make a service misbehave, and return the rules in force. Without arguments, only return them.

        `kind` is `"delay"`, `"drop"`, `"reset"`, `"truncate"`, `"stall"`, `"garbage"`, or a status such as 503.
        It happens to the next `count` requests with such a `path`. Further details: `method=`, `skip=` (requests to
        let pass first), `seconds=` (delay, stall), `after=` (bytes of the body that still arrive: reset, truncate,
        stall), `retry_after=` (statuses). `clear=True` ends the rules of the service, or all.

        >>> lab = Lab(join=False)
        >>> lab.faults("amdahl", 503, path="*/me", count=2)[["kind", "count"]].values.tolist()
        [['503', 2]]
        >>> len(lab.faults(clear=True))
        0
        >>> lab.close()
        """
        from ..core.tables.frames import from_rows

        if service not in (None, "*", *self._names):
            raise InputError(f"this lab has no service {service!r}", hint=f"it has {', '.join(self._names)}")
        if clear:
            rules = self._ask("DELETE", f"/faults?service={service or '*'}")
        elif kind is not None:
            rule = {"service": service or "*", "kind": kind, "path": path, "count": count, **details}
            rules = self._ask("POST", "/faults", rule)
        else:
            rules = self._ask("GET", "/faults")
        return from_rows(rules, _RULE_SCHEMA())

    def move(self, on: bool = True) -> bool:
        """Keep adding demo data (orders, clicks, claims, reports of vans), a few a second, so that live views move.

        `lab.move(False)` ends it. Return whether it is running now.
        """
        return bool(self._ask("POST" if on else "DELETE", "/moving")["moving"])

    def close(self) -> None:
        """Close the explorers, and end the servers where this process started them and this is the last handle on them.

        Servers that another process started are left running. May be called twice.
        """
        self._closed = True
        self._use_no_more()
        for explorer in self._explorers.values():
            explorer.close()
        self._explorers.clear()
        self._control.close()
        self._servers = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        gone = self._servers is not None and not self._servers.running
        how = "closed" if self._closed else "ended" if gone else "joined" if self.joined else "running"
        return f"<Lab, {how}: {', '.join(f'{name} at {self.url(name)}' for name in self._names)}>"

    def _repr_html_(self) -> str:
        from ..core.html import table, text

        rows = [(f"lab.{name}", self.url(name)) for name in self._names]
        how = "joined a lab that was running" if self.joined else "started for this session"
        return text(f"Lab: {how}. Try lab.status(), lab.env(), or one of:") + table(("explorer", "server"), rows)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        request = Request(method, path, op="lab", body=None if body is None else json.dumps(body).encode())
        try:
            response = self._control.run(call(request))
        except KitError as error:
            raise SetupError("the lab is not running any more", hint="start one again: kit.Lab()") from error
        if not response.ok:
            raise InputError(response.json().get("error", "the lab refused"))
        return response.json()


def _RULE_SCHEMA() -> Any:
    import pyarrow as pa

    names = ("service", "kind", "path", "method")
    return pa.schema([*((name, pa.string()) for name in names), ("count", pa.int64()), ("skip", pa.int64())])
