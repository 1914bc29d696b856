"""How long a stranger waits for the first live rows, and what it all takes in memory.

    python -m tests.bench.first_look             # the README's first command, in a fresh clone and an empty home
    python -m tests.bench.first_look --binder    # what Binder runs, in a container that has Python already

Seconds of the first depend on the network, as all packages are fetched: pip has no cache in an empty home. Memory is the
proportional share (PSS) of all processes, without the browser's.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parents[2]
LIVE = ".jupyter-widgets .kit-live-moving tr[data-n]"
IDLE = "[...document.querySelectorAll('.jp-InputPrompt')].every(one => !one.innerText.includes('*'))"
TOKEN = "first-look"
BINDER = (
    "python -m venv .venv",
    ".venv/bin/python -m pip install --quiet -r binder/requirements.txt",
    'PATH="$PWD/.venv/bin:$PATH" bash binder/postBuild',
)
START = (
    f'PATH="$PWD/.venv/bin:$PATH" exec bash binder/start jupyter lab --no-browser --allow-root --port 0 '
    f"--IdentityProvider.token={TOKEN}"
)


def memory(home):
    """Megabytes of all processes with this home."""
    total, count = 0, 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={home}".encode() in (process / "environ").read_bytes().split(b"\0"):
                total += int(re.search(r"Pss:\s+(\d+)", (process / "smaps_rollup").read_text())[1])
                count += 1
        except OSError:
            pass
    return f"{total / 1024:.0f} MB in {count} processes"


def tell(what, value):
    print(f"{what:42}{value if isinstance(value, str) else f'{value:.1f} s'}", flush=True)


def look(page, address, name):
    """Open a notebook, run it, and say when its first live rows are there."""
    began = time.monotonic()
    page.goto(address)
    page.locator(".jp-NotebookPanel .jp-CodeCell").first.wait_for(timeout=90_000)
    tell(f"{name} on the screen", time.monotonic() - began)
    page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for(timeout=60_000)
    began = time.monotonic()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator(LIVE).first.wait_for(timeout=120_000)
    tell("  its first live rows, once it is run", time.monotonic() - began)
    page.wait_for_function(IDLE, timeout=180_000)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.bench.first_look", description=__doc__.splitlines()[0])
    parser.add_argument("--binder", action="store_true", help="what Binder runs")
    binder = parser.parse_args().binder
    with tempfile.TemporaryDirectory() as folder:
        home, clone = Path(folder, "home"), Path(folder, "clone")
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", HERE, clone], check=True)
        inherited = {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"}
        environment = {name: value for name, value in os.environ.items() if name not in inherited}
        environment |= {"HOME": str(home), "XDG_DATA_HOME": str(home / "data")}
        began = time.monotonic()
        if binder:
            for command in BINDER:
                subprocess.run(["bash", "-c", command], cwd=clone, env=environment, check=True, capture_output=True)
            tell("image: packages installed, pages trusted", time.monotonic() - began)
            size = sum(file.stat().st_size for file in (clone / ".venv").rglob("*") if not file.is_symlink())
            tell("image: all that is beside Python", f"{size / 2**20:.0f} MB")
            command, pattern, began = START, r"(http://\S+?)/lab\?", time.monotonic()
        else:
            command = subprocess.check_output(["bash", ".ci/command", "notebooks"], cwd=clone, text=True).strip()
            command, pattern = f"{command} --no-browser --port 0", r"JupyterLab +(http\S+)"
        log = home / "log"
        with log.open("w") as out:
            child = subprocess.Popen(
                ["bash", "-c", command],
                cwd=clone,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            while not (found := re.search(pattern, log.read_text())):
                if child.poll() is not None:
                    sys.exit(log.read_text())
                time.sleep(0.05)
            tell("from the command to an address" if not binder else "start", time.monotonic() - began)
            tour = f"{found[1]}/lab/tree/notebooks/00-tour.ipynb?token={TOKEN}" if binder else found[1]
            tell("before a page is open", memory(home))
            with sync_playwright() as driver:
                chromium = shutil.which("chromium") or shutil.which("chromium-browser")
                browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
                page = browser.new_page(viewport={"width": 1400, "height": 900})
                look(page, tour, "00-tour")
                tell("  the tour open and run", memory(home))
                beside = tour.replace("00-tour", "06-live").replace("/lab/tree/", "/lab/workspaces/beside/tree/")
                look(page, beside, "06-live")
                tell("  both open and run", memory(home))
                browser.close()
        finally:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait(60)


if __name__ == "__main__":
    main()
