"""Which certificates are trusted where this package itself speaks TLS."""

from __future__ import annotations

import os
import ssl
from functools import cache


@cache
def trusting(verify: bool | str, protocol: str = "") -> ssl.SSLContext:
    """Return a context that checks certificates against the same authorities as every other call."""
    if isinstance(verify, str):
        return _for(ssl.create_default_context(cafile=verify), protocol)
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
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
