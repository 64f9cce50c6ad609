"""Generators of descriptions: language models that are asked, and what is made of answers."""
