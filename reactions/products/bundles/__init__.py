"""Products on disk: directories that describe themselves and are verified when they are read."""
