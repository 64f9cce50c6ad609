"""What preprocessing says of a value that it cannot use."""


class Unusable(Exception):
    """A value that is not a picture, sound or text; the message says why.

    Whoever knows the item turns it into a ``MediaError`` that names it.
    """
