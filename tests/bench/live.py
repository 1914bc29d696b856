"""What a feed of 100 000 records a second costs, without and with a view, in percent of a core; and the naive ways.

    python -m tests.bench.live

Everything runs in a real kernel, and this process is its front end: it takes every message, and answers what a page
would answer. The records are frames of S2 as they come from the wire, decoded as a feed does. The naive ways, one
`Output.append_stdout` or one trait set for each record, run at a rate that they still keep up with.
"""

from __future__ import annotations

import queue
import subprocess
import time
from typing import Any

from jupyter_client.manager import KernelManager

from .measure import Pairs, Row, Side
from .measure import main as run

SECONDS = 5.0
GOAL = 8.0
"""Percent of a core that a view may add."""
PER_GOAL, SQL_GOAL = 35.0, 10.0
"""The same for figures per key of 100 000 records a second, and for a live query over a million rows, once a second."""

SETUP = """
import asyncio, threading, time
import kit
from kit.live.feed.source import Chunk, Source
from kit.s2 import AppendInput, Record
from kit.s2.wire.columns import columns_of, record_table
from kit.s2.wire.messages import encode_record
from kit.live.shaping import Bodies

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128]); n >>= 7
    return out + bytes([n])

def field(number, data): return bytes([number << 3 | 2]) + varint(len(data)) + data

def record(n):
    body = b'{"id":%d,"city":"Oslo","price":%d.5,"item":"espresso","paid":true}' % (n, n % 90)
    return b"\\x08" + varint(n) + b"\\x10" + varint(1_760_000_000_000 + n) + field(4, body)

FRAME = b"".join(field(1, record(n)) for n in range(1000))

class Paced(Source):
    service, label = "bench", "records"
    def __init__(self, rate):
        self.rate, self.bodies = rate, Bodies("json", None, "body", record_table)
    async def open(self, after):
        started, sent = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - started) * self.rate) - sent
            frames = due // 1000
            if frames:
                found = columns_of(*[FRAME] * frames)
                sent += 1000 * frames
                yield Chunk(found.batch, sent, sent, True)
            await asyncio.sleep(0.04)

WIDE = [
    b"".join(
        field(1, b"\\x08" + varint(n) + b"\\x10" + varint(1_760_000_000_000 + n) + field(4,
            b'{"id":%d,"user":"u%d","city":"Oslo","item":"espresso","price":%d.5,"qty":%d,"paid":true,"ms":%d}'
            % (n, n * 7919 % 1000, n % 90, n % 5, n % 1000)))
        for n in range(first, first + 1000)
    )
    for first in range(0, 20_000, 1000)
]

class Orders(Paced):
    # Records with 8 fields and 1 000 keys: so many at once, then at a rate.
    def __init__(self, rate, at_once=0):
        super().__init__(rate)
        self.at_once = at_once
    async def open(self, after):
        sent = 0
        while sent < self.at_once:
            yield Chunk(columns_of(*WIDE).batch, sent + 20_000, sent + 20_000, True)
            sent += 20_000
        started, base = time.monotonic(), sent
        while True:
            frames = (int((time.monotonic() - started) * self.rate) - sent + base) // 1000
            if frames > 0:
                found = columns_of(*[WIDE[n % 20] for n in range(frames)])
                sent += 1000 * frames
                yield Chunk(found.batch, sent, sent, True)
            await asyncio.sleep(0.04)

def cost(seconds):
    cpu, began = time.process_time(), time.monotonic()
    time.sleep(seconds)
    return 100 * (time.process_time() - cpu) / (time.monotonic() - began)
"""

CELL = """
def work(seconds):
    loops, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        for _ in range(10_000):
            pass
        loops += 1
    return (time.monotonic() - began) / loops
"""

FEED = "feed = kit.Feed(Paced(100_000)); feed.wait(1000, timeout=10); time.sleep(1)"
VIEW = "view = kit.LiveView(kit.Feed(Paced(100_000)), rows={rows}, owns=True); display(view); view.wait(1000); time.sleep(1)"
ORDERS = "feed = kit.Feed(Orders(100_000)); feed.wait(1000, timeout=10); time.sleep(1)"
FOLDED = (
    "per = feed.per('user', n='count', spent='sum:price', most_ms='max:ms'); per.wait(1000, timeout=10); time.sleep(2)"
)
PER = f"feed = kit.Feed(Orders(100_000))\n{FOLDED}"
RING = (
    "feed = kit.Feed(Orders(5_000, 1_000_000), max_rows=1_000_000, max_bytes=2**31); feed.wait(1_000_000, timeout=60)\n"
)
SQL = (
    'found = kit.live_sql("select city, count(*) as n, sum(price) as spent, avg(ms) from t group by city", t=feed)\n'
    "found.wait(1, timeout=60); time.sleep(3)"
)
RESULT = "print('RESULT', cost({seconds}), {count})"

NAIVE = """
import ipywidgets
from IPython.display import display
out = ipywidgets.{widget}(); display(out)
def run():
    started, n = time.monotonic(), 0
    while time.monotonic() - started < {seconds} + 2:
        {step}
        n += 1
        time.sleep(max(0, n / {rate} - (time.monotonic() - started)))
thread = threading.Thread(target=run, daemon=True); thread.start(); time.sleep(1)
"""


