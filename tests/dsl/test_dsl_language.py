"""Every row of the language's table, from text to typed reaction."""

import subprocess
import sys
from pathlib import Path

import pytest
from dsl_catalogue import CATALOGUE

from reactions.core import types
from reactions.core.errors import LanguageError, UsageError
from reactions.core.factor_defaults import FactorDefaults
from reactions.core.tuning_options import TuningOptions
from reactions.dsl import (
    Cr,
    Dr,
    Ft,
    Lcl,
    Space,
    check,
    parse,
    parse_file,
)
from reactions.dsl.syntax import Parallel, Product
from reactions.products.tree import coefficients

EXAMPLES = Path(__file__).parents[2] / "examples"


def checked(reaction, **names):
    reaction = parse(reaction) if isinstance(reaction, str) else reaction
    return check(reaction, CATALOGUE, factors=FactorDefaults(), names=names)


def leaf(name):
    return types.Leaf(CATALOGUE.by_name(name))


# --- canonical text ---


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("ImageBind", "ImageBind"),
        ("ImageBind+Dr( InternVL )", "ImageBind + Dr(InternVL)"),
        ("ImageBind | Dr(InternVL)", "ImageBind + Dr(InternVL)"),
        (
            "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)",
            "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)",
        ),
        ("A + Cr(X) + Cr(Y)", "A + Cr(X) & Cr(Y)"),
        ("A + Cr(X) & Cr(Y) + Cr(Z)", "A + Cr(X) & Cr(Y) & Cr(Z)"),
        ("A + Cr(X) | Cr(Y) + Cr(Z)", "A + Cr(X) | Cr(Y) & Cr(Z)"),
        ("A + Cr(X) + Dr(Y) + Cr(Z)", "A + Cr(X) | Dr(Y) | Cr(Z)"),
        ("A + Dr(X) + Dr(Y)", "A + Dr(X) | Dr(Y)"),
        ("A + Cr(X) + Ft(audio~image) + Cr(Y)", "A + Cr(X) | Ft(audio~image) | Cr(Y)"),
        ("A + Lcl(kb) + Lcl('kb.parquet')", "A + Lcl(kb) | Lcl(kb.parquet)"),
        ('A + Lcl("data/kb.parquet")', 'A + Lcl("data/kb.parquet")'),
        ("A + (Cr(X) & Cr(Y))", "A + Cr(X) & Cr(Y)"),
        ("A + 0.70*Cr(X) & .3 * Cr(Y)", "A + 0.7*Cr(X) & 0.3*Cr(Y)"),
        ("A + 7*Cr(X) + 3.0*Cr(Y)", "A + 7*Cr(X) & 3*Cr(Y)"),
        ("(A + Cr(X)) + Cr(Y)", "A + Cr(X) | Cr(Y)"),
        ("((A)) + Cr(((B)))", "A + Cr(B)"),
        ("A + Cr(B + Cr(C), sigma=0.3)", "A + Cr((B + Cr(C)), sigma=0.3)"),
        ("A + Cr((B + Cr(C)))", "A + Cr((B + Cr(C)))"),
        (
            "A + Cr(X, recipe='exmcr', data=AVT, sigma=1)",
            "A + Cr(X, sigma=1, data=TVA, recipe=exmcr)",
        ),
        ("A + Cr(X, recipe=paper)", "A + Cr(X)"),
        ("A + Cr('./x', centre = true, sigma=1)", 'A + Cr("./x", sigma=1, centre=true)'),
        ("A + Dr(X, centre=false)", "A + Dr(X, centre=false)"),
        ("A + Cr(X, sigma=(0.5,0.1,))", "A + Cr(X, sigma=(0.5, 0.1))"),
        ("A + Cr(X, sigma=(text=1e-3, audio=.5))", "A + Cr(X, sigma=(audio=0.5, text=0.001))"),
        ("A + Cr(X, sigma=(0.5))", "A + Cr(X, sigma=(0.5))"),
        ("A + Dr(X, lambda=0.9, data=(text, audio))", "A + Dr(X, lambda=0.9, data=TA)"),
        ("A + Dr(X, data=(points, text))", "A + Dr(X, data=(points, text))"),
        ("A + Dr(X, data=points)", "A + Dr(X, data=(points))"),
        ("'open_clip:x' + Cr('it\"s')", '"open_clip:x" + Cr(\'it"s\')'),
        ('"ImageBind" + Cr("Dr")', 'ImageBind + Cr("Dr")'),
        ("A + Cr('C:\\models\\x') # why", 'A + Cr("C:\\models\\x")'),
    ],
)
def test_canonical_text(text, canonical):
    assert str(parse(text).result) == canonical
    assert str(parse(canonical).result) == canonical


