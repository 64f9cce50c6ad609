"""Spaces that are given as files of embeddings."""
