"""A fault campaign over every service and verb: `python -m tests.chaos --runs 2000 --seed 1`.

Each run asks one verb of one client while something goes wrong between it and an embedded server in a process of its
own: the lab's own faults, or a proxy that resets, cuts, dribbles, stalls, repeats and garbles bytes. A model of what
must hold gives the verdict: reads complete or raise, positions come once and in order, what was acknowledged is there
once, what may happen at most once never happens twice, nothing hangs, and the client works again afterwards.
`--kills N` ends the server with SIGKILL in the middle of work instead, and starts it again on its data.
"""
