"""A pickle that would do more than hold data."""


class Code:
    """Prints when it is loaded, if anybody lets it."""

    def __reduce__(self):
        return print, ("ran",)
