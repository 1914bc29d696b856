"""What goes in comes out: hypothesis makes frames, tables and records, every log keeps them, every reader shows them.

    python -m tests.values --examples 100000 --seed 1 --service all

`model` says what must come back, with `json` and `decimal` alone; `cells` makes values and columns of them, `given`
what is appended, `paths` reads it back in all ways, `running` compares. `table` makes the table of values in the docs.
"""
