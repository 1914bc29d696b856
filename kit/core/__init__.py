"""What every service shares: transport, retry rules, event loop, secrets, call log, columns to frames.

Nothing in here knows a service, and importing this package alone loads nothing heavy.
"""
