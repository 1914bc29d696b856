"""Arguments that only one service's logs take, and verbs that they lack: declared on the class, checked, shown by help.

A verb of a `Log` is written once. Each service's class of logs gets a copy of it whose signature and docstring include
that service's own arguments; a verb that the service lacks raises an error that names the verb and the reason.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ClassVar, NamedTuple, ParamSpec, TypeVar, cast

from ..errors import InputError, KitError
from ..tables.into import beside, with_into
from ..words import nearest

P = ParamSpec("P")
R = TypeVar("R")
READING = ("read", "head", "arrow", "to_parquet", "to_dask")
"""Verbs that read, with the same arguments."""
_NO_VERBS = {"extras", "lacks", "refuse", "answer", "word", "shown", "more", "service", "tree", "title", "tries"}
"""Names that Tab does not offer: they are declarations for the class, not verbs."""
REST = "extras"
"""The parameter of a verb that stands for what a class declares."""


class Extra(NamedTuple):
    """An argument of one service's logs."""

    name: str
    default: Any
    type: str
    says: str
    """What it does, as a sentence for the docstring."""
    verbs: tuple[str, ...]


class Gap(NamedTuple):
    """A verb that a service's logs lack, with the reason and what to use instead."""

    why: str
    instead: str


class Declares:
    """A class that declares the arguments of its service's logs or explorer, and the verbs that they lack."""

    extras: ClassVar[tuple[Extra, ...]] = ()
    lacks: ClassVar[Mapping[str, Gap]] = {}
    refuse: ClassVar[type[KitError]] = InputError
    """The error for a verb that is lacking, and for an argument that a verb does not have."""
    answer: ClassVar[str] = "Any"
    """The type of the result of `append`, for `help`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, gap in cls.lacks.items():
            setattr(cls, name, _lacking(getattr(cls, name), gap))

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__()} - _NO_VERBS)


def own(kind: type[Declares], verb: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the declared arguments of a verb, with those given; refuse others, naming the nearest."""
    known = {extra.name: extra.default for extra in kind.extras if verb in extra.verbs}
    for name in given:
        if name not in known:
            takes = [
                parameter
                for parameter in inspect.signature(getattr(kind, verb)).parameters
                if parameter not in ("self", REST)
            ]
            hint = nearest(name, takes) or f"there are {', '.join(takes)}"
            raise kind.refuse(f"{verb}() has no argument {name}=", hint=hint)
    return {**known, **given}


def declare(kind: type[Declares], verbs: Mapping[str, Any]) -> None:
    """Give a class its own verbs where it takes something more, and where it has its own answer to an append."""
    inherited = {id(verb): name for name, verb in verbs.items()}
    for name in dict.fromkeys((*verbs, *vars(kind))):
        attribute = getattr(kind, name)
        called = inherited.get(id(attribute), name)
        takes = [extra for extra in kind.extras if called in extra.verbs]
        if called in verbs and (takes or called == "append"):
            setattr(kind, name, _taking(attribute, takes, kind.answer if called == "append" else None))


def _taking(verb: Callable[..., Any], extras: list[Extra], answer: str | None) -> Callable[..., Any]:
    """Return a verb that tells of further arguments, which it takes already, unnamed, and of what it gives."""

    @wraps(verb)
    def call(*args: Any, **kwargs: Any) -> Any:
        return verb(*args, **kwargs)

    takes = inspect.signature(verb)
    parameters = [parameter for parameter in takes.parameters.values() if parameter.name != REST]
    takes = takes.replace(parameters=parameters, return_annotation=answer or takes.return_annotation)
    call.__signature__ = beside(takes, *(_keyword(*extra[:3]) for extra in extras))  # type: ignore[attr-defined]
    _say(call, verb, *(f"`{extra.name}`: {extra.says}" for extra in extras))
    return with_into(call) if answer == "pd.DataFrame" else call


def _lacking(verb: Callable[..., Any], gap: Gap) -> Any:
    @wraps(verb)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise self.refuse(f"{self!r} has no {verb.__name__}(): {gap.why}", hint=gap.instead)

    call.__signature__ = inspect.signature(verb)  # type: ignore[attr-defined]
    call.__doc__ = f"Not here: {gap.why}. Instead: {gap.instead}."
    return call


def named(verb: Callable[..., R], parameter: str, type: str = "str") -> Callable[..., R]:
    """Return a verb of a log as one of its explorer: the log's name comes first."""

    @wraps(verb)
    def call(self: Any, *args: Any, **kwargs: Any) -> R:
        name, *rest = args or (kwargs.pop(parameter),)
        return verb(self[name], *rest, **kwargs)

    own, *others = inspect.signature(verb).parameters.values()
    first = inspect.Parameter(parameter, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=type)
    call.__signature__ = inspect.signature(verb).replace(parameters=[own, first, *others])  # type: ignore[attr-defined]
    return call


def formerly(verb: Callable[P, R], old: str, new: str) -> Callable[P, R]:
    """Return a verb that still takes an argument by the name that it had."""

    @wraps(verb)
    def call(*args: Any, **kwargs: Any) -> R:
        old_value = kwargs.pop(old, None)
        return verb(*args, **(kwargs if old_value is None else {**kwargs, new: old_value}))

    call.__signature__ = beside(inspect.signature(verb), _keyword(old, None, "Any"))  # type: ignore[attr-defined]
    _say(call, verb, f"`{old}`: The former name of `{new}`.")
    return cast("Callable[P, R]", call)


def _keyword(name: str, default: Any, type: str) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=type)


def _say(call: Any, verb: Callable[..., Any], *more: str) -> None:
    call.__doc__ = "\n".join((inspect.cleandoc(verb.__doc__ or ""), "", *more))
