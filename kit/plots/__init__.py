"""Plot usage, throughput, latency, and any metric over time. Each function returns matplotlib Axes.

    kit.plots.usage(lab.claude.metrics())
    kit.plots.throughput(orders, every="1h", by="city")
    kit.plots.latency(kit.calls())
    kit.plots.over_time(watch, "depth", by="queue")

A plot never adds different metrics: each metric has a panel of its own. All times are UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.lazy import names as _names

if TYPE_CHECKING:
    from .latency_plot import latency
    from .over_time_plot import over_time
    from .throughput_plot import throughput
    from .usage_plot import usage

__all__ = ["latency", "over_time", "throughput", "usage"]

__getattr__, _ = _names("kit.plots", {name: f"{name}_plot" for name in __all__}, __all__)


def __dir__() -> list[str]:
    return sorted(__all__)
