"""Every error of the language: what it says, where it points, what it offers.

The marks « » stand around what the caret must underline; with nothing between them
the caret stands just after the text.
"""

import pytest
from dsl_catalogue import CATALOGUE

from reactions.core.errors import EXIT_MISSING, EXIT_USAGE, LanguageError, UsageError
from reactions.core.factor_defaults import FactorDefaults
from reactions.dsl import Cr, Space, check, parse, parse_file

SYNTAX = [
    ("«»", "there is no reaction here", "ImageBind + Cr(CLAP_g)"),
    ("«#» only a comment\n", "there is no reaction here", "ImageBind"),
    ("ImageBind + Cr(CLAP_m«»", "missing ')'", "ImageBind + Cr(CLAP_m)"),
    ("ImageBind + Cr(CLAP_m, data=(text«»", "missing ')'", "data=(text))"),
    ("((ImageBind«»", "missing ')'", "((ImageBind))"),
    ("P = ImageBind + Cr(CLAP_m«»\nP + Dr(InternVL)", "missing ')'", "P = ImageBind + Cr(CLAP_m)"),
    ("P = ImageBind + Cr(CLAP_m«»\nQ = P + Dr(InternVL)", "missing ')'", "Cr(CLAP_m)"),
    ("ImageBind + Cr(CLAP_m«»; P = ImageBind", "missing ')'", "Cr(CLAP_m);"),
    ("ImageBind + Cr(CLAP_m)«)»", "unmatched ')'", "ImageBind + Cr(CLAP_m)"),
    ("ImageBind +«»", "the reaction ends after '+'", "remove the '+'"),
    ("ImageBind +«»   # and?\n", "the reaction ends after '+'", "add Dr(SPACE)"),
    ("P = ImageBind |«»\nQ = P + Dr(InternVL)", "the reaction ends after '|'", "remove the '|'"),
    ("ImageBind + Cr(CLAP_m) &«»", "the reaction ends after '&'", "add Cr(SPACE)"),
    ("P =«»", "the reaction ends after '='", "what the name stands for"),
    ("ImageBind + 0.5«»", "the reaction ends after '0.5'", "0.5*Cr(SPACE)"),
    ("ImageBind + 0.5*«»", "the reaction ends after '*'", "Cr(SPACE)"),
    ("ImageBind + Cr«»", "Cr of what?", "Cr(SPACE)"),
    ("ImageBind + Ft«»", "Ft of what?", "Ft(audio~image)"),
    ("ImageBind + «+» Cr(CLAP_m)", "unexpected '+'", ""),
    ("«Dr» InternVL", "no base before 'Dr'", "ImageBind + Dr(...)"),
    ("«Cr»(CLAP_m)", "no base before 'Cr'", "ImageBind + Cr(...)"),
    ("«+» Cr(CLAP_m)", "no base before '+'", "ImageBind + Cr(...)"),
    ("P = «|» Cr(CLAP_m)", "no base before '|'", "ImageBind + Cr(...)"),
    ("«3»", "no base before '3'", "ImageBind"),
    ("ImageBind + Dr «InternVL»", "Dr needs parentheses", "ImageBind + Dr(InternVL)"),
    ("ImageBind + Ft «audio»~image", "Ft needs parentheses", "Ft(audio~image)"),
    ("«dr»(InternVL)", "unknown reaction 'dr'", "'Dr'"),
    ("ImageBind + «dr»(InternVL)", "unknown reaction 'dr'", "'Dr'"),
    ("ImageBind + «CR»(InternVL)", "unknown reaction 'CR'", "'Cr'"),
    ("ImageBind + «mix»(InternVL)", "'mix' is not a reaction", ""),
    ("ImageBind + «InternVL»", "InternVL is a space, not a reaction", "ImageBind + Cr(InternVL)"),
    ('ImageBind | «"a:b"»', '"a:b" is a space, not a reaction', 'ImageBind | Cr("a:b")'),
    ("ImageBind + («InternVL» + Cr(CLAP_m))", "InternVL is a space, not a reaction", ""),
    ("ImageBind «Cr»(CLAP_m)", "missing operator before Cr", "ImageBind + Cr(CLAP_m)"),
    ("ImageBind «InternVL»", "missing operator before InternVL", "ImageBind + Cr(InternVL)"),
    ("ImageBind + 0.7 «Cr»(CLAP_m)", "missing '*' after a weight", "ImageBind + 0.7*Cr(CLAP_m)"),
    ("ImageBind + Cr(CLAP_m)«*»0.7", "a weight comes before its Cr", "0.7*Cr(SPACE)"),
    ("ImageBind «&» Cr(CLAP_m)", "no combination before '&'", "ImageBind + Cr(CLAP_m)"),
    (
        "ImageBind + Cr(CLAP_m «&» Cr(CLAP_g)",
        "missing ')' after Cr(CLAP_m",
        "ImageBind + Cr(CLAP_m) & Cr(CLAP_g)",
    ),
    ("ImageBind + Cr(CLAP_m «&» Cr(CLAP_g))", "no combination before '&'", "Cr(CLAP_m + Cr("),
    ("(ImageBind + Cr(CLAP_m)) «&» Cr(CLAP_g)", "no combination before '&'", ") + Cr(CLAP_g)"),
    ("ImageBind =«=» Cr(CLAP_m)", "stray '='", "NAME = "),
    ("«=» ImageBind", "stray '='", "NAME = "),
    ("ImageBind + Cr(CLAP_m) «=» P", "stray '='", "NAME = "),
    ('ImageBind + Cr(«"open_clip)»', "the quote is never closed", 'add "'),
    ("ImageBind + Cr(«'open_clip)»\nP", "the quote is never closed", "add '"),
    ("ImageBind + Cr(CLAP_m) «@» Cr(CLAP_g)", "unknown character '@'", "between quotes"),
    ("ImageBind«†» + Cr(CLAP_m)", "unknown character '†'", "Ft(audio~image)"),
    ("A + Cr(X, «\N{GREEK SMALL LETTER SIGMA}»=0.5)", "unknown character", "write sigma"),
    ("A + Cr(«.»/folder)", "unknown character '.'", "put a path between quotes"),
    ("A + Cr(«/»folder)", "unknown character '/'", "put a path or URI between quotes"),
    ("K«ü»che + Cr(CLAP_m)", "unknown character 'ü'", "put the name between quotes"),
    ("e5«-»small + Cr(CLAP_m)", "unknown character '-'", "between quotes"),
    ("ImageBind + Ft(audio«-»image)", "unknown character '-'", "write ~ between the modalities"),
    ("ImageBind«\0» + Cr(CLAP_m)", "unknown character 'U+0000'", "remove it"),
    ("ImageBind + «B» @", "B is a space, not a reaction", ""),  # the first mistake, not the @
    ("«Cr» = ImageBind", "'Cr' cannot be a name", "another name"),
    ("P = CLAP_m\n«P» = CLAP_g", "'P' is named twice", "another name"),
    ("«ImageBind»\nCLAP_m", "a product without a name before the last line", "NAME = ImageBind"),
    ("A + Dr(X) «&» Dr(Y)", "'&' around Dr", "A + Dr(X) | Dr(Y)"),
    ("A + Dr(X) «&» Cr(Y)", "'&' around Dr", "A + Dr(X) | Cr(Y)"),
    ("A | Cr(X) «&» Dr(Y) & Cr(Z)", "'&' around Dr", "A + Cr(X) | Dr(Y) | Cr(Z)"),
    ("A + Cr(X) & Cr(Y) «&» Dr(Z)", "'&' around Dr", "A + Cr(X) & Cr(Y) | Dr(Z)"),
    ("A + Cr(X) «&» Ft(audio~image)", "'&' around Ft", "A + Cr(X) | Ft(audio~image)"),
    ("A + Lcl(kb) «&» Cr(X) | Cr(Y)", "'&' around Lcl", "A + Lcl(kb) | Cr(X) | Cr(Y)"),
    ("A + «0.5»*Dr(X)", "a weight on Dr(X)", "remove the weight"),
    ("A + «0.5»*Ft(audio~image)", "a weight on Ft(audio~image)", "remove the weight"),
    ("A + «0»*Cr(X) & Cr(Y)", "weight 0", "leave an expert out"),
    ("A + 1*Cr(X) & «-1»*Cr(Y)", "weight -1", ""),
    ("A + «1e999»*Cr(X) & Cr(Y)", "weight inf", ""),
    ("A + Cr(«)»", "Cr() is empty", "Cr(SPACE)"),
    ("A + Cr(«0.5»)", "Cr takes a space, found '0.5'", "Cr(SPACE)"),
    ("A + Cr(«Cr»(X))", "Cr takes a space, found 'Cr'", "Cr((SPACE + Cr(SPACE)))"),
    ("A + Cr(«''»)", "the name of a space is empty", ""),
    ("A + Cr(X, «Y»)", "'Y' is not an option", "& Cr(Y)"),
    ("A + Cr(X, «0.5»)", "expected an option, found '0.5'", "sigma="),
    ("A + Cr(X,«)»", "nothing after the ','", "remove the ','"),
    ("A + Cr(«sigma»=0.5, X)", "'sigma' before the space", "Cr(SPACE, sigma=0.5)"),
    ("A + Cr(X «sigma»=0.5)", "missing ','", "A + Cr(X, sigma=0.5)"),
    ("A + Cr(X\n  «sigma»=0.5)", "missing ','", ", sigma=0.5)"),
    ("A + Cr(X, sigma=«)»", "unexpected ')'", ""),
    ("A + Cr(X, «sgima»=0.5)", "unknown option 'sgima' of Cr", "'sigma'"),
    ("A + Cr(X, «lambda»=0.5)", "Cr takes sigma, not lambda", "sigma="),
    ("A + Dr(X, «sigma»=0.5)", "Dr takes lambda, not sigma", "lambda="),
    ("A + Cr(X, sigma=0.5, «sigma»=0.5)", "'sigma' is given twice", "once"),
    ("A + Cr(X, sigma=(0.5, «1.5»))", "sigma is 1.5", "sigma=0.5"),
    ("A + Cr(X, sigma=«-0.1»)", "sigma is -0.1", "sigma=0.5"),
    ("A + Cr(X, sigma=(audio=«2»))", "sigma is 2", "sigma=0.5"),
    ("A + Dr(X, lambda=«high»)", "lambda is 'high'", "lambda=0.5"),
    ("A + Cr(X, sigma=(0.5, «text=0.1»))", "sigma mixes named and unnamed values", "(audio=0.5"),
    ("A + Cr(X, sigma=(text=0.5, «text»=0.1))", "sigma names 'text' twice", "once"),
    ("A + Cr(X, data=«TVX»)", "'TVX' is not a subset of the modalities", "data=(text, audio)"),
    ("A + Cr(X, data=«TT»)", "data names 'text' twice", "once"),
    ("A + Cr(X, data=«(text, T)»)", "data names 'text' twice", "once"),
    ("A + Cr(X, data=(text, «0.5»))", "'0.5' is not a modality name", "data=TVA"),
    ("A + Cr(X, data=«0.5»)", "'0.5' is not a modality name", ""),
    ("A + Cr(X, recipe=«exmrc»)", "unknown recipe 'exmrc'", "'exmcr'"),
    ("A + Cr(X, recipe=«(a, b)»)", "recipe takes one name", ""),
    ("A + Cr(X, centre=«yes»)", "centre is true or false, not 'yes'", "centre=true"),
    ("A + Cr(X, «center»=true)", "unknown option 'center' of Cr", "centre"),
    ("A + Cr(X, mean=«units»)", "mean is 'units'", "'unit'"),
    ("A + Cr(X, mean=«1»)", "mean is '1'", "eq10, unit"),
    ("A + Cr(X, «maen»=unit)", "unknown option 'maen' of Cr", "'mean'"),
    ("A + Dr(X, «mean»=unit)", "Dr takes no mean", "leave it out"),
    ("A + Ft(audio«)»", "unexpected ')'", "Ft(audio~image)"),
    ("A + Ft(audio«,» image)", "unexpected ','", "Ft(audio~image)"),
    ("A + Ft(audio~image, «hedas»=only)", "unknown option 'hedas' of Ft", "did you mean 'heads'?"),
    ("A + Ft(audio~image, heads=«onyl»)", "heads is 'onyl'", "did you mean 'only'?"),
    ("A + Ft(audio~image, epochs=«0»)", "epochs is 0", ""),
    ("A + Ft(audio~image, epochs=«1.5»)", "epochs is 1.5", "epochs=10"),
    ("A + Ft(audio~image, lr=«-1»)", "lr is -1", ""),
    ("A + Ft(audio~image, lora=«high»)", "lora is 'high'", "lora=8"),
    ("A + Ft(audio~image, batch=«(2, 3)»)", "batch takes one value", "without parentheses"),
    ("A + Ft(audio~image, lr=1, «lr»=2)", "'lr' is given twice", "once"),
    ("A + Ft(audio~image, «heads»)", "'heads' is not an option", "heads=..."),
    ("A + Ft(audio~image, «5»)", "expected an option, found '5'", "heads=only"),
    ("A + Ft(audio~image, «sigma»=1)", "unknown option 'sigma' of Ft", ""),
    ("A + «Ft(audio~image, heads=only, lora=4)»", "Ft with heads=only and lora=4", "leave one"),
    ("A + «Ft(audio~audio)»", "Ft pairs 'audio' with itself", "Ft(audio~image)"),
    ("A + Lcl(«)»", "Lcl() is empty", "Lcl(kb)"),
    ("A + «Lcl('')»", "the name of a knowledge base is empty", ""),
    ("A + Lcl(kb, «tempreature»=1)", "unknown option 'tempreature' of Lcl", "'temperature'"),
    ("A + Lcl(kb, «sigma»=1)", "unknown option 'sigma' of Lcl", ""),
    ("A + Lcl(kb, «mean»=unit)", "unknown option 'mean' of Lcl", ""),
    ("A + Lcl(kb, temperature=«0»)", "temperature is 0", ""),
    ("A + Lcl(kb, temperature=«warm»)", "temperature is 'warm'", "temperature=0.1"),
    ("A + Lcl(kb, symmetric=«yes»)", "symmetric is 'yes'", "symmetric=true"),
    ("A + Lcl(kb, duplicates=«mask»)", "duplicates is 'mask'", "'masked'"),
    ("A + Lcl(kb, init=«zero»)", "init is 'zero'", "default, identity"),
    ("A + Lcl(kb, epochs=«1.5»)", "epochs is 1.5", "epochs=20"),
    ("A + Lcl(kb, lr=«-1»)", "lr is -1", ""),
    ("A + Lcl(kb, batch=«1»)", "batch is 1", ""),
    ("A + Lcl(kb, preset=«ECS»)", "no preset is called 'ECS'", "'ESC'"),
    ("A + Lcl(kb, preset=IN«-1»K)", "unexpected '-1'", "between quotes"),
    ("A + Lcl(kb, preset=N«-»cal)", "unknown character '-'", "between quotes"),
    ("A + Lcl(kb, targets=«label»)", "targets is 'label'", "'labels'"),
    ("A + Lcl(kb, norms=«raw»)", "norms is 'raw'", "published, unit"),
    ("A + Lcl(kb, modalities=«text»)", "Lcl trains no layer of text", "leave text out"),
    ("A + Lcl(kb, modalities=«(event, event)»)", "modalities names 'event' twice", "once"),
    ("A + Lcl(kb, modalities=(event, «0.5»))", "'0.5' is not a modality name", "(event, point)"),
    ("A + Lcl(kb, modalities=(event=«1»))", "'1' is not a modality name", "(event, point)"),
    ("A + Lcl(kb, epochs=«(2, 3)»)", "epochs takes one value", "without parentheses"),
    ("A + Lcl(kb, lr=1, «lr»=2)", "'lr' is given twice", "once"),
    ("A + Lcl(kb, «symmetric»)", "'symmetric' is not an option", "symmetric=..."),
    ("A + Lcl(kb, «5»)", "expected an option, found '5'", "preset=ESC"),
    ("A + Lcl(«epochs»=5, kb)", "'epochs' before the knowledge base", "Lcl(kb, epochs=20)"),
    ("A + Lcl(kb,«)»", "nothing after the ','", "remove the ','"),
    ("A + Lcl(kb «lr»=1)", "missing ','", "A + Lcl(kb, lr=1)"),
    ("(" * 64 + "«(»A" + ")" * 65, "parentheses nested too deep", "name the inner"),
]

