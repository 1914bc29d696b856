"""What holds for all tests."""

import signal

# A shell starts background jobs with interrupts ignored, and everything that they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
