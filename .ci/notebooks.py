"""Runs the README's first command on this machine: installs, opens JupyterLab with the lab, ends on Ctrl-C.

python .ci/notebooks.py "<the command>"
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request

command = f"{sys.argv[1]} --no-browser --port 0"
with tempfile.TemporaryDirectory(prefix="kit-ci-") as home:
    # Of its own, so that a lab this user has running is neither joined nor disturbed.
    places = ("HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "JUPYTER_RUNTIME_DIR")
    own = {name: os.path.join(home, name.lower()) for name in places}
    for folder in own.values():
        os.mkdir(folder, 0o700)
    environment = {**os.environ, **own}
    environment.setdefault("PIP_CACHE_DIR", os.path.expanduser("~/.cache/pip"))
    child = subprocess.Popen(
        ["bash", "-c", command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    watchdog = threading.Timer(420, os.killpg, (child.pid, signal.SIGKILL))
    watchdog.daemon = True
    watchdog.start()
    page = None
    for line in child.stdout:
        print(re.sub(r"token=\w+", "token=...", line), end="", flush=True)
        if found := re.search(r"JupyterLab +(http\S+)", line):
            page = found[1]
        if "To stop" in line:
            break
    if page is None:
        sys.exit(f"the command ended without a page, status {child.wait()}")
    answer = urllib.request.urlopen(page)
    assert b"jupyter-config-data" in answer.read(), "that page is not JupyterLab"
    print(subprocess.check_output([".venv/bin/kit", "status"], env=environment, text=True), end="")
    os.killpg(child.pid, signal.SIGINT)
    status = child.wait(60)
    assert status == 0, f"Ctrl-C ended it with status {status}"
    gone = subprocess.run([".venv/bin/kit", "status"], env=environment, capture_output=True)
    assert gone.returncode == 1, "something is left running"
print("the notebooks command works")
