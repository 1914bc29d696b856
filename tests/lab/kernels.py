"""A real kernel: what a user types, and what the cell shows."""

import os
import queue

from jupyter_client.manager import start_new_kernel


class Notebook:
    """A kernel and what its cells gave."""

    def __init__(self, env):
        self.manager, self.client = start_new_kernel(env={**os.environ, **env})

    def run(self, code):
        """(result, everything printed, error) of a cell."""
        result, printed, error = None, "", None

        def take(message):
            nonlocal result, printed, error
            content = message["content"]
            if message["msg_type"] in ("execute_result", "display_data"):
                result = content["data"]
            elif message["msg_type"] == "stream":
                printed += content["text"]
            elif message["msg_type"] == "error":
                error = content

        self.client.execute_interactive(code, timeout=60, output_hook=take, stop_on_error=False)
        return result, printed, error

    def text(self, code):
        result, printed, error = self.run(code)
        assert error is None, error["traceback"]
        return printed or result["text/plain"]

    def error(self, code):
        _, _, error = self.run(code)
        assert error is not None
        return "\n".join(error["traceback"])

    def complete(self, code):
        identity = self.client.complete(code)
        while True:
            try:
                reply = self.client.get_shell_msg(timeout=30)
            except queue.Empty:
                raise AssertionError("no completion") from None
            if reply["parent_header"].get("msg_id") == identity:
                return reply["content"]["matches"]

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
