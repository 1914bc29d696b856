"""A home of its own for a command under test: nothing of this user is found, joined or changed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PLACES = {
    "HOME": ".",
    "XDG_RUNTIME_DIR": "run",
    "XDG_DATA_HOME": "data",
    "XDG_CONFIG_HOME": "config",
    "XDG_CACHE_HOME": "cache",
    "JUPYTER_CONFIG_DIR": "jupyter",
    "JUPYTER_DATA_DIR": "jupyter-data",
    "JUPYTER_RUNTIME_DIR": "jupyter-run",
    "JUPYTERLAB_SETTINGS_DIR": "lab-settings",
    "JUPYTERLAB_WORKSPACES_DIR": "lab-workspaces",
    "IPYTHONDIR": "ipython",
    "MPLCONFIGDIR": "matplotlib",
}


def own_environment(home: Path, settings: Mapping[str, Any] | None = None) -> dict[str, str]:
    """The variables for a child process; `settings` are JupyterLab's, by plugin."""
    places = {name: home / place for name, place in PLACES.items()}
    for place in places.values():
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    overrides = places["JUPYTER_CONFIG_DIR"] / "labconfig"
    overrides.mkdir(exist_ok=True)
    (overrides / "default_setting_overrides.json").write_text(json.dumps(settings or {}))
    return {**os.environ, **{name: str(place) for name, place in places.items()}}


def living_in(home: Path) -> list[str]:
    """The command lines of the processes that were started with that environment, and live."""
    mark = f"XDG_RUNTIME_DIR={home / PLACES['XDG_RUNTIME_DIR']}".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (place / "environ").read_bytes().split(b"\0"):
                found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [line for line in found if line]  # one that has ended and is not yet collected has none