def test_tree_of_the_running_example():
    tree = parse("ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)").result
    stages = (Dr("InternVL"), Parallel((Cr("CLAP_m"), Cr("CLAP_g"))))
    assert tree == Product(Space("ImageBind"), stages)


@pytest.mark.parametrize(
    "text",
    [
        "ImageBind\n  + Dr(InternVL)\n  | Cr(CLAP_m) & Cr(CLAP_g)",
        "ImageBind +\n  Dr(InternVL) |  # first\n\n  Cr(CLAP_m) &\n Cr(CLAP_g)",
        "ImageBind + Dr(\n InternVL\n) | Cr(\nCLAP_m) & Cr(CLAP_g)\n\n",
        "\r\n# head\r\n;;ImageBind + Dr(InternVL)\r\n# between\r\n| Cr(CLAP_m) & Cr(CLAP_g);\r\n",
    ],
)
def test_newlines_end_a_statement_only_where_one_can_end(text):
    assert str(parse(text).result) == "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"


def test_spans_take_no_part_in_equality():
    assert parse("A  +  Cr( X )") == parse("A + Cr(X)")
    assert parse("A + Cr(X)").result != parse("A + Dr(X)").result


# --- programs and names ---


def test_a_program_names_products_and_ends_in_its_result():
    program = parse("P = ImageBind + Dr(InternVL)  # base\n\nQ = P + Cr(CLAP_m); Q | Cr(CLAP_g)")
    assert [binding.name for binding in program.bindings] == ["P", "Q"]
    result = checked(program)
    assert result.expression == "ImageBind + Dr(InternVL) | Cr(CLAP_m) | Cr(CLAP_g)"
    assert result.name is None


@pytest.mark.parametrize("text", ["P = ImageBind + Cr(CLAP_g)", "P = ImageBind + Cr(CLAP_g); P"])
def test_the_last_name_is_the_name_of_the_result(text):
    result = checked(text)
    assert (result.name, result.expression) == ("P", "ImageBind + Cr(CLAP_g)")
    assert str(parse(text)) == "P = ImageBind + Cr(CLAP_g)"


def test_a_named_product_is_a_reactant():
    result = checked("P = CLAP_g + Cr(CLAP_m)\nImageBind + Cr(P, sigma=0.3)")
    assert result.expression == "ImageBind + Cr((CLAP_g + Cr(CLAP_m)), sigma=0.3)"
    assert isinstance(result.space, types.Fusion)
    assert result.space.experts[0].space.label == "(CLAP_g + Cr(CLAP_m))"


def test_names_from_elsewhere():
    names = {"P": parse("ImageBind + Dr(InternVL)").result, "Q": parse("P | Cr(CLAP_g)").result}
    result = checked("Q | Cr(CLAP_m)", **names)
    assert result.expression == "ImageBind + Dr(InternVL) | Cr(CLAP_g) | Cr(CLAP_m)"
    assert checked("Q", **names).name == "Q"


def test_a_name_from_elsewhere_can_be_used_twice():
    names = {"P": parse("InternVL + Cr(CLAP_g)").result}
    result = checked("ImageBind + Cr(P) | Dr(P)", **names)
    assert result.expression == (
        "ImageBind + Cr((InternVL + Cr(CLAP_g))) | Dr((InternVL + Cr(CLAP_g)))"
    )


def test_a_program_hides_names_from_elsewhere_and_says_so():
    result = checked("P = ImageBind + Cr(CLAP_g)", P=parse("InternVL").result)
    assert result.expression == "ImageBind + Cr(CLAP_g)"
    assert "'P'" in result.notices[0]


