"""The user's working copies of the notebooks: files that the user changed are kept, the others follow the package.

If the notebooks were opened where they are installed, a run could change the package or a checkout.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import SetupError

_LEDGER = ".copied.json"
"""A file in the folder of copies, with the digest of each copy when it was last written."""


@dataclass(slots=True)
class NotebookCopies:
    """A folder of notebooks that the user may change."""

    folder: Path
    notebooks: list[str] = field(default_factory=list)
    """Those that come with the package, in reading order."""
    kept: list[str] = field(default_factory=list)
    """Files that the user changed, and that have also changed in the package."""


def shipped() -> Path | None:
    """Return where the package's notebooks are: inside an installed wheel, or beside `kit/` in a checkout."""
    here = Path(__file__).resolve().parent
    for place in (here / "notebooks", here.parents[1] / "notebooks"):
        if place.is_dir():
            return place
    return None


def default_folder() -> Path:
    """Return the place for a user's data on this system, in a folder of our own."""
    if os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    return base / "kit" / "notebooks"


def refresh(folder: Path, source: Path | None = None) -> NotebookCopies:
    """Bring the folder up to date: add missing files, replace those that the user has not changed."""
    source = source or shipped()
    copies = NotebookCopies(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ledger = _read(folder / _LEDGER)
        for path in sorted(source.rglob("*")) if source else ():
            name = path.relative_to(source or folder)
            if path.is_file() and not any(part.startswith((".", "__")) for part in name.parts):
                _copy(path, copies, name.as_posix(), ledger)
        _write(folder / _LEDGER, json.dumps(ledger, indent=1).encode())
    except OSError as error:
        raise SetupError(
            f"the notebooks cannot be copied to {folder}: {error.strerror}", hint="choose a folder with --notebooks"
        ) from None
    return copies


def _copy(path: Path, copies: NotebookCopies, name: str, ledger: dict[str, str]) -> None:
    if path.suffix == ".ipynb":
        copies.notebooks.append(name)
    target = copies.folder / name
    new, last = _digest(path), ledger.get(name)
    if target.exists():
        if new == last:
            return
        if _digest(target) not in (last, new):
            copies.kept.append(name)
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    _write(target, path.read_bytes())
    ledger[name] = new


def _digest(path: Path) -> str:
    """Digest what a notebook's author wrote: opening it changes its metadata, and running it the outputs."""
    content = path.read_bytes()
    if path.suffix == ".ipynb":
        try:
            cells = [[cell["cell_type"], "".join(cell["source"])] for cell in json.loads(content)["cells"]]
            content = json.dumps(cells).encode()
        except (ValueError, LookupError, TypeError):
            pass  # not a notebook: compare all bytes
    return hashlib.sha256(content).hexdigest()


def _read(path: Path) -> dict[str, str]:
    try:
        ledger = json.loads(path.read_text())
        return ledger if isinstance(ledger, dict) else {}
    except (FileNotFoundError, ValueError):
        return {}


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    draft.write_bytes(content)
    draft.replace(path)
