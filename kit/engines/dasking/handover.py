"""Handing credentials to the workers of the current Dask client; `distributed` is used only if it is imported."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ...core.secrets import Secret
from .credentials import named


def hold(secrets: Mapping[str, Secret]) -> str:
    """Return the name of these credentials, in this process and on the workers of the client that is in use."""
    name, client = named(secrets), client_in_use()
    if client is not None and secrets:
        from .plugin import Bearer

        client.register_plugin(Bearer(name, {key: secret.reveal() for key, secret in secrets.items()}))
    return name


def client_in_use() -> Any:
    """Return the `distributed.Client` that computations go to, or None."""
    if "distributed" not in sys.modules:
        return None
    import distributed

    try:
        return distributed.default_client()
    except ValueError:
        return None
