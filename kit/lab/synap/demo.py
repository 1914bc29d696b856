"""The demo data: a parcel service's settings, its jobs, and the reports of its vans.

It is computed from a seed in integer arithmetic, so that each lab has the same data. Only the times are recent, as
rooms drop events that are older than an hour.
"""

from __future__ import annotations

import json
import time

from ..common.pseudo_random import mixed
from .server_state import ServerState

JOBS = 60
REPORTS = 2000
ALERTS = 40
_CITIES = ("Leipzig", "Porto", "Gent", "Tampere", "Graz", "Cork", "Lyon", "Brno")
_KINDS = ("label", "invoice", "route", "photo")
_STATES = ("loading", "driving", "driving", "driving", "delivering", "waiting")


def fill(state: ServerState) -> None:
    """Put the demo data in, once; reports of vans at every start that finds none of the last hour."""
    if not len(state.kv_store) and not state.queues.names():
        _fill_pairs(state)
        _fill_queues(state)
    _fill_rooms(state)


def _fill_pairs(state: ServerState) -> None:
    for n in range(1, 41):
        chance = mixed(1, n)
        van = {
            "plate": f"KT-{1000 + chance % 9000}",
            "city": _CITIES[chance // 7 % 8],
            "parcels": chance // 11 % 120,
            "electric": chance // 13 % 3 > 0,
        }
        state.kv_store.set(f"van:{n:02d}", json.dumps(van, separators=(",", ":")).encode())
    for n in range(1, 9):
        state.kv_store.set(f"depot:{_CITIES[n - 1].lower()}", f"{_CITIES[n - 1]} depot, gate {n}".encode())
        state.kv_store.set(f"delivered:{_CITIES[n - 1].lower()}", str(mixed(2, n) % 5000).encode())
    state.kv_store.set("session:demo", b"signed in", 3600)
    state.kv_store.set("logo", bytes(range(0x80, 0xA0)))


def _fill_queues(state: ServerState) -> None:
    state.queues.create("jobs", {"max_depth": 1000, "ack_deadline": 30})
    state.queues.create("mails")
    for n in range(JOBS):
        chance = mixed(3, n)
        job = {"job": n, "kind": _KINDS[chance % 4], "van": 1 + chance // 5 % 40, "weight": chance // 7 % 300 / 10}
        state.queues.publish("jobs", json.dumps(job).encode(), 9 if chance // 11 % 10 == 0 else 5, None)
    for n in range(12):
        state.queues.publish("mails", f"Parcel {7000 + n} is on its way".encode(), None, None)


def _fill_rooms(state: ServerState) -> None:
    now = int(time.time())
    state.rooms.get_or_create("vans")
    state.rooms.get_or_create("alerts")
    if any(state.rooms.get(name).stats()["message_count"] for name in ("vans", "alerts")):
        return
    for n in range(REPORTS):
        chance = mixed(4, n)
        report = {
            "van": 1 + chance % 40,
            "state": _STATES[chance // 41 % 6],
            "speed": chance // 43 % 900 / 10,
            "battery": 20 + chance // 47 % 80,
        }
        at = now - 3000 + n * 3000 // REPORTS
        state.rooms.publish("vans", "report", json.dumps(report, separators=(",", ":")).encode(), at)
    for n in range(ALERTS):
        chance = mixed(5, n)
        alert = f"van {1 + chance % 40} is {5 + chance // 7 % 50} minutes late"
        state.rooms.publish("alerts", "late", json.dumps(alert).encode(), now - 2900 + n * 70)
