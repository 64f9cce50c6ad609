"""Products written for other tools, which load them without molspace."""
