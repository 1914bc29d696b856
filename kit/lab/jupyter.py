"""JupyterLab as a child process that ends with its parent.

Run as a module, it is that child: JupyterLab under this interpreter, so that neither PATH nor an activated environment
matters.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode

from ..core.errors import SetupError
from . import lab_registry

_READY_WITHIN = 90.0
_ENDS_WITHIN = 20.0
"""Seconds to wait for the end; the server gives a kernel in the middle of a cell 5 s before it kills it."""


class Jupyter:
    """A running JupyterLab; a context manager that ends it, its kernels and its terminals."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        notebook: str | None = None,
        port: int | None = None,
        browser: bool = True,
    ) -> None:
        self.folder = folder
        self.notebook = notebook
        # The log contains the token, so only this user may read it.
        handle, name = tempfile.mkstemp(prefix="jupyterlab-", suffix=".log", dir=lab_registry.folder())
        self.log = Path(name)
        try:
            self._child = subprocess.Popen(  # noqa: S603 - our own module, under this very interpreter
                [sys.executable, "-m", "kit.lab.jupyter", *_arguments(folder, notebook, port, browser)],
                cwd=folder,
                env=_with_settings(environment),
                stdin=subprocess.PIPE,
                stdout=handle,
                stderr=handle,
                # Ctrl-C is handled here once, instead of by JupyterLab's own question.
                start_new_session=True,
            )
        finally:
            os.close(handle)
        try:
            self._info = self._ready()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """The page that shows the first notebook, without the token."""
        page = f"lab/tree/{quote(self.notebook)}" if self.notebook else "lab"
        return f"{self._info['url']}{page}"

    @property
    def url_with_token(self) -> str:
        """The same, as a browser that was never here before needs it."""
        token = self._info["token"]
        return f"{self.url}?{urlencode({'token': token})}" if token else self.url

    def wait(self) -> int:
        """Wait for its end and gives the exit status; it is ended from its File menu, too."""
        while self._child.poll() is None:
            time.sleep(0.2)
        return int(self._child.returncode)

    def close(self) -> None:
        """End it in good order; what has not ended after a while is killed. May be called twice."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            self._child.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self.log.unlink(missing_ok=True)

    def last_words(self) -> str:
        """Return the end of its log, for a message."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else "it said nothing"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ready(self) -> dict[str, Any]:
        from jupyter_core.paths import jupyter_runtime_dir

        # The server writes this file, readable only for its user, once it listens.
        info = Path(jupyter_runtime_dir()) / f"jpserver-{self._child.pid}.json"
        deadline = time.monotonic() + _READY_WITHIN
        while time.monotonic() < deadline:
            if self._child.poll() is not None:
                raise SetupError(f"JupyterLab did not start: {self.last_words()}")
            try:
                described: dict[str, Any] = json.loads(info.read_text())
                return described
            except (FileNotFoundError, ValueError):
                time.sleep(0.05)
        raise SetupError(f"JupyterLab was not ready within {_READY_WITHIN:.0f} s: {self.last_words()}")


def check_installed() -> None:
    """Raise an error that says how to install it where JupyterLab is missing."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise SetupError("kit lab needs JupyterLab", hint='install it with: pip install "kit-notebook[lab]"')


def check_port(port: int) -> None:
    """Raise an error where the port is taken or not allowed."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as error:
            raise SetupError(
                f"port {port} for JupyterLab cannot be used: {error.strerror}",
                hint="choose another with --port, or leave it out for any free port",
            ) from None


def _with_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Add our settings to the user's: all of this runs without a network, so none is asked for news or versions."""
    ours = str(Path(__file__).with_name("jupyter_config"))
    theirs = environment.get("JUPYTER_CONFIG_PATH")
    return {**environment, "JUPYTER_CONFIG_PATH": os.pathsep.join([ours, theirs] if theirs else [ours])}


def _arguments(folder: Path, notebook: str | None, port: int | None, browser: bool) -> list[str]:
    arguments = [f"--ServerApp.root_dir={folder}"]
    if port is not None:
        arguments += [f"--ServerApp.port={port or _free_port()}", "--ServerApp.port_retries=0"]
    if not browser:
        arguments.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # In a container everything runs as root; JupyterLab listens on loopback only and requires its token.
        arguments.append("--allow-root")
    if notebook:
        arguments.append(str(folder / notebook))
    return arguments


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _main() -> Any:
    from . import parent

    parent.watch(os.getppid(), patience=_ENDS_WITHIN)
    from jupyterlab.labapp import main

    return main()


if __name__ == "__main__":
    sys.exit(_main())
