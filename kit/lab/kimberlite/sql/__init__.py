"""SQL for the embedded Kimberlite server, in processes of its own.

`workers.py` is the server's side, `worker.py` what runs in a process: it hands orders to `tenants.py`, which opens a
tenant's file (`database.py`: everything shut, `schema.py`: tables with their versions), reads the statement
(`tokens.py`, `dialect.py`, `ddl.py`), adds what SQLite has not (`functions.py`, `helpers.py`), and writes rows as the
wire has them (`rows.py`).
"""
