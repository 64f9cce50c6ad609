"""Products of spaces: their arithmetic, their trained parts, and bundles on disk."""
