"""Errors that the server answers, with the codes and words of the protocol."""

from __future__ import annotations

INTERNAL = 1
INVALID = 2
UNAUTHORIZED = 3
TENANT_NOT_FOUND = 4
STREAM_NOT_FOUND = 5
TABLE_NOT_FOUND = 6
SYNTAX = 7
EXECUTION = 8
AHEAD = 9
EXISTS = 10
STORAGE = 12
BUSY = 14
OFFSET_MISMATCH = 16
NO_SUBSCRIPTION = 17
KEY_NOT_FOUND = 20
TENANT_EXISTS = 21
CONSENT_NOT_FOUND = 22
DUPLICATE = 29
TENANT_TOO_LARGE = 30


class Refusal(Exception):
    """The error that the client gets instead of an answer."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
