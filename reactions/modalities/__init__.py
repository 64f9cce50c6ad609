"""Media: which kinds there are, and how each is recognised, checked, decoded and digested."""
