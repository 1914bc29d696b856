"""`python -m tests.real build` makes the real servers, `run` starts them; see the package."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import threading

from . import HERE, cache, kimberlite_program, running_kimberlite, running_s2, s2_program

QUICKLY = {
    "CARGO_PROFILE_RELEASE_LTO": "off",
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
    "CARGO_PROFILE_RELEASE_OPT_LEVEL": "1",
}
"""Built for answers, not for speed: all of Rust's optimisations take twice the time."""


def build(services: list[str]) -> None:
    """Make the programs; this takes a quarter of an hour each on two cores."""
    env = {**os.environ, **QUICKLY}
    if "kimberlite" in services:
        # A copy, so that neither a lock file nor what is built lands in the repository.
        shutil.copytree(HERE / "src", cache() / "src", dirs_exist_ok=True)
        shutil.copy(HERE / "Cargo.toml", cache())
        subprocess.run(["cargo", "build", "--release", "--target-dir", "target"], cwd=cache(), env=env, check=True)
        print(f"kimberlite: {kimberlite_program()}")
    if "s2" in services:
        if s2_program() is None:
            subprocess.run(["cargo", "install", "--locked", "s2-cli"], env=env, check=True)
        print(f"s2: {s2_program()}")


def run(services: list[str]) -> None:
    """Start the servers, print the variables that point a client at them, and wait for Ctrl-C."""
    with contextlib.ExitStack() as stack:
        env: dict[str, str] = {}
        if "s2" in services:
            env |= {name: value for name, value in stack.enter_context(running_s2()).items() if name.startswith("S2_")}
        if "kimberlite" in services:
            env |= {
                "KIMBERLITE_ADDRESS": stack.enter_context(running_kimberlite()),
                "KIMBERLITE_TENANT": "1",
            }
        for name, value in env.items():
            print(f"export {name}={value}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.real", description=__doc__)
    parser.add_argument("what", choices=["build", "run"])
    parser.add_argument("--service", choices=["s2", "kimberlite", "all"], default="all")
    asked = parser.parse_args()
    services = ["s2", "kimberlite"] if asked.service == "all" else [asked.service]
    if asked.what == "build":
        build(services)
    else:
        run(services)
    return 0


if __name__ == "__main__":
    sys.exit(main())
