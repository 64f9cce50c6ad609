"""Embedding inputs with a product: arguments, streams, writers."""
