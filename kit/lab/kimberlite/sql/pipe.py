"""What the server and its SQL workers say to each other; see `worker.py` for the letters."""

from __future__ import annotations

import struct

LENGTH = struct.Struct(">Q")
HEAD = struct.Struct(">cQ")
