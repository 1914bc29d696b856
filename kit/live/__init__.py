"""Feeds and live views: a subscription that runs in the background, and a table that shows its rows as they come.

source    what a feed needs from a service; adapters make sources from objects in a notebook
state     the state of a feed: its newest rows, counters and errors
engine    writes the state: opens the source, takes its rows, reconnects
feed      the subscription, as users have it
view      the widget that shows a feed; browse, the tree of `explorer.browse()`
merged    several sources as one, in the order of their times
results   folds of a feed, and SQL that runs again: feeds whose rows are replaced

Nothing here knows a service: each service's package makes its own sources.
"""
