"""The pages are true: what is made from the code fits it, what is named is there, and what there is is named."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from tests import docs

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / ".github" / "CONTRIBUTING.md", ROOT / ".github" / "SECURITY.md"]
PAGES += sorted((ROOT / "notebooks").glob("*.md"))
ALL = "\n".join(path.read_text() for path in PAGES)


def test_the_page_of_all_names_fits_the_code():
    assert (docs.NOTEBOOKS / "api.md").read_text() == docs.api(), "python -m tests.docs writes it anew"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_what_is_made_from_the_code_fits_it(path):
    text = path.read_text()
    assert docs.filled(text) == text, "python -m tests.docs writes it anew"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", path.read_text()):
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), f"{path.name} links to {target}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", found.read_text(), re.M)
            known = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in known, f"{path.name} links to {target}"


def test_a_name_with_dots_is_there():
    for dotted in set(re.findall(r"`(kit(?:\.\w+)+)", ALL)):
        parts = dotted.split(".")
        value, at = importlib.import_module("kit"), 1
        for part in parts[1:]:
            at += 1
            try:
                value = getattr(value, part)
            except AttributeError:
                value = importlib.import_module(".".join(parts[:at]))


def test_files_that_are_named_are_there():
    for name in set(re.findall(r"`((?:tests|kit|notebooks|binder|\.ci|\.github)/[\w./-]*)`", ALL)):
        assert "NAME" in name or (ROOT / name).exists(), name  # NAME stands for the name of a service's package


def test_commands_that_are_named_are_there():
    for name in set(re.findall(r"python -m ((?:tests|kit)[\w.]*)", ALL)):
        found = importlib.util.find_spec(name)
        assert found, name
        if found.submodule_search_locations is not None:
            assert importlib.util.find_spec(f"{name}.__main__"), f"{name} cannot be run"


def test_each_variable_is_told():
    source = "\n".join(path.read_text() for path in (ROOT / "kit").rglob("*.py"))
    prefixes = r"(?:KIT|S2|KIMBERLITE|SYNAP|CLAUDE|AMDAHL|XDG|SSL_CERT|JUPYTER|JUPYTERLAB)_[A-Z_]*[A-Z]"
    for name in set(re.findall(rf"[\"']({prefixes}|API_KEY|[A-Z]+_PROXY)[\"']", source)):
        assert f"`{name}`" in (docs.NOTEBOOKS / "settings.md").read_text(), name


def test_each_extra_is_told():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (docs.NOTEBOOKS / "settings.md").read_text()
    told = set(re.findall(r"^\| `\[(\w+)\]`", page, re.M))
    assert told == set(project["optional-dependencies"])


def test_each_page_is_linked_from_the_readme():
    readme = (ROOT / "README.md").read_text()
    for path in docs.NOTEBOOKS.iterdir():
        if path.suffix in (".md", ".ipynb") and path.stem != "index":
            assert f"(notebooks/{path.name})" in readme, path.name


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_each_page_is_in_the_table_of_contents():
    index = (docs.NOTEBOOKS / "index.md").read_text()
    listed = set(re.findall(r"^([\w-]+)$", index, re.M))
    assert listed == {path.stem for path in docs.NOTEBOOKS.glob("*") if path.suffix in (".md", ".ipynb")} - {"index"}