def test_a_registered_name_that_needs_quotes():
    result = checked('ImageBind + Cr("e5-small")')
    assert result.space.experts[0].space == leaf("e5-small")
    assert result.expression == 'ImageBind + Cr("e5-small")'


@pytest.mark.parametrize("name", [path.name for path in sorted(EXAMPLES.glob("*.rxn"))])
def test_examples_check(name):
    result = checked(parse_file(EXAMPLES / name))
    assert result.name
    assert result.notices == ()


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("imagebind_pp", "ImageBind + Cr(CLAP_m) & Cr(CLAP_g)"),
        ("internvl_ib", "ImageBind + Dr(InternVL)"),
        ("internvl_ib_pp", "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"),
        (
            "internvl_ib_ft_pp",
            "ImageBind + Dr(InternVL) | Ft(audio~image) | Cr(CLAP_m) & Cr(CLAP_g)",
        ),
        (
            "only_sequential",
            "ImageBind + Dr(InternVL) | Dr(CLAP_m, lambda=(0.5, 0.1)) "
            "| Dr(CLAP_g, lambda=(0.5, 0.1))",
        ),
        (
            "only_parallel",
            "ImageBind + Cr(InternVL, sigma=(image=0.1, text=0.3)) "
            "& Cr(CLAP_m, sigma=(audio=0.5, text=0.15)) "
            "& Cr(CLAP_g, sigma=(audio=0.5, text=0.15))",
        ),
    ],
)
def test_examples_are_the_papers_reactions(name, expression):
    assert checked(parse_file(EXAMPLES / f"{name}.rxn")).expression == expression


def test_only_parallel_gives_internvl_a_tenth_of_image_and_text():
    space = checked(parse_file(EXAMPLES / "only_parallel.rxn")).space
    assert coefficients(space, "image") == (pytest.approx(0.9), pytest.approx((0.1, 0, 0)))
    assert coefficients(space, "text") == (pytest.approx(0.8), pytest.approx((0.1, 0.05, 0.05)))
    assert coefficients(space, "audio") == (pytest.approx(0.5), pytest.approx((0, 0.25, 0.25)))


# --- typed reactions ---


def test_displacement_takes_the_experts_dimension():
    space = checked("ImageBind + Dr(InternVL)").space
    assert space == types.Fusion(
        "dr",
        leaf("ImageBind"),
        (types.Expert(leaf("InternVL"), 1.0, (("image", 0.9), ("text", 0.9))),),
    )
    assert (space.dim, space.modalities) == (96, ("audio", "image", "text"))


def test_combination_keeps_the_bases_dimension_and_adds_modalities():
    space = checked("ImageBind + Cr(Uni3D)").space
    assert (space.dim, space.modalities) == (128, ("audio", "image", "points", "text"))


def test_default_factors_go_by_operation_and_modality():
    (expert,) = checked("ImageBind + Cr(CLAP_g)").space.experts
    assert expert.factors == (("audio", 0.5), ("text", 0.1))
    defaults = FactorDefaults(combination=(("text", 0.3),), other_combination=0.2)
    (expert,) = check(parse("ImageBind + Cr(CLAP_g)"), CATALOGUE, factors=defaults).space.experts
    assert expert.factors == (("audio", 0.2), ("text", 0.3))


@pytest.mark.parametrize(
    ("option", "factors"),
    [
        ("0.3", (("audio", 0.3), ("text", 0.3))),
        ("(0.8, 0.4)", (("audio", 0.8), ("text", 0.4))),
        ("(text=0.4, audio=0.8)", (("audio", 0.8), ("text", 0.4))),
        ("(text=0.4)", (("audio", 0.5), ("text", 0.4))),
        ("(0, 1)", (("audio", 0.0), ("text", 1.0))),
    ],
)
def test_given_factors(option, factors):
    (expert,) = checked(f"ImageBind + Cr(CLAP_g, sigma={option})").space.experts
    assert expert.factors == factors


def test_parallel_experts_share_one_base_and_the_weight():
    space = checked("ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)").space
    assert [expert.weight for expert in space.experts] == [0.5, 0.5]
    assert space.base == checked("ImageBind + Dr(InternVL)").space


