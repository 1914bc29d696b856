"""The plugin that delivers credentials to workers."""

from __future__ import annotations

from typing import Any

from distributed import WorkerPlugin

from ...core.secrets import Secret
from .credentials import accept


class Bearer(WorkerPlugin):  # type: ignore[misc]
    """Gives credentials to a worker when it starts. Its repr and fields show none; only its pickled form has them."""

    idempotent = True

    def __init__(self, name: str, texts: dict[str, str]) -> None:
        self.name = f"kit-credential-{name}"
        self._credential = name
        self._secrets = {key: Secret(text) for key, text in texts.items()}

    def setup(self, worker: Any) -> None:
        accept(self._credential, {key: secret.reveal() for key, secret in self._secrets.items()})

    def __reduce__(self) -> Any:
        return Bearer, (self._credential, {key: secret.reveal() for key, secret in self._secrets.items()})

    def __repr__(self) -> str:
        return f"<{self.name}>"
