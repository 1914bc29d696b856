"""What is imported is declared, and what is declared is used."""

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = {"google": "protobuf", "IPython": "ipython", "jupyter_core": "jupyter-core", "nest_asyncio": "nest-asyncio"}
"""Packages that are imported under another name than they are installed by."""
OFFERED = {"nest_asyncio2": "used in the place of nest-asyncio where the kernel brings it"}


def imported():
    """The packages that `kit` imports, with a file that does."""
    found = {}
    for path in (ROOT / "kit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top != "kit" and top not in OFFERED:
                    found.setdefault(NAMES.get(top, top), path.relative_to(ROOT).as_posix())
    return found


def declared():
    """The requirements of the package, and those of each extra but the one of the tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: list_ for name, list_ in project["optional-dependencies"].items() if name not in ("test", "docs")}
    return {"": project["dependencies"], **extras}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    names = {re.split(r"[\\[<>=;]", one)[0] for some in declared().values() for one in some} - {"kit-notebook"}
    used = imported()
    assert {name: file for name, file in used.items() if name not in names} == {}
    assert names - set(used) == set()


def test_every_requirement_has_a_lower_bound():
    for some in declared().values():
        for one in some:
            assert ">=" in one or one.startswith("kit-notebook["), one
