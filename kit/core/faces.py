"""Blocking and async clients from one implementation.

An operation (see `operations.py`) that takes a client first becomes a method or a function of both kinds: on a
client that derives from `SyncFace` a call runs at once, on one from `AsyncFace` it gives an awaitable. Editors
see the right type for each, with the operation's own signature and docstring.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, cast, overload

from .http.operations import Operation, Walk
from .processes import OfOneProcess

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
A = TypeVar("A")
X = TypeVar("X", bound="ClientState")
T_co = TypeVar("T_co", covariant=True)


@dataclass(eq=False, repr=False)
class ClientState:
    """What the calls of a client share: its driver, blocking or async, and what else the service's calls need.

    It is an object of its own, so that Tab on a client offers only what users call.
    """

    driver: Any


class Face(OfOneProcess, Generic[X]):
    """What blocking and async clients have in common."""

    _state: X

    def _about(self) -> str:
        """Return the text of the client's repr."""
        return f"<{type(self).__name__}>"

    def __repr__(self) -> str:
        try:
            return self._about()
        except AttributeError:
            # A traceback shows a half-made object when its constructor raised.
            return f"<{type(self).__name__}, not made>"


def state_of(client: Face[X]) -> X:
    """Return the state that the calls of a client share, for modules of the same service."""
    return client._state  # noqa: SLF001 - the only access: users should not see it on the client


class SyncFace(Face[X]):
    """A client whose calls block. Use it in a `with` block, or `close()` it."""

    def close(self) -> None:
        """Close the connections."""
        self._state.driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncFace(Face[X]):
    """A client whose calls are awaited. Use it in an `async with` block, or `await close()` it."""

    async def close(self) -> None:
        """Close the connections."""
        await self._state.driver.close()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class verb(Generic[P, T]):
    """An operation as a method of both faces: a plain function on one, a coroutine function on the other."""

    def __init__(self, operation: Callable[Concatenate[Any, P], Operation[T]]) -> None:
        self.operation = operation
        self.__doc__ = operation.__doc__
        self._sync = _shown(operation, _blocking(operation))
        self._async = _shown(operation, _awaited(operation))

    @overload
    def __get__(self, client: None, owner: Any = None) -> Any: ...
    @overload
    def __get__(self, client: SyncFace[Any], owner: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncFace[Any], owner: Any = None) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: Any, owner: Any = None) -> Any:
        return _of_face(self, self._sync, self._async, client, owner)


class walk(Generic[P, T]):
    """An operation that emits items, as a method: an iterator on one face, an async iterator on the other."""

    def __init__(self, operation: Callable[Concatenate[Any, P], Walk[T]]) -> None:
        self.operation = operation
        self.__doc__ = operation.__doc__
        self._sync = _shown(operation, _walked(operation), "Iterator")
        self._async = _shown(operation, _walked(operation), "AsyncIterator")

    @overload
    def __get__(self, client: None, owner: Any = None) -> Any: ...
    @overload
    def __get__(self, client: SyncFace[Any], owner: Any = None) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: AsyncFace[Any], owner: Any = None) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, client: Any, owner: Any = None) -> Any:
        return _of_face(self, self._sync, self._async, client, owner)


class Coloured(Generic[P, S, A]):
    """A method that makes an object without traffic: of one class on the blocking face, of another on the async one."""

    def __init__(
        self, make: Callable[Concatenate[Any, P], T], sync: Callable[[T], S], awaited: Callable[[T], A]
    ) -> None:
        self.__doc__ = make.__doc__
        self._sync, self._async = _making(make, sync), _making(make, awaited)

    @overload
    def __get__(self, client: None, owner: Any = None) -> Any: ...
    @overload
    def __get__(self, client: SyncFace[Any], owner: Any = None) -> Callable[P, S]: ...
    @overload
    def __get__(self, client: AsyncFace[Any], owner: Any = None) -> Callable[P, A]: ...
    def __get__(self, client: Any, owner: Any = None) -> Any:
        return _of_face(self, self._sync, self._async, client, owner)


