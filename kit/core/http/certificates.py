"""Which certificates are trusted where this package itself speaks TLS."""

from __future__ import annotations

import os
import ssl
from functools import cache
from typing import Any

from ..errors import InputError, SetupError


def context_of(verify: Any, protocol: str) -> ssl.SSLContext:
    """Return the context for the `verify` of a caller, to be used at once, with this protocol."""
    if not isinstance(verify, ssl.SSLContext):
        return trusting(verify, protocol)
    # Set for each use, as other calls change it on a shared context.
    verify.set_alpn_protocols([protocol])
    return verify


def trusting(verify: Any, protocol: str = "") -> ssl.SSLContext:
    """Return a context that checks certificates against the same authorities as every other call."""
    if isinstance(verify, os.PathLike):
        verify = os.fspath(verify)
    if not isinstance(verify, bool | str):
        raise InputError(
            f"verify must be True, False, a file of certificates or an ssl.SSLContext, not {type(verify).__name__}"
        )
    # What the environment names counts as it is now: who is told of a certificate that is not trusted may set it then.
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    try:
        return _made(verify, protocol, file, folder)
    except OSError as error:
        place = f"verify={verify!r}" if isinstance(verify, str) else f"SSL_CERT_FILE={file!r}"
        failure = SetupError(f"the certificates cannot be loaded, {place}: {error}", hint="name a file in PEM format")
    raise failure


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
