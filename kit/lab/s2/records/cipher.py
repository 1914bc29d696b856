"""Encrypting stored records with a key that only the client has.

For the lab only: it uses Python's standard library, not the cipher that the stream's settings name. Each record's
headers and body are encrypted with the key stream of SHAKE-256 over a key derived from the client's key and a random
nonce, and authenticated by keyed BLAKE2b over the nonce, the record's place and the encrypted bytes. The key is never
stored; a wrong key is only noticed because records cannot be decrypted. Command records (fence, trim) stay readable,
as in the service.

    16 bytes    nonce
    n bytes     headers and body, encrypted
    16 bytes    proof

A record's metered size is stored in a separate field, so that limits and trims need no key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from ....s2.errors import S2ServerError
from ....s2.limits import KEY_BYTES
from ....s2.wire.messages import varint
from ..http.answers import refusal
from .chunks import SIZE, Place, is_command, metered, number, placed, places

_NONCE, _PROOF = 16, 16
_MAX_HEADER = 44


def key_of(header: str | None, cipher: str | None) -> bytes | None:
    """Return the key that a request came with, checked; None for a stream that is not encrypted."""
    text = None if header is None else header.strip()
    if text is not None and not 1 <= len(text) <= _MAX_HEADER:
        raise refusal(
            "bad_header",
            "Invalid header `s2-encryption-key`: invalid encryption key: "
            f"key material length {len(text)} is out of range",
        )
    if cipher is None:
        return None
    if text is None:
        raise refusal("bad_header", f"missing encryption key for stream cipher '{cipher}'")
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        raise _invalid(cipher, "invalid base64") from None
    if len(key) != KEY_BYTES:
        raise _invalid(cipher, f"key must be {KEY_BYTES} bytes")
    return key


def _invalid(cipher: str, why: str) -> S2ServerError:
    return refusal("bad_header", f"invalid encryption key for stream cipher '{cipher}': {why}")


def encrypted(part: bytes, key: bytes, stream: int, seq_num: int) -> bytes:
    """Return the stored form of a record's headers and body: the body of a record without headers."""
    nonce = os.urandom(_NONCE)
    flow, proof_key = _keys(key, nonce, len(part))
    hidden = _mixed(part, flow)
    sealed = nonce + hidden + _proof(proof_key, nonce, stream, seq_num, hidden)
    return b'"' + varint(len(sealed)) + sealed + SIZE + varint(metered(part, Place(0, 0, len(part), 0, 0)))


def decrypted(data: bytes, key: bytes, stream: int) -> bytes:
    """Return a chunk's bytes as they were appended; a refusal where the key is not theirs."""
    parts, first, times = [], None, []
    for place in places(data):
        part = data[place.rest : place.end]
        if not is_command(data, place):
            part = _opened(part, key, stream, place.seq_num)
        parts.append(part)
        times.append(place.time)
        first = place.seq_num if first is None else first
    return placed(parts, first or 0, times)


def _opened(part: bytes, key: bytes, stream: int, seq_num: int) -> bytes:
    size, at = number(part, 1)
    sealed = part[at : at + size]
    nonce, hidden, proof = sealed[:_NONCE], sealed[_NONCE:-_PROOF], sealed[-_PROOF:]
    flow, proof_key = _keys(key, nonce, len(hidden))
    if not hmac.compare_digest(proof, _proof(proof_key, nonce, stream, seq_num, hidden)):
        raise refusal("decryption_failed", "record decryption failed")
    return _mixed(hidden, flow)


def _keys(key: bytes, nonce: bytes, size: int) -> tuple[bytes, bytes]:
    """Return the key stream and the key of the proof; both are of this record alone."""
    secret = hashlib.blake2b(nonce, key=key, digest_size=64, person=b"kit-lab-s2").digest()
    return hashlib.shake_256(secret[:32]).digest(size), secret[32:]


def _proof(proof_key: bytes, nonce: bytes, stream: int, seq_num: int, hidden: bytes) -> bytes:
    place = stream.to_bytes(8, "big") + seq_num.to_bytes(8, "big")
    return hashlib.blake2b(nonce + place + hidden, key=proof_key, digest_size=_PROOF).digest()


def _mixed(data: bytes, flow: bytes) -> bytes:
    return (int.from_bytes(data, "little") ^ int.from_bytes(flow, "little")).to_bytes(len(data), "little")
