"""Bundles on the hub: a model card, pushing, pulling."""
