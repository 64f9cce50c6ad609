import pytest
from dsl_catalogue import CATALOGUE

from reactions.core.factor_defaults import FactorDefaults
from reactions.dsl import Cr, Space, check, parse

BOTH = "ImageBind + Cr(CLAP_m{0}) & Cr(CLAP_g{0})"


def checked(text, mean="eq10"):
    return check(parse(text), CATALOGUE, factors=FactorDefaults(mean=mean))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (
            "A + Cr(X, mean='unit', sigma=1) + 2 * Cr(Y, mean = unit)",
            "A + Cr(X, sigma=1, mean=unit) & 2*Cr(Y, mean=unit)",
        ),
        ("A + Cr(X, mean=eq10) & Cr(Y)", "A + Cr(X, mean=eq10) & Cr(Y)"),
    ],
)
def test_canonical_text(text, canonical):
    assert str(parse(text).result) == canonical
    assert str(parse(canonical).result) == canonical


def test_python_builds_what_the_parser_builds():
    expression = Space("A") + Cr("X", mean="unit") & Cr("Y", mean="unit")
    assert expression == parse("A + Cr(X, mean=unit) & Cr(Y, mean=unit)").result


def test_how_parallel_experts_are_averaged():
    assert checked(BOTH.format("")).space.mean == "eq10"
    assert checked(BOTH.format(", mean=unit")).space.mean == "unit"
    assert checked(BOTH.format(", mean=eq10"), "unit").space.mean == "eq10"
    by_lab = checked(BOTH.format(""), "unit")
    assert (by_lab.space.mean, by_lab.expression) == ("unit", BOTH.format(""))


def test_of_one_expert_there_is_one_mean_whatever_the_lab_says():
    alone = checked("ImageBind + Dr(InternVL) | Cr(CLAP_m)", "unit")
    assert alone.space == checked("ImageBind + Dr(InternVL) | Cr(CLAP_m)").space
