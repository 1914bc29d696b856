"""What handlers of records share: the catalog, the log, the chunk cache, and how a request names its stream and key."""

from __future__ import annotations

from dataclasses import dataclass

from ...s2.errors import S2ServerError, WireError
from ...s2.wire.fields import loads
from .account.catalog import Catalog
from .account.configs import Layer, stream_layer
from .account.usage import Usage
from .http.answers import refusal
from .http.call import Call
from .records.chunk_cache import ChunkCache
from .records.cipher import key_of
from .records.log import Log
from .records.stream import Stream
from .tuning import Tuning

_FORMATS = {"raw": False, "json": False, "base64": True, "json-binsafe": True}


@dataclass(slots=True)
class DataPlane:
    """The parts of the data plane."""

    catalog: Catalog
    log: Log
    chunk_cache: ChunkCache
    usage: Usage
    tuning: Tuning

    async def stream(self, call: Call, basin: str, name: str, purpose: str) -> Stream:
        """Return the stream, made now if its basin has that done on this purpose: append or read."""
        if self.catalog.find(basin, name) is None:
            owner = self.catalog.basin(basin)
            if owner.config.get(f"create_stream_on_{purpose}") and not owner.deleted:
                try:
                    await self.catalog.create_stream(basin, name, self._asked(call), None)
                except S2ServerError as error:
                    if error.code != "resource_already_exists":
                        raise
        return self.catalog.stream(basin, name)

    def _asked(self, call: Call) -> Layer:
        """Return the settings for a stream that this request may create."""
        header = call.exchange.headers.get("s2-stream-config")
        if header is None:
            return {}
        try:
            return stream_layer(loads(header))
        except WireError as error:
            raise refusal("bad_header", f"Invalid header `s2-stream-config`: {error.args[0]}") from None

    def key_header(self, call: Call) -> None:
        """Refuse a key that no stream can have."""
        key_of(call.exchange.headers.get("s2-encryption-key"), None)

    def key(self, call: Call, stream: Stream) -> bytes | None:
        """Return the key for the stream's records, None where they are not encrypted."""
        return key_of(call.exchange.headers.get("s2-encryption-key"), stream.cipher)

    def as_base64(self, call: Call) -> bool:
        """Return whether bytes are base64 in this request's JSON."""
        format_name = call.exchange.headers.get("s2-format", "raw")
        if format_name not in _FORMATS:
            raise refusal("bad_header", f"Invalid header `s2-format`: {format_name}")
        return _FORMATS[format_name]
