"""Models of the open_clip package."""