def test_weights_are_normalised():
    space = checked("ImageBind + 3*Cr(CLAP_m) & 1*Cr(CLAP_g)").space
    assert [expert.weight for expert in space.experts] == [0.75, 0.25]
    space = checked("ImageBind + 1e308*Cr(CLAP_m) & 1e308*Cr(CLAP_g)").space
    assert [expert.weight for expert in space.experts] == [0.5, 0.5]


def test_data_and_recipe():
    (expert,) = checked("ImageBind + Cr(CLAP_g, data=VT, recipe=cmcr)").space.experts
    assert (expert.anchors, expert.recipe) == (("image", "text"), "cmcr")


def test_centre():
    (expert,) = checked("ImageBind + Cr(CLAP_g, centre=true)").space.experts
    assert expert.space.spec.centre
    assert not checked("ImageBind + Cr(CLAP_g)").space.experts[0].space.spec.centre
    with pytest.raises(LanguageError, match="cannot be centred"):
        checked("ImageBind + Cr((CLAP_m + Cr(CLAP_g)), centre=true)")


def test_tuning():
    space = checked("ImageBind + Dr(InternVL) | Ft(audio~image)").space
    assert (space.op, space.arguments, space.dim) == ("ft", ("audio", "image"), 96)
    assert space.options == TuningOptions()
    space = checked("ImageBind + Dr(InternVL) | Ft(audio~image, heads=only, lr=1e-3)").space
    assert space.options == TuningOptions(heads="only", lr=0.001)
    space = checked("ImageBind + Lcl('kb.parquet')").space
    assert (space.op, space.arguments) == ("lcl", ("kb.parquet",))


def test_tuning_image_or_text_is_remarked_on():
    assert "neither image nor text" in checked("ImageBind + Ft(text~image)").notices[0]


def test_uris_are_spaces():
    space = checked('"open_clip:a/b" + Cr("open_clip:c")').space
    assert [part.label for part in types.leaves(space)] == ["open_clip:a/b", "open_clip:c"]


# --- Python ---

OPERATORS = [
    (
        Space("ImageBind") + Dr("InternVL") | Cr("CLAP_m") & Cr("CLAP_g"),
        "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)",
    ),
    (Space("A") + Cr("X") & Cr("Y"), "A + Cr(X) & Cr(Y)"),
    (Space("A") + Cr("X") & Cr("Y") & Cr("Z"), "A + Cr(X) & Cr(Y) & Cr(Z)"),
    (Space("A") + Cr("X") + Cr("Y"), "A + Cr(X) + Cr(Y)"),
    (Space("A") | Cr("X") | Cr("Y"), "A | Cr(X) | Cr(Y)"),
    (Space("A") | Cr("X") + Cr("Y"), "A | Cr(X) + Cr(Y)"),
    (Space("A") + Dr("X") + Cr("Y") & Cr("Z"), "A + Dr(X) + Cr(Y) & Cr(Z)"),
    (Space("A") + (Cr("X") & Cr("Y")), "A + (Cr(X) & Cr(Y))"),
    (Space("A") + 0.7 * Cr("X") & Cr("Y") * 0.3, "A + 0.7*Cr(X) & 0.3*Cr(Y)"),
    (Space("A") + Cr(Space("B") + Cr("C"), sigma=0.3), "A + Cr((B + Cr(C)), sigma=0.3)"),
    (Space("A") + Cr("open_clip:ViT-B-32/openai"), 'A + Cr("open_clip:ViT-B-32/openai")'),
    (Space("A") + Dr("X", lambda_=(0.9, 0.8)), "A + Dr(X, lambda=(0.9, 0.8))"),
    (Space("A") + Cr("X", sigma={"text": 1}), "A + Cr(X, sigma=(text=1))"),
    (Space("A") + Cr("X", data="VT"), "A + Cr(X, data=TV)"),
    (Space("A") + Cr("X", data=["text", "points"]), "A + Cr(X, data=(points, text))"),
    (Space("A") + Cr("X", recipe="cmcr"), "A + Cr(X, recipe=cmcr)"),
    (Space("A") + Dr("X", centre=True), "A + Dr(X, centre=true)"),
    (Space("A") + Ft("audio", "image") | Lcl("kb"), "A + Ft(audio~image) | Lcl(kb)"),
]


