"""Runs notebooks from a clean kernel. `python -m tests.notebooks [NAME ...]` runs them and stores their still output."""

from __future__ import annotations

import base64
import io
import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
WIDGETS = "application/vnd.jupyter.widget-view+json"


def run(path: Path, *, timeout: int = 120) -> nbformat.NotebookNode:
    """The notebook with the output of a run from top to bottom; the first cell that fails raises."""
    notebook = nbformat.read(path, as_version=4)
    execute(notebook, path.parent, timeout=timeout)
    return notebook


def execute(notebook: nbformat.NotebookNode, folder: Path, *, timeout: int = 120) -> None:
    """Run a notebook in a clean kernel that works in a folder, and put the outputs into its cells."""
    NotebookClient(notebook, timeout=timeout, resources={"metadata": {"path": str(folder)}}).execute()


LISTENER = "kit-page-listens"
"""The mark of what only a page that is looked at needs."""


def stilled(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook as it is stored: no widgets, no times of the run, one line end."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata = {}
        if cell.cell_type != "code":
            continue
        kept = []
        for output in cell.outputs:
            told = output.get("data", {})
            if "data" in output and (not any(told.values()) or LISTENER in told.get("text/html", "")):
                continue  # a place that was emptied, or what only a page that is looked at needs
            if WIDGETS in output.get("data", {}):
                if "text/html" not in output.data:
                    continue  # a live thing; without a kernel it is an empty frame
                del output.data[WIDGETS]
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _small(output.data["image/png"])
                output.data.pop("text/html", None)  # the same picture once more: a notebook that is run has it
            if (
                kept
                and output.output_type == "stream"
                and kept[-1].output_type == "stream"
                and kept[-1].name == output.name
            ):
                kept[-1].text += output.text
                continue
            if output.output_type == "stream":
                output.pop("metadata", None)
                # Warnings name a file that the kernel made up for the cell.
                output.text = re.sub(r"\S*ipykernel_\d+/\d+\.py:(\d+)", r"cell, line \1", output.text)
            for kind, text in output.get("data", {}).items():
                if isinstance(text, str) and kind.startswith("text/"):
                    output.data[kind] = re.sub(r" at 0x[0-9a-f]+", "", text)
            kept.append(output)
        cell.outputs = kept
    return notebook


def _small(picture: str) -> str:
    """A plot in a palette of its own: a third of the bytes, and no difference to be seen."""
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    if image.mode == "P":
        return picture
    stored = io.BytesIO()
    image.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(stored, "PNG", optimize=True)
    return base64.b64encode(stored.getvalue()).decode()


def main() -> None:
    os.environ["JUPYTERLAB_SETTINGS_DIR"] = os.devnull  # plots are stored on white, whatever theme this user has
    names = sys.argv[1:] or sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    for name in names:
        path = FOLDER / f"{name}.ipynb"
        nbformat.write(stilled(run(path)), path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
