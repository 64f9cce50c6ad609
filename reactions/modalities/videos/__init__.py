"""Video files: the sound and a picture of a clip."""
