"""Images: files opened and decoded within limits."""
