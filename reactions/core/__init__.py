"""What every layer shares: types, steps, errors, hashes, and files wherever they lie."""
