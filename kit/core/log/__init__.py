"""What logs have in common: streams of S2 and Kimberlite, rooms of Synap."""
