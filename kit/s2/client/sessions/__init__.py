"""Work that lasts: append and read sessions, producers, and the exchange that they run on."""
