"""Results that stay up to date: folds of the rows of a feed as they come, and SQL that runs again.

lots, groups     rows of a batch in groups
aggregates       what is computed for each group
per, rolling, newest   the folds: figures per key and window, of the last rows, the latest row per key
folded           a fold as the source of a feed
"""
