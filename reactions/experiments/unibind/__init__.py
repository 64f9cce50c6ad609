"""UniBind's experiments: its findings rehearsed on a lab, and its tables."""
