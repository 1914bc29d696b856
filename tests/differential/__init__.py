"""That the lab behaves as the real servers do: the same random calls to both, and their answers compared.

`python -m tests.differential --service s2 --ops 100000 --seed 1`; the real servers come from `python -m tests.real build`.
Compared are values, positions, kinds of errors with what they tell, empties, names and types of columns; not compared are
the wording of messages and the time of day. Calls come in worlds, each a basin or a tenant of its own; after a difference
a world is left, as what follows would differ for that alone.
"""
