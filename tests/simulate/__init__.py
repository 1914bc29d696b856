"""All five services in one thread, over a network and a clock that are made up.

`python -m tests.simulate --seeds 1000` runs the real clients of both colours, sessions, producers, subscriptions and
feeds against the lab's own servers. Nothing waits: an event loop jumps from one moment to the next (`loop.py`), what is
sent goes through a network in memory that is slow, splits, loses, cuts and repeats (`network.py`), and the clock, chance
and names that the process would ask the system for come from the seed (`world.py`). So the same seed gives the same
trace, byte for byte, and a run that fails can be made small (`shrink.py`).
"""