MEANING = [
    ("ImageBind + Cr(«clapm»)", "unknown space 'clapm'", "'CLAP_m'"),
    ("«imagebind» + Cr(CLAP_m)", "unknown space 'imagebind'", "'ImageBind'"),
    ("P = ImageBind\n«p» + Cr(CLAP_m)", "unknown space 'p'", "'P'"),
    ('ImageBind + Cr(«"zip:x"»)', 'cannot open the space "zip:x"', "see the guide"),
    ("«ImageBind» = CLAP_m", "'ImageBind' is already a space", "another name"),
    ("P = «Q» + Cr(CLAP_m)\nQ = ImageBind\nP", "'Q' is used before it is defined", "'Q' before"),
    ("P = «Q» + Cr(CLAP_m); Q = ImageBind", "'Q' is used before it is defined", "'Q' before"),
    ("P = «P» + Cr(CLAP_m)", "'P' is defined by itself", "another name"),
    ("ImageBind + Cr(«Radar»)", "no shared modality between ImageBind and Radar", "CLAP_g"),
    (
        "ImageBind + Dr(InternVL) | Cr(«Radar + Cr(Sonar)»)",
        "no shared modality between (ImageBind + Dr(InternVL)) and (Radar + Cr(Sonar))",
        "",
    ),
    ("ImageBind + Cr(«ImageBind»)", "fusing a space with itself", "another expert"),
    ("P = ImageBind + Cr(CLAP_g)\nP | Cr(«P»)", "fusing a space with itself", "another expert"),
    ("ImageBind + Cr(CLAP_m) & «Cr(CLAP_m)»", "CLAP_m twice in one stage", "2*Cr(CLAP_m)"),
    ("ImageBind + 0.7*«Cr(CLAP_m)»", "a weight on a lone Cr", "sigma=0.7"),
    ("ImageBind + 0.7*Cr(CLAP_m) & «Cr(CLAP_g)»", "a Cr without a weight", "0.7*Cr(CLAP_g)"),
    ("ImageBind + Cr(CLAP_m, mean=«unit»)", "mean on a lone Cr", "leave it out"),
    (
        "ImageBind + Cr(CLAP_m, mean=unit) & «Cr(CLAP_g)»",
        "a Cr without mean beside one with",
        "Cr(CLAP_g, mean=unit)",
    ),
    (
        "ImageBind + 2*Cr(CLAP_m, mean=unit) & 3*Cr(CLAP_g, mean=«eq10»)",
        "two means in one stage",
        "3*Cr(CLAP_g, mean=unit)",
    ),
    (
        "ImageBind + Cr(CLAP_m, sigma=«(0.5)»)",
        "sigma has 1 value for 2 shared modalities",
        "sigma=(0.5, 0.1)",
    ),
    (
        "ImageBind + Dr(e5, lambda=«(0.5, 0.1)»)".replace("e5", '"e5-small"'),
        "lambda has 2 values for 1 shared modality",
        "lambda=(0.9)",
    ),
    ("ImageBind + Cr(CLAP_m, sigma=«(image=0.5)»)", "sigma for 'image', which is not shared", ""),
    ("ImageBind + Cr(CLAP_m, data=«(points, text)»)", "no modality 'points'", "audio, image, text"),
    ("ImageBind + Cr(CLAP_m, data=«tva»)", "no modality 'tva'", "data=TVA"),
    ("ImageBind + «Ft(audio~radar)»", "no modality 'radar' in ImageBind", "audio, image, text"),
    ("InternVL | «Ft(audio~image)»", "no modality 'audio' in InternVL", "image, text"),
    ("Bound + «Ft(image~text)»", "Ft cannot tune image, the hub of Bound", "Ft(audio~image)"),
    (
        "ImageBind + Dr(InternVL) | «Ft(text~image)»",
        "Ft cannot tune text, which InternVL",
        "Ft(audio~",
    ),
    (
        "ImageBind + Cr(CLAP_m) | «Ft(audio~image)»",
        "Ft cannot tune audio of (ImageBind",
        "before the Cr",
    ),
    (
        "ImageBind + Ft(audio~image) | Dr(InternVL) | «Ft(audio~text)»",
        "audio is tuned twice",
        "leave one",
    ),
    ("ImageBind + «Ft(audio~image, heads=only)»", "nothing to tune", "heads=true"),
    ("Radar + «Lcl(kb)»", "Lcl cannot align Radar, which embeds no text", "a base with text"),
    ('"e5-small" + «Lcl(kb)»', "Lcl has nothing to train in e5-small", "another base"),
    ("ImageBind + «Lcl(kb, modalities=imgae)»", "no modality 'imgae' in ImageBind", "'image'"),
    (
        "ImageBind + Cr(CLAP_m) | «Lcl(kb, norms=published)»",
        "norms=published for (ImageBind + Cr(CLAP_m))",
        "right behind a space",
    ),
    (
        "ImageBind + Lcl(kb, norms=published) | «Ft(audio~image)»",
        "Ft cannot tune audio through an Lcl with norms=published",
        "leave norms=published or the Ft out",
    ),
    (
        "ImageBind + Dr(InternVL, recipe=procrustes) | «Ft(audio~image, heads=only)»",
        "Ft cannot tune audio through InternVL, whose recipe is procrustes",
        "another recipe for InternVL",
    ),
    ("ImageBind" + " + Dr(CLAP_m)" * 64 + " + «Dr(CLAP_g)»", "too large a reaction", ""),
]