class FrontEnd:
    """A kernel, and what a page does for it: the pulse's number goes back as soon as it has come."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(stderr=subprocess.DEVNULL)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(60)
        self.client.control_channel.send(self.client.session.msg("create_subshell_request", {}))
        # As JupyterLab's pages do for their widgets, so that these answer while a cell runs.
        self._subshell = self.client.get_control_msg(timeout=30)["content"]["subshell_id"]
        self.messages = 0
        self._models: dict[str, dict[str, Any]] = {}

    def run(self, code: str) -> str:
        """What the code prints; comms are served meanwhile."""
        asked = self.client.execute(code)
        printed = ""
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=60)
            except queue.Empty:
                raise AssertionError("the kernel is silent") from None
            kind, content = message["msg_type"], message["content"]
            if kind in ("comm_open", "comm_msg"):
                self.messages += kind == "comm_msg"
                self._comm(content)
            elif message["parent_header"].get("msg_id") == asked:
                if kind == "stream":
                    printed += content["text"]
                elif kind == "error":
                    raise AssertionError("\n".join(content["traceback"]))
                elif kind == "status" and content["execution_state"] == "idle":
                    return printed

    def _comm(self, content: dict[str, Any]) -> None:
        state = content.get("data", {}).get("state", {})
        if content.get("target_name"):
            self._models[content["comm_id"]] = state
            return
        model = self._models.get(content["comm_id"], {})
        if model.get("_model_name") == "IntTextModel" and "value" in state:
            echo = [one for one, its in self._models.items() if its.get("_model_name") == "IntTextModel"][-1]
            data = {"method": "update", "state": {"value": state["value"]}, "buffer_paths": []}
            told = self.client.session.msg("comm_msg", {"comm_id": echo, "data": data})
            told["header"]["subshell_id"] = self._subshell
            self.client.shell_channel.send(told)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def measured(code: str, rounds: int, seconds: float, count: str = "0") -> tuple[float, float, float]:
    """Percent of a core (the least of some rounds), what `count` tells, and messages a second."""
    best, told, rate = float("inf"), 0.0, 0.0
    for _ in range(rounds):
        page = FrontEnd()
        try:
            page.run(SETUP)
            page.run(code)
            before, began = page.messages, time.monotonic()
            printed = page.run(RESULT.format(seconds=seconds, count=count)).split()
            cost, figure = float(printed[1]), float(printed[2])
            if cost < best:
                best, told, rate = cost, figure, (page.messages - before) / (time.monotonic() - began)
        finally:
            page.close()
    return best, told, rate


def slowed(feed: str, beside: str, rounds: int, seconds: float) -> list[float]:
    """How much longer a cell computes beside a feed and what is made of it, against beside the feed alone: in one
    kernel, in turn, with what is made of it closed between the turns."""
    ratios = []
    for _ in range(rounds):
        page = FrontEnd()
        try:
            page.run(SETUP + CELL + feed)
            alone, both = [], []
            for _ in range(2):
                alone.append(float(page.run(f"print(work({seconds}))")))
                page.run(beside)
                both.append(float(page.run(f"print(work({seconds}))")))
                page.run("made.close(); time.sleep(0.5)")
            ratios.append(min(both) / min(alone))
        finally:
            page.close()
    return ratios


def rows(pairs: Pairs) -> None:
    rounds = 1 if pairs.quick else pairs.rounds
    seconds = 1.0 if pairs.quick else SECONDS
    feed, _, _ = measured(FEED, rounds, seconds)
    for shown in (20,) if pairs.quick else (20, 200):
        view, _, messages = measured(VIEW.format(rows=shown), rounds, seconds)
        name = f"live: what a view of {shown} rows adds to a feed of 100 000/s, of 8 % of a core"
        pairs.add(
            Row(
                name,
                [(view - feed) / GOAL],
                1.0 if shown == 20 else None,
                f"% ({messages:.0f} messages/s)",
                view - feed,
                feed,
            )
        )
    for name, code, goal, figure in (
        ("figures per key (1 000 keys, 8 fields) add to a feed of 100 000/s", PER, PER_GOAL, "per.stats()['folded']"),
        ("a live query over 1 000 000 rows at 1 Hz adds to its feed", RING + SQL, SQL_GOAL, "found.stats()['runs']"),
    ):
        alone, _, _ = measured(ORDERS if goal == PER_GOAL else RING + "time.sleep(1)", rounds, seconds)
        both, told, _ = measured(code, rounds, seconds, figure)
        row = Row(
            f"live: what {name}, of {goal:g} % of a core",
            [(both - alone) / goal],
            1.0,
            f"% ({told:,.0f})",
            both - alone,
            alone,
        )
        pairs.add(row)
    for name, of, beside in (
        ("a view of 20 rows", FEED, "made = kit.LiveView(feed); display(made); time.sleep(1)"),
        ("figures per key", ORDERS, f"{FOLDED}; made = per"),
        ("a live query", RING + "time.sleep(1)", SQL + "\nmade = found"),
    ):
        ratios = slowed(of, beside, rounds, seconds)
        pairs.add(
            Row(f"live: a computing cell beside {name}, against beside its feed alone", ratios, 1.1, "time", 0, 0)
        )
    if pairs.quick:
        return
    for widget, step in (("Output", "out.append_stdout('record %d\\n' % n)"), ("Label", "out.value = str(n)")):
        rate = 200 if widget == "Output" else 500
        naive, _, _ = measured(NAIVE.format(widget=widget, step=step, rate=rate, seconds=seconds), 2, seconds)
        name = f"live: a view of 20 rows at 100 000/s, against {step.partition('(')[0].strip()} for each of {rate}/s"
        view, _, _ = measured(VIEW.format(rows=20), 1, seconds)
        pairs.add(Row(name, [(view / 100_000) / (naive / rate)], None, "% of a core per record", view, naive))


SIDES: dict[str, Side] = {}

if __name__ == "__main__":
    run(__spec__.name, rows, SIDES, __doc__)
