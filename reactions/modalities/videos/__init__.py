"""Video files: their frames, and the sound and a picture of a clip."""
