"""Credentials on Dask workers: tasks refer to them by name, a worker plugin delivers them.

What Dask shows of a task (its key, its graph, its repr, the dashboard) contains only a random name. The credential
itself goes from the client to the workers once, as the content of a plugin, over the cluster's own connections: use a
cluster with TLS if these leave the machine. A worker that starts later, or again, gets it from the scheduler.
"""

from __future__ import annotations

import secrets as random
import threading
from collections.abc import Mapping

from ...core.errors import SetupError
from ...core.secrets import Secret

_held: dict[str, dict[str, Secret]] = {}
_lock = threading.Lock()


def named(secrets: Mapping[str, Secret]) -> str:
    """Return the name of these credentials in this process."""
    with _lock:
        name = next((name for name, known in _held.items() if known == dict(secrets)), None)
        if name is None:
            name = random.token_hex(8)
            _held[name] = dict(secrets)
    return name


def held(name: str, label: str) -> dict[str, Secret]:
    """Return the credentials of that name, where a task needs them."""
    credential = _held.get(name)
    if credential is None:
        raise SetupError(
            f"this worker did not receive the credential for {label}",
            hint="create the distributed.Client before to_dask() or append_to(), which send it to the workers",
        )
    return credential


def accept(name: str, texts: Mapping[str, str]) -> None:
    """Take credentials that have arrived."""
    with _lock:
        _held[name] = {key: Secret(text) for key, text in texts.items()}