def coloured(
    sync: Callable[[T], S], awaited: Callable[[T], A]
) -> Callable[[Callable[Concatenate[Any, P], T]], Coloured[P, S, A]]:
    """Return a decorator for such a method: from classes, or from functions whose annotations name the class."""
    return lambda make: Coloured(make, sync, awaited)


def _making(make: Callable[..., Any], of: Callable[[Any], Any]) -> Callable[..., Any]:
    @wraps(make)
    def call(client: Any, *args: Any, **kwargs: Any) -> Any:
        return of(make(client, *args, **kwargs))

    result = of.__name__ if isinstance(of, type) else str(of.__annotations__["return"])
    call.__annotations__ = {**make.__annotations__, "return": result}
    del call.__wrapped__
    call.__signature__ = inspect.signature(make).replace(return_annotation=result)  # type: ignore[attr-defined]
    return call


def _of_face(own: Any, sync: Callable[..., Any], awaited: Callable[..., Any], client: Any, owner: Any) -> Any:
    """Return the function for the face of a client, or of a class of clients; on a class of neither the operation
    itself."""
    kind = type(client) if owner is None else owner
    chosen = awaited if issubclass(kind, AsyncFace) else sync if issubclass(kind, SyncFace) else None
    if client is None:
        return own if chosen is None else chosen
    return MethodType(chosen or sync, client)


def _blocking(operation: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(operation)
    def call(client: Any, *args: Any, **kwargs: Any) -> Any:
        return client._state.driver.run(operation(client, *args, **kwargs))  # noqa: SLF001 - a face's own

    return call


def _awaited(operation: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(operation)
    async def call(client: Any, *args: Any, **kwargs: Any) -> Any:
        return await client._state.driver.run(operation(client, *args, **kwargs))  # noqa: SLF001 - a face's own

    return call


def _walked(operation: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(operation)
    def call(client: Any, *args: Any, **kwargs: Any) -> Any:
        return client._state.driver.walk(operation(client, *args, **kwargs))  # noqa: SLF001 - a face's own

    return call


class Helper(Protocol[P, T_co]):
    """A function that takes a client of either face first."""

    @overload
    def __call__(self, client: SyncFace[Any], *args: P.args, **kwargs: P.kwargs) -> T_co: ...
    @overload
    def __call__(self, client: AsyncFace[Any], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T_co]: ...

    operation: Callable[..., Operation[Any]]


class WalkHelper(Protocol[P, T_co]):
    """A function that takes a client of either face first and gives an iterator of that face."""

    @overload
    def __call__(self, client: SyncFace[Any], *args: P.args, **kwargs: P.kwargs) -> Iterator[T_co]: ...
    @overload
    def __call__(self, client: AsyncFace[Any], *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T_co]: ...

    operation: Callable[..., Walk[Any]]


def helper(operation: Callable[Concatenate[Any, P], Operation[T]]) -> Helper[P, T]:
    """Return an operation as a function that blocks or is awaited, like the client it is given."""
    return cast("Helper[P, T]", _shown(operation, _blocking(operation)))


def walk_helper(operation: Callable[Concatenate[Any, P], Walk[T]]) -> WalkHelper[P, T]:
    """Return an operation that emits items as a function that gives a blocking or async iterator, like its client."""
    return cast("WalkHelper[P, T]", _shown(operation, _walked(operation), "Iterator"))


def _shown(operation: Callable[..., Any], call: Any, items: str | None = None) -> Callable[..., Any]:
    """Return a function that drives the operation, and that shows a reader its result instead of its steps."""
    result = str(operation.__annotations__.get("return", "Any"))
    match = _STEPS.fullmatch(result)
    result = match[1] if match else result
    call.__annotations__ = {**operation.__annotations__, "return": f"{items}[{result}]" if items else result}
    # Signature lookups would follow this to the generator, which callers should not see.
    del call.__wrapped__
    call.__signature__ = inspect.signature(operation).replace(return_annotation=call.__annotations__["return"])
    call.operation = operation
    return call  # type: ignore[no-any-return]


_STEPS = re.compile(r"(?:Operation|Walk)\[(.*)\]", re.DOTALL)