def raises(marked, origin=""):
    text = marked.replace("«", "").replace("»", "")
    column = marked.index("«")
    width = max(1, marked.index("»") - column - 1)
    with pytest.raises(LanguageError) as caught:
        check(parse(text, origin=origin), CATALOGUE, factors=FactorDefaults())
    error = caught.value
    assert error.text == text
    assert (error.column, error.width) == (column, width)
    return error


@pytest.mark.parametrize(("marked", "what", "fix"), SYNTAX + MEANING)
def test_error(marked, what, fix):
    error = raises(marked)
    assert error.what.startswith(what)
    assert fix in error.fix


@pytest.mark.parametrize("marked", [case[0] for case in SYNTAX])
def test_syntax_errors_need_no_catalogue(marked):
    with pytest.raises(LanguageError):
        parse(marked.replace("«", "").replace("»", ""))


def test_the_message_reads_as_the_style_guide_shows_it():
    assert str(raises("ImageBind + Cr(«clapm»)")).splitlines() == [
        "unknown space 'clapm'",
        "  ImageBind + Cr(clapm)",
        "                 ^^^^^",
        "  fix: did you mean 'CLAP_m'?  (all: molspace spaces)",
    ]


def test_the_line_of_a_file_is_named_and_shown():
    error = raises("# head\nP = ImageBind\nQ = P + Cr(«clapm»)\n", origin="file.rxn")
    assert error.origin == "file.rxn:3"
    assert error.lines()[1:3] == ["  Q = P + Cr(clapm)", "             ^^^^^"]


