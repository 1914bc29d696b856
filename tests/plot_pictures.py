"""Plots whose pictures are kept in `pictures/plots`, and how a picture is compared with the one that is kept.

`python -m tests.pictures plots` draws them anew. Their data is made here, the same each time; metrics are what the lab
gave once (`pictures/metrics`).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from kit import plots

FOLDER = Path(__file__).with_name("pictures") / "plots"
METRICS = Path(__file__).with_name("pictures") / "metrics"
THEMES = ("light", "dark")
DRAWN_WITH = "matplotlib " + ".".join(matplotlib.__version__.split(".")[:2])
"""Letters have other edges and widths with another one."""
LARGEST = 60_000

_DIFFERENT = 32
"""Levels of 255 by which a dot (of half the picture's size) is another."""
_TILE = 12
_ALLOWED = 6
"""Such dots among the 144 of a tile: edges of letters differ a little between machines, whole marks do not."""


def metrics(name: str) -> pd.DataFrame:
    frame = pd.read_csv(METRICS / f"{name}.csv", dtype={"le": str, "type": str, "window": str})
    frame["time"] = pd.to_datetime(frame["time"], utc=True, format="ISO8601")
    return frame


def _random() -> np.random.Generator:
    return np.random.default_rng(20)


def _times(start: str, periods: int, freq: str) -> pd.DatetimeIndex:
    return pd.date_range(start, periods=periods, freq=freq, tz="UTC")


def _orders() -> pd.DataFrame:
    """Three days of orders, more of them by day."""
    random = _random()
    at = np.sort(random.uniform(0, 3 * 86_400, 6000))
    at = at[random.uniform(size=6000) < 0.6 + 0.4 * np.sin(at / 86_400 * 2 * np.pi)]
    cities = random.choice(
        ["Lisbon", "Porto", "Graz", "Ghent", "Brno", "Turin", "Delft", "Malmö"], len(at), p=_shares(8)
    )
    start = pd.Timestamp("2026-03-02 07:20", tz="UTC")
    return pd.DataFrame(
        {"time": start + pd.to_timedelta(at, unit="s"), "city": cities, "total": random.gamma(2, 30, len(at)).round(2)}
    )


def _shares(count: int) -> Any:
    weights = 0.8 ** np.arange(count)
    return weights / weights.sum()


def _year() -> pd.DataFrame:
    random = _random()
    days = _times("2025-01-01", 365, "D")
    counts = random.poisson(30 + 12 * np.sin(np.arange(365) / 58) + np.where(np.arange(365) // 7 == 15, 150, 0))
    times = days.repeat(counts) + pd.to_timedelta(random.uniform(0, 86_400, counts.sum()), unit="s")
    return pd.DataFrame(
        {"time": times, "channel": random.choice(["email", "chat", "call", "social"], len(times), p=_shares(4))}
    )


def _queues(count: int = 2) -> pd.DataFrame:
    random = _random()
    times = _times("2026-03-02 10:00", 240, "1s")
    names = ["jobs", "mails", *(f"queue-{n:02}" for n in range(count - 2))]
    depths = [np.maximum(0, 20 + 8 * n % 40 + random.integers(-3, 4, 240).cumsum()) for n in range(count)]
    return pd.concat(
        [pd.DataFrame({"time": times, "queue": q, "depth": d}) for q, d in zip(names, depths, strict=True)]
    )


def _ledger() -> pd.DataFrame:
    random = _random()
    return pd.DataFrame(
        {
            "time": _times("2026-02-20 06:00", 400, "40min"),
            "method": "complete",
            "model": random.choice(["haiku", "sonnet", "opus"], 400, p=[0.6, 0.3, 0.1]),
            "tokens": random.integers(50, 3000, 400),
            "cost": random.gamma(1.5, 0.01, 400),
            "request_id": [str(n) for n in range(400)],
        }
    )


def _calls(count: int) -> pd.DataFrame:
    random = _random()
    return pd.DataFrame(
        {
            "service": random.choice(["s2", "kimberlite", "synap", "claude", "amdahl"], count, p=_shares(5)),
            "op": "read",
            "started": _times("2026-03-02 09:00", count, "370ms"),
            "ms": random.lognormal(1.4, 0.9, count),
            "bytes_in": random.integers(100, 90_000, count),
            "bytes_out": random.integers(10, 900, count),
        }
    )


def _amounts(values: Any, freq: str, interval: str, **labels: Any) -> pd.DataFrame:
    times = _times("2026-02-01", len(values), freq)
    return pd.DataFrame({"time": times, "value": values, "interval": interval, **labels})


def _traffic() -> pd.DataFrame:
    random = _random()
    parts = [
        _amounts(random.gamma(3, size, 48), "h", "hour", metric=metric, unit="bytes", basin="demo-shop")
        for metric, size in (("append-bytes", 2e5), ("read-bytes", 9e5))
    ]
    return pd.concat(parts, ignore_index=True)


def _two_units() -> pd.DataFrame:
    random = _random()
    parts = [
        _amounts(random.gamma(3, size * price, 21), "D", "day", metric=metric, unit=unit, model=model)
        for metric, unit, price in (("usage_cost", "USD", 0.002), ("usage_tokens", "tokens", 1.0))
        for model, size in (("opus", 300.0), ("sonnet", 900.0), ("haiku", 700.0))
    ]
    return pd.concat(parts, ignore_index=True)


def _balances() -> pd.DataFrame:
    names = ["refunds", "sales", "fees", "gifts"]
    return pd.DataFrame(
        {
            "time": _times("2026-03-02", 1, "D")[0],
            "metric": "balance",
            "value": [-320.5, 1840.0, -95.25, 12.0],
            "unit": "USD",
            "account": names,
        }
    )


CASES: dict[str, Callable[[Any], Any]] = {
    "usage-claude": lambda theme: plots.usage(metrics("claude"), theme=theme),
    "usage-kimberlite": lambda theme: plots.usage(metrics("kimberlite"), theme=theme),
    "usage-synap": lambda theme: plots.usage(metrics("synap"), theme=theme),
    "usage-amdahl": lambda theme: plots.usage(metrics("amdahl"), theme=theme),
    "usage-s2-operations": lambda theme: plots.usage(metrics("s2-basin-ops"), theme=theme),
    "usage-s2-storage": lambda theme: plots.usage(metrics("s2-storage"), theme=theme),
    "usage-s2-nothing": lambda theme: plots.usage(metrics("s2-basin-ops").assign(value=0.0), theme=theme),
    "usage-traffic": lambda theme: plots.usage(_traffic(), theme=theme),
    "usage-two-units": lambda theme: plots.usage(_two_units(), theme=theme),
    "usage-ledger": lambda theme: plots.usage(_ledger(), theme=theme),
    "usage-ledger-by-day": lambda theme: plots.usage(_ledger(), over="day", theme=theme),
    "usage-calls": lambda theme: plots.usage(_calls(900), theme=theme),
    "usage-negative": lambda theme: plots.usage(_balances(), theme=theme),
    "throughput-by-hour": lambda theme: plots.throughput(_orders(), every="1h", theme=theme),
    "throughput-total": lambda theme: plots.throughput(_orders(), "total", every="3h", title="Turnover", theme=theme),
    "throughput-by-city": lambda theme: plots.throughput(_orders(), by="city", every="6h", theme=theme),
    "throughput-year": lambda theme: plots.throughput(_year(), by="channel", every="7D", theme=theme),
    "throughput-month": lambda theme: plots.throughput(_year(), every="30D", theme=theme),
    "throughput-ten-seconds": lambda theme: plots.throughput(_calls(28), time="started", every="1s", theme=theme),
    "throughput-one-row": lambda theme: plots.throughput(_orders()[:1], theme=theme),
    "throughput-empty": lambda theme: plots.throughput(_orders()[:0], theme=theme),
    "over-time-queues": lambda theme: plots.over_time(_queues(), "depth", theme=theme),
    "over-time-one-point": lambda theme: plots.over_time(_queues()[:1], "depth", theme=theme),
    "over-time-40-series": lambda theme: plots.over_time(_queues(40), "depth", by="queue", theme=theme),
    "latency": lambda theme: plots.latency(_calls(900), theme=theme),
    "latency-few": lambda theme: plots.latency(_calls(20), theme=theme),
}


def picture(ax: Any) -> Image.Image:
    """The plot of one size, without what differs between screens."""
    out = io.BytesIO()
    figure = ax.get_figure()
    figure.savefig(out, format="png", dpi=100, facecolor=figure.get_facecolor())
    return Image.open(out).convert("RGB")


def store(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    told = PngInfo()
    told.add_text("Software", DRAWN_WITH)
    small = image.quantize(200, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small.save(path, "PNG", optimize=True, pnginfo=told)
    assert path.stat().st_size <= LARGEST, f"{path.name}: {path.stat().st_size / 1000:.0f} kB"


def difference(image: Image.Image, path: Path) -> str:
    """In what the picture differs from the one that is kept; nothing where it is the same to the eye."""
    if not path.exists():
        return f"{path.name} is not there"
    kept = Image.open(path).convert("RGB")
    if kept.size != image.size:
        return f"{path.name} is {kept.size}, not {image.size}"
    half = (kept.width // 2, kept.height // 2)
    one, other = (np.asarray(each.resize(half, Image.Resampling.BOX), dtype=int) for each in (kept, image))
    differs = np.abs(one - other).max(axis=2) > _DIFFERENT
    rows, columns = (-(-side // _TILE) for side in differs.shape)
    tiles = np.zeros((rows * _TILE, columns * _TILE), dtype=bool)
    tiles[: differs.shape[0], : differs.shape[1]] = differs
    counts = tiles.reshape(rows, _TILE, columns, _TILE).sum(axis=(1, 3))
    y, x = np.unravel_index(counts.argmax(), counts.shape)
    if counts[y, x] <= _ALLOWED:
        return ""
    return f"{path.name} looks different, most at {2 * _TILE * x}, {2 * _TILE * y}: {counts[y, x]} dots of a tile"


def draw_all() -> None:
    for path in FOLDER.glob("*.png"):
        path.unlink()
    for name, draw in CASES.items():
        for theme in THEMES:
            store(picture(draw(theme)), FOLDER / f"{name}-{theme}.png")
    sizes = [path.stat().st_size for path in FOLDER.glob("*.png")]
    print(f"plots: {len(sizes)} pictures, {sum(sizes) / 1000:.0f} kB, the largest {max(sizes) / 1000:.0f} kB")
