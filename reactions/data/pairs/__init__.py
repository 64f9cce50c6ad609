"""Pairs: items of several modalities that belong together, from tables, shards and videos."""