def test_the_line_of_a_statement_that_ends_too_early():
    error = raises("P = ImageBind +«»\nQ = P\n", origin="file.rxn")
    assert error.origin == "file.rxn:1"
    assert error.lines()[1:3] == ["  P = ImageBind +", "                 ^"]


def test_no_shared_modality_lists_both_sets():
    error = raises("ImageBind + Cr(«Radar»)")
    assert error.why == "ImageBind embeds audio, image, text; Radar embeds radar"
    assert error.fields["expert"] == ["radar"]


def test_factor_counts_name_the_order():
    error = raises("ImageBind + Cr(CLAP_m, sigma=«(0.1, 0.2, 0.3)»)")
    assert "in this order: audio, text" in error.why


def test_an_open_parenthesis_on_another_line_is_located():
    assert "column 15 of line 1" in raises("ImageBind + Cr(\n\nCLAP_m«»\n\n").why


def test_unknown_names_are_usage_but_unopened_uris_are_missing():
    assert raises("ImageBind + Cr(«clapm»)").exit_code == EXIT_USAGE
    assert raises('ImageBind + Cr(«"zip:x"»)').exit_code == EXIT_MISSING


def test_errors_within_names_from_elsewhere_show_that_text():
    names = {"P": parse("ImageBind + Cr(clapm)").result}
    with pytest.raises(LanguageError) as caught:
        check(parse("P | Cr(CLAP_g)"), CATALOGUE, factors=FactorDefaults(), names=names)
    assert caught.value.text == "ImageBind + Cr(clapm)"
    assert (caught.value.column, caught.value.origin) == (15, "in 'P'")


