"""Knowledge bases: what language models say of categories, and of items."""
