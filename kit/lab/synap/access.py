"""Access with the lab's key, as a bearer token, in the query, or as the password of a user."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping

USERS = ("default", "root")
"""Users that may give the key as a password; SynapRPC uses `default` if only a password is given."""


class Access:
    """Checks requests for the lab's key."""

    def __init__(self, token: str) -> None:
        self.key = f"sk_{token[:32]}"
        self._expected = self.key.encode()

    def allows(self, headers: Mapping[bytes, bytes], query: bytes = b"") -> bool:
        """Return whether a request over HTTP has a good credential."""
        header = headers.get(b"authorization")
        if header is None:
            # Not percent-decoded, as in the service.
            for part in query.split(b"&"):
                if part.startswith(b"api_key="):
                    return self._same(part[8:])
            return False
        if header.startswith(b"Bearer "):
            return self._same(header[7:])
        if header.startswith(b"Basic "):
            try:
                user, _, password = base64.b64decode(header[6:], validate=True).partition(b":")
            except (binascii.Error, ValueError):
                return False
            return self._same(password) and user.decode("latin-1") in USERS
        return False

    def allows_user(self, user: str, password: str) -> bool:
        """Return whether AUTH over SynapRPC succeeds."""
        return self._same(password.encode("utf-8", "replace")) and user in USERS

    def _same(self, key: bytes) -> bool:
        return hmac.compare_digest(key, self._expected)