def test_names_from_elsewhere_cannot_go_round_in_circles():
    names = {"P": parse("Q + Cr(CLAP_g)").result, "Q": parse("P + Cr(CLAP_m)").result}
    with pytest.raises(LanguageError, match="defined by itself") as caught:
        check(parse("P"), CATALOGUE, factors=FactorDefaults(), names=names)
    assert caught.value.why == "P -> Q -> P"


def test_names_cannot_multiply_without_bound():
    lines = ["P0 = ImageBind + Cr(CLAP_g)"]
    lines += [f"P{i} = P{i - 1} | Cr(CLAP_m + Cr(P{i - 1}))" for i in range(1, 40)]
    with pytest.raises(LanguageError, match="too large a reaction"):
        check(parse("\n".join(lines)), CATALOGUE, factors=FactorDefaults())


def test_names_cannot_nest_deeper_than_text():
    lines = ["P0 = ImageBind + Cr(CLAP_g)"]
    lines += [f"P{i} = ImageBind + Cr(P{i - 1})" for i in range(1, 40)]
    deepest = check(parse("\n".join(lines[:25])), CATALOGUE, factors=FactorDefaults())
    assert check(parse(deepest.expression), CATALOGUE, factors=FactorDefaults()).space
    with pytest.raises(LanguageError, match="too large a reaction"):
        check(parse("\n".join(lines[:26])), CATALOGUE, factors=FactorDefaults())


