"""Indexes of embedded items, searched at factors that are chosen with the query."""
