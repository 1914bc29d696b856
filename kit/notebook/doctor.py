"""Checks of an installation: what works, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.metadata as metadata
import importlib.util
import os
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..version import __version__

State = Literal["good", "note", "bad"]
_SIGNS = {"good": "ok", "note": "--", "bad": "!!"}
_EXTRAS = {
    "lab": ("starlette", "uvicorn", "httptools", "jupyterlab", "duckdb"),
    "fast": ("ptars", "orjson"),
    "sql": ("duckdb",),
    "dask": ("dask", "distributed"),
}
_USES = {
    "lab": "embedded servers and JupyterLab",
    "fast": "quicker decoding of large reads",
    "sql": "kit.sql and %%sql",
    "dask": "to_dask()",
}
_PACKAGE = "kit-notebook"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    state: State
    what: str
    found: str
    advice: str = ""


class Report:
    """The results of all checks; shown as text or as a table."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong; notes are not."""
        return all(finding.state != "bad" for finding in self.findings)

    def __repr__(self) -> str:
        width = max(len(finding.what) for finding in self.findings)
        lines = []
        for one in self.findings:
            lines.append(f"{_SIGNS[one.state]}  {one.what:<{width}}  {one.found}")
            lines += [f"    {'':<{width}}  {one.advice}"] if one.advice else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from ..core.html import table

        return table(
            ("", "what", "found", "what to do"),
            [(_SIGNS[finding.state], finding.what, finding.found, finding.advice) for finding in self.findings],
        )


def examine() -> Report:
    """Return the state of this installation, and what to do about problems.

    >>> examine().findings[0].what
    'Python'
    """
    findings: list[Finding] = []
    for look in _LOOKS:
        try:
            findings += look()
        except Exception as error:
            findings.append(Finding("note", look.__name__.strip("_"), f"could not be looked at: {error}"))
    return Report(findings)


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    yield Finding("good" if good else "bad", "Python", version, "" if good else "3.11 or later is needed")
    yield Finding("good", "kit", __version__)


def _requirements() -> Iterator[Finding]:
    """Return the packages that the toolkit cannot do without, in the versions it needs."""
    try:
        requirements = metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        yield Finding("note", "packages", f"{_PACKAGE} is not installed, but run from its folder")
        return
    short = []
    for text in requirements:
        if "extra ==" in text:
            continue
        named = re.match(r"([A-Za-z0-9._-]+)\s*(?:>=\s*([0-9.]+))?", text)
        if named is None:
            continue
        name, least = named[1], named[2]
        there = _version(name)
        if there is None or (least and _numbers(there) < _numbers(least)):
            short.append(f"{name} {there or 'missing'} (needs {least or 'any'})")
    if short:
        yield Finding("bad", "packages", ", ".join(short), f"pip install --upgrade {_PACKAGE}")
    else:
        yield Finding("good", "packages", "all that are needed")


def _extras() -> Iterator[Finding]:
    for extra, names in _EXTRAS.items():
        missing = [name for name in names if importlib.util.find_spec(name) is None]
        if missing:
            advice = f'for {_USES[extra]}: pip install "{_PACKAGE}[{extra}]"'
            yield Finding("note", f"extra [{extra}]", f"without {', '.join(missing)}", advice)
        else:
            yield Finding("good", f"extra [{extra}]", _USES[extra])


def _widgets() -> Iterator[Finding]:
    """Check that live views have ipywidgets in the kernel and its counterpart in the front end."""
    shell = _shell()
    place = "VS Code" if "VSCODE_PID" in os.environ or "VSCODE_CWD" in os.environ else ""
    place = "Colab" if importlib.util.find_spec("google") and "COLAB_GPU" in os.environ else place
    if place:
        advice = "where views stay empty: install its Jupyter extension's widget support and reload the window"
        yield Finding("note", "front end", place, advice)
    states = [
        folder
        for folder in _jupyter_folders()
        if (folder / "labextensions" / "@jupyter-widgets" / "jupyterlab-manager").is_dir()
    ]
    if states:
        yield Finding(
            "good", "widgets in JupyterLab", f"jupyterlab_widgets {_version('jupyterlab_widgets') or ''}".strip()
        )
    elif importlib.util.find_spec("jupyterlab"):
        advice = "pip install --force-reinstall jupyterlab_widgets, then reload the page"
        yield Finding("bad", "widgets in JupyterLab", "its extension is missing", advice)
    else:
        advice = "install jupyterlab_widgets where JupyterLab runs, if that is another environment"
        yield Finding("note", "widgets in JupyterLab", "JupyterLab is not in this environment", advice)
    if shell is not None:
        loaded = "kit" in getattr(shell.extension_manager, "loaded", ())
        advice = "" if loaded else "%load_ext kit adds magics, and asyncio.run() in cells"
        yield Finding("good" if loaded else "note", "%load_ext kit", "loaded" if loaded else "not loaded", advice)


def _places() -> Iterator[Finding]:
    """Return folders that must be writable, labs that run, the port of JupyterLab."""
    from ..lab import lab_registry, notebook_copies

    runtime = lab_registry.folder()
    yield Finding("good", "runtime folder", str(runtime))
    for what, folder, option in (
        ("temporary folder", Path(tempfile.gettempdir()), "set TMPDIR"),
        ("notebooks folder", notebook_copies.default_folder(), "choose one with kit lab --notebooks"),
    ):
        trouble = _unwritable(folder)
        yield Finding("bad" if trouble else "good", what, trouble or str(folder), option if trouble else "")
    before = len(list(runtime.glob("lab-*.json")))
    labs = lab_registry.read()
    cleared = before - len(list(runtime.glob("lab-*.json")))
    if cleared:
        yield Finding("note", "labs left by a crash", f"{cleared} cleared away")
    for described in labs:
        from ..lab import running_labs

        if running_labs.answers(described):
            yield Finding("good", "lab", f"process {described['pid']}: {', '.join(described['services'])}")
        else:
            advice = f"end it if it hangs: kill {described['pid']}"
            yield Finding("bad", "lab", f"process {described['pid']} does not answer", advice)
    if not labs:
        yield Finding("note", "lab", "none is running", "kit lab, kit serve, or kit.Lab() in a notebook")
    taken = _taken(8888)
    advice = "kit lab uses the next free port; choose one with --port" if taken else ""
    yield Finding("note" if taken else "good", "port 8888", "taken" if taken else "free", advice)


def _network() -> Iterator[Finding]:
    names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
    set_names = [name for name in names if os.environ.get(name) or os.environ.get(name.lower())]
    if set_names:
        yield Finding(
            "note", "environment", ", ".join(set_names), "honoured for real services; never for this machine's own"
        )
    file = os.environ.get("SSL_CERT_FILE")
    if file and not Path(file).is_file():
        yield Finding(
            "bad", "SSL_CERT_FILE", "names a file that is not there", "unset it, or point it at the certificates"
        )


_LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (_python, _requirements, _extras, _widgets, _places, _network)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3]]
    return (*numbers, *[0] * (3 - len(numbers)))


def _shell() -> Any:
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    return get_ipython()


def _jupyter_folders() -> list[Path]:
    try:
        from jupyter_core.paths import jupyter_path
    except ImportError:
        return [Path(sys.prefix) / "share" / "jupyter"]
    return [Path(folder) for folder in jupyter_path()]


def _unwritable(folder: Path) -> str:
    """Return why nothing can be written there, or ""; a folder that is still to be made is judged by the nearest one
    above."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"{folder} cannot be written to"


def _taken(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(0.5)
        return sock.connect_ex(("127.0.0.1", port)) == 0
