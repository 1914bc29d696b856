"""The result of a task, for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..types import answer_html, dollars

if TYPE_CHECKING:
    import pandas as pd


class TaskResult(dict[str, Any]):
    """A task's report: the client's dict, with `log` and `artifacts` as DataFrames."""

    @property
    def status(self) -> str:
        return str(self.get("status", ""))

    @property
    def summary(self) -> str:
        """The first part of the text."""
        return str(self["result"].get("summary", ""))

    @property
    def output(self) -> str:
        """The whole text."""
        return str(self["result"].get("full_output") or self.summary)

    @property
    def cost(self) -> float:
        """In USD."""
        return float(self["usage"].get("total_cost") or 0.0)

    @property
    def log(self) -> pd.DataFrame:
        """One row per step: step, time, action, details. The hosted service tells one step only, that it is over."""
        from ..wire.frames import log_frame

        return log_frame(self["execution_log"])

    @property
    def artifacts(self) -> pd.DataFrame:
        """One row per file it left, with its path at the server."""
        from ..wire.frames import artifact_frame

        return artifact_frame(self["artifacts"])

    def __str__(self) -> str:
        return self.output

    def __repr__(self) -> str:
        from ...core.html import visible

        return f"<Task {visible(self.status)[:40]}, {dollars(self.cost)}: {visible(self.summary[:80])!r}>"

    def _repr_html_(self) -> str:
        return answer_html(self.output, self._about())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        from ...core.html import visible

        printer.text(f"{visible(self.output[:2000])}\n{visible(self._about())}")

    def _about(self) -> str:
        used = self["usage"]
        parts = [f"task {self.status}", str(used.get("model_used", ""))]
        if "total_tokens" in used:
            parts.append(f"{used['total_tokens']:,} tokens")
        parts.append(dollars(self.cost))
        parts.append(f"{_counted(self['execution_log'], 'step')} in .log")
        parts.append(f"{_counted(self['artifacts'], 'file')} in .artifacts")
        return " · ".join(part for part in parts if part)


def _counted(things: list[Any], word: str) -> str:
    return f"{len(things):,} {word}{'' if len(things) == 1 else 's'}"
