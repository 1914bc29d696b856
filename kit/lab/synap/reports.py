"""The server's reports about itself: figures, sections of information, a page of metrics."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from typing import Any

from .refusal import Refusal
from .server_state import VERSION, ServerState

CONTENT_TYPE = "text/plain; version=0.0.4"


def kv(state: ServerState) -> dict[str, Any]:
    """Return figures of the values."""
    pairs = state.kv_store
    reads = pairs.hits + pairs.misses
    return {
        "total_keys": len(pairs),
        "total_memory_bytes": pairs.bytes,
        "operations": {
            "gets": pairs.gets,
            "sets": pairs.sets,
            "dels": pairs.dels,
            "hits": pairs.hits,
            "misses": pairs.misses,
        },
        "hit_rate": pairs.hits / reads if reads else 0.0,
    }


def memory(state: ServerState, key: str) -> dict[str, Any]:
    value = state.kv_store.peek(key)
    if value is None:
        raise Refusal(f"Key not found: {key}")
    size = len(key.encode()) + len(value)
    return {"key": key, "bytes": size, "human": f"{size}B"}


def clients(state: ServerState) -> dict[str, Any]:
    shown = list(state.sockets.values())
    return {"clients": shown, "count": len(shown)}


def info(state: ServerState, section: Any = None) -> dict[str, Any]:
    """Return all sections, or one by name."""
    pairs, (port, _) = state.kv_store, state.ports()
    up = int(time.monotonic() - state.started)
    rss = process_memory()[0]
    sections: dict[str, Any] = {
        "server": {
            "redis_version": VERSION,
            "redis_mode": "standalone",
            "os": platform.system(),
            "arch_bits": 64,
            "process_id": os.getpid(),
            "run_id": state.run_id,
            "tcp_port": port,
            "uptime_in_seconds": up,
            "uptime_in_days": up // 86400,
        },
        "memory": {
            "used_memory": pairs.bytes,
            "used_memory_human": f"{pairs.bytes}B",
            "used_memory_rss": rss,
            "used_memory_peak": pairs.bytes,
            "mem_allocator": "system",
        },
        "stats": {
            "total_connections_received": 0,
            "total_commands_processed": pairs.gets + pairs.sets + pairs.dels,
            "instantaneous_ops_per_sec": 0,
            "keyspace_hits": pairs.hits,
            "keyspace_misses": pairs.misses,
            "pubsub_channels": 0,
            "pubsub_patterns": 0,
        },
        "replication": {"role": "master", "connected_slaves": 0},
        "keyspace": {"db0": f"keys={len(pairs)},expires=0,avg_ttl=0"},
        "cluster": {"cluster_enabled": 0},
    }
    if isinstance(section, str) and section in sections:
        return {section: sections[section]}
    return sections


def process_memory() -> tuple[int, int]:
    """Return the resident and virtual bytes of this process; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as statm:
            virtual, resident, *_ = map(int, statm.read().split())
        page = os.sysconf("SC_PAGE_SIZE")
        return resident * page, virtual * page
    except (OSError, ValueError, AttributeError):
        return 0, 0


def metrics(state: ServerState) -> str:
    """Return the page that Prometheus scrapes."""
    lines: list[str] = []

    def family(name: str, kind: str, rows: Sequence[tuple[str, float]], about: str) -> None:
        if rows:
            lines.append(f"# HELP {name} {about}")
            lines.append(f"# TYPE {name} {kind}")
            lines.extend(
                f"{name}{labels} {value:g}" if value < 1e6 else f"{name}{labels} {value:.0f}" for labels, value in rows
            )

    queues, rooms = state.queues.all(), state.rooms.all()
    family("synap_queue_depth", "gauge", [(label(queue=q.name), q.depth) for q in queues], "Ready messages")
    dead = [(label(queue=q.name), q.figures.dead_lettered) for q in queues]
    family("synap_queue_dlq_messages", "gauge", dead, "Messages given up")
    stats = [(label(room=room.name), room.stats()) for room in rooms]
    for name, key, about in (
        ("synap_stream_buffer_size", "message_count", "Events kept"),
        ("synap_stream_last_offset", "max_offset", "Newest offset"),
        ("synap_stream_subscribers", "subscriber_count", "Known subscribers"),
    ):
        family(name, "gauge", [(labels, row[key]) for labels, row in stats], about)
    sizes = {
        "kv": state.kv_store.bytes,
        "queue": sum(len(m.payload) for q in queues for lane in q.lanes for m in lane),
        "stream": sum(sum(map(len, room.encoded[room.start :])) for room in rooms),
    }
    kinds = [(label(datatype=name), size) for name, size in sizes.items()]
    family("synap_datatype_memory_bytes", "gauge", kinds, "Accounted bytes")
    rss, virtual = process_memory()
    process = [(label(type="rss"), rss), (label(type="virtual"), virtual)]
    family("synap_process_memory_bytes", "gauge", process, "Memory of the process")
    if hasattr(os, "getloadavg"):
        loads = zip(("1min", "5min", "15min"), os.getloadavg(), strict=True)
        rows = [(label(window=window), round(load * 100)) for window, load in loads]
        family("synap_host_load_average", "gauge", rows, "Load average, times 100")
    calls = [(label(command=name, status=status), count) for (name, status), count in sorted(state.calls.items())]
    family("synap_rpc_commands_total", "counter", calls, "Commands over SynapRPC")
    if state.seconds:
        name = "synap_rpc_command_duration_seconds"
        lines.append(f"# TYPE {name} summary")
        for command, (count, seconds) in sorted(state.seconds.items()):
            lines.append(f"{name}_sum{label(command=command)} {seconds:.6f}")
            lines.append(f"{name}_count{label(command=command)} {count}")
    if state.calls or state.connections:
        family("synap_rpc_connections", "gauge", [(label(state="open"), state.connections)], "SynapRPC connections")
        family("synap_rpc_connections_refused_total", "counter", [("", state.refused)], "Refused connections")
    return "\n".join(lines) + "\n"


def label(**labels: str) -> str:
    """Return the labels of a sample."""
    parts = []
    for name, value in labels.items():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        parts.append(f'{name}="{escaped}"')
    return "{" + ",".join(parts) + "}"
