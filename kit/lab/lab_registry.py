"""Small files that describe running labs to other processes of the user; only the user can read them."""

from __future__ import annotations

import getpass
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from ..core.environment import Given
from ..core.errors import SetupError
from ..core.secrets import Secret


def folder() -> Path:
    """Return where the files are: the user's runtime folder, or one of the user's own among the temporary files."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    place = (
        Path(runtime) / "kit" if runtime and os.path.isdir(runtime) else Path(tempfile.gettempdir()) / f"kit-{_user()}"
    )
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix":
        status = place.lstat()
        # In a temporary directory another user may have created the folder first, to read our tokens.
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise SetupError(f"{place} is not a private folder of this user", hint="remove it, or set XDG_RUNTIME_DIR")
    return place


def _user() -> str:
    return str(os.getuid()) if os.name == "posix" else getpass.getuser()


def write(described: dict[str, Any]) -> Path:
    """Announce a lab; the file is whole from the first moment it can be seen."""
    path = folder() / f"lab-{described['pid']}.json"
    draft = path.with_suffix(".draft")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(described, file)
    draft.replace(path)
    return path


def veiled(described: dict[str, Any]) -> dict[str, Any]:
    """Return what a lab says of itself, with its token and the variables that hold it hidden: handles keep it."""
    if "token" in described:
        described["token"], described["env"] = Secret.unchecked(described["token"]), Given(described.get("env", {}))
    return described


def read() -> list[dict[str, Any]]:
    """Return the labs announced, newest first; files of processes that are gone are cleared away."""
    descriptors = []
    for path in sorted(folder().glob("lab-*.json"), key=_written, reverse=True):
        try:
            described = veiled(json.loads(path.read_text()))
            alive = _alive(described["pid"])
        except (OSError, ValueError, KeyError):
            continue
        if alive:
            descriptors.append(described)
        else:
            path.unlink(missing_ok=True)
    return descriptors


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0  # its lab has ended at this moment


def _alive(pid: int) -> bool:
    if os.name != "posix":
        return True  # the control server is asked next
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
