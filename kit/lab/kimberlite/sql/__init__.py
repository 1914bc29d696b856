"""SQL for the embedded Kimberlite server, in separate processes.

`workers.py` is the server's side, `worker.py` runs in a process: it hands orders to `tenants.py`, which opens a
tenant's file (`database.py`: all unneeded access closed, `schema.py`: tables with their versions), parses the statement
(`tokens.py`, `dialect.py`, `ddl.py`), adds what SQLite lacks (`functions.py`, `helpers.py`), and encodes the rows for
the wire (`rows.py`).
"""
