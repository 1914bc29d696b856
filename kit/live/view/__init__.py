"""What is seen of a feed: `LiveView`, the widget that `.live()` gives, and what it is made of.

live_view      what a user holds: a feed on show
face           its front: what is painted when, and the snapshot that stays behind
controls       its widgets; panes opens more of them below the buttons
page           the table of newest or first rows; order, values and drawing make its lines
screen         one timer for all views; pulse asks whether front ends keep up
"""

from .live_view import LiveView, live

__all__ = ["LiveView", "live"]
