"""Feeds and live views: a subscription that runs on while cells run, and a table that shows it move.

source    what a feed needs of a service, and adapters for what a notebook has at hand
state     what is known of a feed: the newest rows, counters, what went wrong
engine    writes the state: opens, takes, makes lost connections anew
feed      the subscription as users have it
view      the widget that shows one; browse, the tree that `explorer.browse()` gives
merged    several sources as one, in the order of their times
results   figures that are folded from a feed, and SQL that runs again: feeds whose rows are replaced

Nothing in here knows a service: each wing makes its own sources.
"""
