"""Published projectors of other repositories, turned into verified bundles."""
