"""Streams of events of event cameras: read from files, and drawn as pictures."""
