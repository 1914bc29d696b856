"""Packages whose names load when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def names(
    package: str, where: Mapping[str, str], public: Sequence[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package; `where` says which of its modules has which name."""

    def get(name: str) -> Any:
        if name not in where:
            import difflib

            near = difflib.get_close_matches(name, public, n=1)
            raise AttributeError(f"{package} has no {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
        import importlib

        value = shown(package, getattr(importlib.import_module(f"{package}.{where[name]}"), name))
        vars(sys.modules[package])[name] = value
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *public})

    return get, listed


def shown(package: str, value: Any) -> Any:
    """Return the value; tracebacks and help show it under the package that it can be imported from."""
    if hasattr(value, "__module__"):
        value.__module__ = package
    return value
