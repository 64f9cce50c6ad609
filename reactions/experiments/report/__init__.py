"""A product as one page to look at: what it is made of, what it scores, where it can be moved."""
