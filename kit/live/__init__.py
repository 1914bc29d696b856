"""Feeds and live views: a subscription that runs on while cells run, and a table that shows it move.

source    what a feed needs of a service, and adapters for what a notebook has at hand
feed      the subscription itself: bounded buffer, filters, callbacks, checkpoints
view      the widget that shows a feed

Nothing in here knows a service: each wing makes its own sources.
"""
