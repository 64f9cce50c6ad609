"""Published packages, held against the spaces that molspace opens by code of its own."""