def test_very_long_input_is_refused_in_one_short_line():
    with pytest.raises(LanguageError, match="200,001 characters") as caught:
        parse("A" * 200_001)
    assert len(str(caught.value)) < 300


def test_files(tmp_path):
    path = tmp_path / "p.rxn"
    path.write_bytes("\ufeff# é\r\nP = ImageBind +\r\n".encode())
    with pytest.raises(LanguageError) as caught:
        parse_file(path)
    assert caught.value.origin == f"{path}:2"
    path.write_bytes(b"ImageBind \xff")
    with pytest.raises(UsageError, match="not text") as usage:
        parse_file(path)
    assert "byte 10" in usage.value.why
    with pytest.raises(UsageError, match="cannot read") as usage:
        parse_file(tmp_path / "none.rxn")
    assert usage.value.fields["path"] == str(tmp_path / "none.rxn")


@pytest.mark.parametrize(
    ("join", "fix"),
    [
        (lambda: Space("A") + "B", '... + Cr("B")   or   ... + Dr("B")'),
        (lambda: Space("A") | "B", '... | Cr("B")'),
        (lambda: Space("A") & "B", '& Cr("B")'),
        (lambda: Space("A") + Cr("C") + "B", '... + Cr("B")'),
        (lambda: Space("A") + 5, '... + Cr("NAME")'),
        (lambda: Space("A") + None, '... + Cr("NAME")'),
        (lambda: Cr("A") & "B", '& Cr("B")'),
        (lambda: "A" + Space("B"), 'Space("A") + ...'),
        (lambda: "A" + Cr("B"), 'Space("A") + ...'),
        (lambda: "A" + (Space("B") + Cr("C")), 'Space("A") + ...'),
    ],
)
def test_what_pythons_own_values_are_joined_to(join, fix):
    with pytest.raises(UsageError) as caught:
        join()
    assert "cannot join" in caught.value.what
    assert "one text" in caught.value.fix
    assert fix in caught.value.fix