@pytest.mark.parametrize(("expression", "text"), OPERATORS)
def test_operators_build_what_the_parser_builds(expression, text):
    assert expression == parse(text).result
    assert str(expression) == str(parse(text).result)


def test_python_expressions_check():
    expression = Space("ImageBind") + Cr("CLAP_m") & Cr("CLAP_g")
    assert checked(expression).space == checked("ImageBind + Cr(CLAP_m) & Cr(CLAP_g)").space


def test_operators_leave_their_operands_alone():
    base = Space("A") + Cr("X")
    heavy = 2 * base.stages[0].members[0]
    assert str(base & Cr("Y")) == "A + Cr(X) & Cr(Y)"
    assert str(base) == "A + Cr(X)"
    assert heavy == Cr("X", weight=2)
    assert hash(base) == hash(Space("A") + Cr("X"))


def nested(depth):
    expression = Space("A") + Cr("X")
    for _ in range(depth):
        expression = Space("A") + Cr(expression)
    return expression


@pytest.mark.parametrize(
    ("build", "what", "fix"),
    [
        (lambda: Space("A") + Space("B"), "B is a space", 'A + Cr("B")'),
        (lambda: Dr("X") & Dr("Y"), "Dr(X) in parallel", "Dr(X) | Dr(Y)"),
        (lambda: Space("A") + Dr("X") & Cr("Y"), "Dr(X) in parallel", "Dr(X) | Cr(Y)"),
        (lambda: Space("A") + Cr("X") & Ft("audio", "image"), "'&'", "|"),
        (lambda: Space("A") & Cr("X"), "'&'", "use +"),
        (lambda: Cr("X") | Cr("Y"), "no base", 'Space("ImageBind")'),
        (lambda: 0.5 * Dr("X"), "a weight on Dr(X)", "remove"),
        (lambda: 0 * Cr("X"), "weight 0", "leave an expert out"),
        (lambda: float("nan") * Cr("X"), "weight nan", ""),
        (lambda: Cr("X", sigma=1.5), "sigma is 1.5", "sigma=0.5"),
        (lambda: Cr("X", sigma=True), "sigma is 'True'", ""),
        (lambda: Cr("X", sigma=float("nan")), "sigma is nan", ""),
        (lambda: Dr("X", lambda_="much"), "lambda is 'much'", ""),
        (lambda: Cr("X", sigma=()), "sigma is empty", "leave it out"),
        (lambda: Cr("X", data=()), "data is empty", "leave it out"),
        (lambda: Cr("X", data="TT"), "data names 'text' twice", ""),
        (lambda: Cr("X", recipe="exmrc"), "unknown recipe 'exmrc'", "'exmcr'"),
        (lambda: Cr("X", mean="untit"), "mean is 'untit'", "'unit'"),
        (lambda: Cr("X", mean=10), "mean is 10", "'eq10'"),
        (lambda: Cr(3), "Cr takes a space", 'Cr("CLAP_g")'),
        (lambda: Ft("audio", "audio"), "Ft pairs 'audio' with itself", "two modalities"),
        (lambda: Space(""), "the name of a space is empty", ""),
        (lambda: Ft("audio", "image", pairs=""), "the name of a set of pairs is empty", "[pairs."),
        (lambda: Space("a\"b'c"), "cannot name a space", ""),
        (lambda: Lcl("a\nb"), "cannot name a knowledge base", ""),
        (lambda: nested(100), "nested too deep", ""),
    ],
)
def test_mistakes_in_python(build, what, fix):
    with pytest.raises(UsageError) as caught:
        build()
    assert what in caught.value.what
    assert fix in caught.value.fix


def test_the_deepest_product_allowed_prints_parses_and_checks():
    expression = nested(23)  # a product with a product within it, 24 times
    expression = Space("A") + Cr(expression)
    assert parse(str(expression)).result == expression
    with pytest.raises(UsageError, match="nested too deep"):
        Cr(expression)


def test_importing_the_language_is_cheap():
    code = "import sys, reactions.dsl; print(*({'lark', 'torch', 'numpy'} & set(sys.modules)))"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == ""
