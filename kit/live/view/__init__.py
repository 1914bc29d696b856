"""What is seen of a feed: `LiveView`, the widget that `.live()` gives, and what it is made of.

live_view      what a user holds: a feed on show
widgets        its visible part: what is painted when, and the snapshot that stays behind
controls       buttons and fields; panes opens more of them below the buttons
rows_table     the table of newest or first rows; order, values and drawing make its lines
repaint_timer  one timer for all views; backpressure asks whether front ends keep up
"""

from .live_view import LiveView, live

__all__ = ["LiveView", "live"]
