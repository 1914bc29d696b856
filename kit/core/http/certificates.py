"""Which certificates are trusted where this package itself speaks TLS."""

from __future__ import annotations

import os
import ssl
from functools import cache


def trusting(verify: bool | str, protocol: str = "") -> ssl.SSLContext:
    """Return a context that checks certificates against the same authorities as every other call."""
    # What the environment names counts as it is now: who is told of a certificate that is not trusted may set it then.
    return _made(verify, protocol, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _made(verify: bool | str, protocol: str, file: str | None, folder: str | None) -> ssl.SSLContext:
    if isinstance(verify, str):
        return _for(ssl.create_default_context(cafile=verify), protocol)
    if not (file or folder):
        import certifi

        file = certifi.where()
    context = ssl.create_default_context(cafile=file, capath=folder)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return _for(context, protocol)


def _for(context: ssl.SSLContext, protocol: str) -> ssl.SSLContext:
    if protocol:
        context.set_alpn_protocols([protocol])
    return context
