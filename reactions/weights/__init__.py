"""Weights: where they lie, how they are downloaded, and reading them without running them."""
