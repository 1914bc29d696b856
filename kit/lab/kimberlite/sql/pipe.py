"""Messages between the server and its SQL workers; `worker.py` explains the letters."""

from __future__ import annotations

import struct

LENGTH = struct.Struct(">Q")
HEAD = struct.Struct(">cQ")
