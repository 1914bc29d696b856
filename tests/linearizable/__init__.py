"""Whether what several clients saw at once can be explained by one of them after the other.

`python -m tests.linearizable --clients 5 --ops 200 --seeds 200` lets clients work on one stream, event log or key while
the network between them and the server misbehaves, writes down when each call began and what came of it, and looks for
an order of all calls that explains the answers and keeps to the times (`check.py`). Histories of S2 are written as JSON
lines in the form that S2's own public checker reads. What a broken client does is found: that is the test of the test.
"""
