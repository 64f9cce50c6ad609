"""A page in the browser to try a space: a server of this machine, its JSON answers, its files."""
