"""Point clouds: read from files."""
