"""The pages that are made from the code: `python -m tests.docs` writes them anew, and `test_docs.py` sees that they fit."""

from __future__ import annotations

import enum
import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import kit
from kit.front import EXPLORERS
from tests.pure.test_public_names import EXPLORED, load

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
_TUNED = ("amdahl.limits", "claude.tuning", "kimberlite.tuning", "synap.tuning")
_MARKED = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- /made -->\n)", re.DOTALL)


def modules() -> list[str]:
    """Return the packages whose names are public."""
    return ["kit", *(f"kit.{service}" for service in EXPLORERS), "kit.plots", "kit.testing"]


def names() -> dict[str, list[str]]:
    """Return the public names of each package, sorted."""
    return {module: sorted(_listed(importlib.import_module(module)) - {"__version__"}) for module in modules()}


def _listed(package: Any) -> set[str]:
    """Return the names that a package lists, or, where it has no list, those that it defines."""
    if hasattr(package, "__all__"):
        return set(package.__all__)
    own = {name for name, value in vars(package).items() if getattr(value, "__module__", None) == package.__name__}
    return {name for name in own if not name.startswith("_")}


def _first(value: Any) -> str:
    text = (inspect.getdoc(value) or "").split("\n\n")[0]
    return re.sub(r"\s+", " ", text).strip()


def _signature(name: str, value: Any, *, bound: bool = False) -> str:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return name
    parameters = [one for one in signature.parameters.values() if not (bound and one.name in ("self", "cls"))]
    # Annotations are in the docstrings' words and in the editor; here they would hide the names.
    plain = signature.replace(
        parameters=[one.replace(annotation=one.empty) for one in parameters], return_annotation=signature.empty
    )
    return re.sub(r"<[^<>]* object at 0x[0-9a-f]+>|<factory>", "...", f"{name}{plain}")


def _members(cls: type) -> list[str]:
    lines = []
    for name, value in inspect.getmembers(cls):
        if name.startswith("_") or any(value == getattr(base, name, None) for base in (dict, Mapping)):
            continue  # all dicts have these methods
        if isinstance(value, property) or inspect.isdatadescriptor(value):
            if (text := _first(value)) and isinstance(value, property):
                lines.append(f"- `{name}`: {text}")
        elif callable(value) and not inspect.isclass(value):
            lines.append(f"- `{_signature(name, value, bound=True)}`: {_first(value)}")
    return lines


def _entry(name: str, value: Any, level: str) -> list[str]:
    if not callable(value):
        parts = sorted(value) if isinstance(value, set) else value if isinstance(value, tuple) else [value]
        return [f"{level} {name}", "", ", ".join(f"`{getattr(part, '__name__', part)}`" for part in parts), ""]
    shown = name if inspect.isclass(value) and issubclass(value, enum.Enum) else _signature(name, value)
    lines = [f"{level} {name}", "", f"`{shown}`", "", _first(value), ""]
    if inspect.isclass(value):
        if issubclass(value, enum.Enum):
            lines += [", ".join(f"`{one.name}`" for one in value), ""]
        elif not issubclass(value, BaseException) and (members := _members(value)):
            lines += [*members, ""]
    return lines


def api() -> str:
    """Return the page of all public names."""
    lines = [
        "# API",
        "",
        "All public names, made from the code by `python -m tests.docs`. `help(name)` says more about each, with the types",
        "of its arguments and an example.",
        "",
    ]
    for module, held in names().items():
        package = importlib.import_module(module)
        lines += [f"## {module}", "", _first(package), ""]
        for name in held:
            value = getattr(package, name)
            if inspect.ismodule(value):
                lines += [
                    f"### {name}",
                    "",
                    f"The package `{value.__name__}`{', described below' if value.__name__ in modules() else ''}.",
                    "",
                ]
            else:
                lines += _entry(name, value, "###")
    lines += [
        "## Explorers and handles",
        "",
        "What `kit.connect`, the attributes of a lab, and their items return.",
        "",
    ]
    for where in EXPLORED:
        name = where.rpartition(":")[2]
        if name not in ("Lab", "Feed", "LiveView"):
            service = where.split(".")[1]
            lines += _entry(name, load(where), f"### {service}:")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def tuned() -> str:
    """Return the table of the lab's numbers."""
    lines = ["| variable | default |", "|---|---|"]
    for where in _TUNED:
        cls = importlib.import_module(f"kit.lab.{where}").Tuning
        lines += [f"| `{cls.prefix}{one.name.upper()}` | {one.default:g} |" for one in fields(cls)]
    return "\n".join(lines) + "\n"


def public() -> str:
    """Return the list of public names, as `changes.md` has it."""
    return "\n".join(f"- `{module}`: {', '.join(held)}" for module, held in names().items()) + "\n"


def commands() -> str:
    """Return what the command line says of itself."""
    import argparse

    from kit.lab.command import parser

    lines = []
    top = parser()
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {one.dest: one.help for one in action._choices_actions}
            for name, sub in action.choices.items():
                lines.append(f"- `kit {name}`: {helps.get(name, '')}")
                lines += [
                    f"  - `{one.option_strings[-1]}`: {one.help}"
                    for one in sub._actions
                    if one.option_strings and one.dest != "help"
                ]
    return "\n".join(lines) + "\n"


MADE = {"tuned": tuned, "public": public, "commands": commands}


def filled(page: str) -> str:
    """Return a page with its made parts as the code has them now."""
    return _MARKED.sub(lambda found: f"{found[1]}{MADE[found[2]]()}{found[3]}", page)


def main() -> None:
    """Write the made pages."""
    (NOTEBOOKS / "api.md").write_text(api())
    for path in NOTEBOOKS.glob("*.md"):
        text = path.read_text()
        if (new := filled(text)) != text:
            path.write_text(new)
    print(f"{len(api().splitlines())} lines of api.md, version {kit.__version__}")


if __name__ == "__main__":
    main()
