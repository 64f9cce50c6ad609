"""What the operators of the syntax tree refuse: each an error to raise, which knows no text."""

from __future__ import annotations

from reactions.core.errors import UsageError


def not_parallel(left: object, right: object) -> UsageError:
    """Return the error for an ``&`` that joins no combinations."""
    return UsageError(
        f"'&' cannot join {right} to {left}",
        why="'&' joins combinations (Cr) within one stage",
        fix="use + or | instead",
    )


def no_base(reaction: object) -> UsageError:
    """Return the error for stages that follow nothing."""
    return UsageError(
        f"no base for {reaction}",
        why="a reaction starts from a space",
        fix=f'begin with one, as in Space("ImageBind") + {reaction}',
    )


def no_weight(reaction: object) -> UsageError:
    """Return the error for a weight on what is not averaged."""
    return UsageError(
        f"a weight on {reaction}",
        why="only parallel combinations (Cr) are averaged, so only they take weights",
        fix="remove the weight",
    )


def no_reaction(left: object, right: object) -> UsageError:
    """Return the error for a space where a reaction belongs."""
    return UsageError(
        f"{right} is a space, not a reaction",
        why="a space joins another by displacement (Dr) or combination (Cr)",
        fix=f'{left} + Cr("{right}")   or   {left} + Dr("{right}")',
    )


def no_space(reaction: str, value: object) -> UsageError:
    """Return the error for a reaction with something other than a space.

    Args:
        reaction: its name.
        value: what was given.
    """
    return UsageError(
        f"{reaction} takes a space or a product, not {value!r}",
        fix=f'name the space, as in {reaction}("CLAP_g")',
    )


def no_node(sign: str, left: object, right: object) -> UsageError:
    """Return the error for a text, or anything else of Python's, after an operator.

    Args:
        sign: the operator.
        left: what stands before it, of the syntax tree.
        right: what stands after it.
    """
    written = _written(right)
    if sign == "&":
        fix = f"{left} & Cr({written})"
    else:
        fix = f"... {sign} Cr({written})   or   ... {sign} Dr({written})"
    return UsageError(
        f"'{sign}' cannot join {right!r:.80} to {left}",
        why=f"a space is joined by a reaction, and this is a {type(right).__name__}",
        fix=f"{fix}   or all of it as one text",
    )


def no_start(left: object, right: object) -> UsageError:
    """Return the error for a text, or anything else of Python's, before a ``+``."""
    return UsageError(
        f"'+' cannot join {right} to {left!r:.80}",
        why=f"a reaction starts from a space, and this is a {type(left).__name__}",
        fix=f"Space({_written(left)}) + ...   or all of it as one text",
    )


def _written(value: object) -> str:
    """Return what was probably meant by the name of a space, as Python has it."""
    return f'"{value}"' if isinstance(value, str) and len(value) <= 80 else '"NAME"'
