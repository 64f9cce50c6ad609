"""Data sets as Hugging Face has them: on the hub, in its cache, or in a folder."""
