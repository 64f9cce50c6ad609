"""ImageBind: the base of the paper's reactions.

An own lean implementation of the published towers and preprocessing, which loads the
published checkpoint as it is.
"""
