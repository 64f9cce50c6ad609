"""Sounds: containers taken apart, and decoded within limits to their ends."""
