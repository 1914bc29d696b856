"""A child process that does not outlive its parent, however that one ends."""

from __future__ import annotations

import os
import signal
import threading


def watch(parent: int, patience: float = 3) -> None:
    """End the process when its parent is gone.

    Standard input tells at once, unless a fork of the parent holds the other end open; the parent's id tells always.
    """

    def end() -> None:
        # From a thread, even if the loop is busy; the databases survive this.
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(patience)
        os._exit(0)

    def read() -> None:
        while os.read(0, 1024):
            pass
        end()

    def poll() -> None:
        while os.getppid() == parent:
            threading.Event().wait(0.5)
        end()

    threading.Thread(target=read, daemon=True).start()
    if hasattr(os, "getppid") and os.name == "posix":
        threading.Thread(target=poll, daemon=True).start()
