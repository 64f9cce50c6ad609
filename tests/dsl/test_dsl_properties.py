import math

import pytest
from dsl_catalogue import CATALOGUE
from dsl_strategies import expressions, mutants, programs, salads, unhurried, valid_products
from hypothesis import given
from hypothesis import strategies as st

from reactions.core import types
from reactions.core.errors import EXIT_MISSING, EXIT_USAGE, LanguageError
from reactions.core.factor_defaults import FactorDefaults
from reactions.dsl import check, parse


@unhurried
@given(expressions())
def test_parsing_what_was_printed_gives_the_same_tree(expression):
    text = str(expression)
    reparsed = parse(text).result
    assert reparsed == expression
    assert hash(reparsed) == hash(expression)
    assert str(reparsed) == text


@unhurried
@given(programs())
def test_programs_survive_printing(program):
    assert parse(str(program)) == program


def parses_or_explains(text):
    """Whatever the text, it checks or the error points into it."""
    error = None
    try:
        program = parse(text)
        checked = check(program, CATALOGUE, factors=FactorDefaults())
    except LanguageError as caught:
        error = caught
    if error is None:
        assert parse(str(program)) == program
        assert parse(checked.expression)
        return
    assert error.what
    assert 0 <= error.column <= len(error.text)
    assert error.exit_code in (EXIT_USAGE, EXIT_MISSING)
    caret = error.lines()[2]
    assert set(caret) <= {" ", "\t", "^"}  # tabs stand under tabs
    assert "^" in caret


@unhurried
@given(st.text())
def test_any_text(text):
    parses_or_explains(text)


@unhurried
@given(salads)
def test_any_words_of_the_language(text):
    parses_or_explains(text)


@unhurried
@given(mutants())
def test_slips_in_valid_programs(text):
    parses_or_explains(text)


def fusions(space):
    if isinstance(space, types.Leaf):
        return
    if isinstance(space, types.Fusion):
        yield space
        for expert in space.experts:
            yield from fusions(expert.space)
    yield from fusions(space.base)


@unhurried
@given(valid_products())
def test_a_checked_expression_is_canonical_and_typed(expression):
    checked = check(expression, CATALOGUE, factors=FactorDefaults())
    rechecked = check(parse(checked.expression), CATALOGUE, factors=FactorDefaults())
    assert rechecked == checked
    for fusion in fusions(checked.space):
        assert math.fsum(e.weight for e in fusion.experts) == pytest.approx(1, abs=1e-12)
        assert fusion.dim == (fusion.experts[0].space.dim if fusion.op == "dr" else fusion.base.dim)
        lone = len(fusion.experts) == 1
        assert fusion.mean in (("eq10",) if lone else ("eq10", "unit"))
        for expert in fusion.experts:
            shared = types.shared_modalities(fusion.base, expert.space)
            assert tuple(name for name, _ in expert.factors) == shared
            assert all(0 <= value <= 1 for _, value in expert.factors)
