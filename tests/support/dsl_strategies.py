"""Random syntax trees and random wrong texts."""

import os

from hypothesis import settings
from hypothesis import strategies as st

from reactions.core.lcl_settings import PRESETS
from reactions.dsl import Cr, Dr, Ft, Lcl, Space
from reactions.dsl.program import Binding, Program
from reactions.dsl.syntax import Parallel, product
from reactions.dsl.values import RESERVED, is_identifier
from reactions.ops.recipes import BUILT_IN

unhurried = settings(max_examples=int(os.environ.get("MOLSPACE_FUZZ_EXAMPLES", "40")))

identifiers = st.one_of(
    st.sampled_from(["ImageBind", "CLAP_m", "CLAP_g", "a", "_", "b2.5", "DrX", "sigma", "TVA"]),
    st.text("abDrCt_09", min_size=1, max_size=6).filter(is_identifier),
)
uris = st.text(st.characters(codec="utf-8", exclude_characters='\n"'), min_size=1).filter(str.strip)
quoted = st.one_of(
    uris, uris.map(lambda text: text.replace("'", "") + '"'), st.sampled_from(RESERVED)
)
spaces = st.builds(Space, st.one_of(identifiers, identifiers, quoted))
modalities = st.sampled_from(["audio", "image", "text", "points", "radar"])
factors = st.floats(0, 1)
weights = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
factor_options = st.one_of(
    st.none(),
    factors,
    st.lists(factors, min_size=1, max_size=3),
    st.dictionaries(modalities, factors, min_size=1, max_size=3),
)
anchors = st.one_of(st.none(), st.sets(modalities, min_size=1))
recipes = st.sampled_from(sorted(BUILT_IN))
centres = st.sampled_from([None, True, False])
means = st.sampled_from([None, "eq10", "unit"])


@st.composite
def tunings(draw):
    pair = draw(st.lists(modalities, min_size=2, max_size=2, unique=True))
    heads = draw(st.sampled_from([None, True, False, "only"]))
    counts = st.none() | st.integers(2, 4096)
    return Ft(
        *pair,
        heads=heads,
        epochs=draw(counts),
        lr=draw(st.none() | st.floats(0, 10, exclude_min=True)),
        batch=draw(counts),
        lora=None if heads == "only" else draw(counts),
        pairs=draw(st.one_of(st.none(), identifiers, quoted)),
    )


@st.composite
def learnings(draw):
    counts = st.none() | st.integers(2, 4096)
    return Lcl(
        draw(st.one_of(identifiers, quoted)),
        temperature=draw(st.none() | st.floats(0, 1e3, exclude_min=True)),
        symmetric=draw(st.sampled_from([None, True, False])),
        duplicates=draw(st.sampled_from([None, "negatives", "masked"])),
        init=draw(st.sampled_from([None, "identity", "default"])),
        epochs=draw(counts),
        lr=draw(st.none() | st.floats(0, 10, exclude_min=True)),
        batch=draw(counts),
        preset=draw(st.none() | st.sampled_from(sorted(PRESETS))),
        modalities=draw(st.none() | st.sets(modalities.filter(lambda m: m != "text"), min_size=1)),
        targets=draw(st.sampled_from([None, "descriptions", "labels"])),
        norms=draw(st.sampled_from([None, "unit", "published"])),
    )


def expressions(experts=spaces, bases=spaces, *, depth=2):
    """Spaces and products; experts are products down to ``depth``."""
    inner = expressions(experts, bases, depth=depth - 1) if depth else experts
    reactants = st.one_of(experts, inner)
    combinations = st.builds(
        Cr,
        reactants,
        sigma=factor_options,
        data=anchors,
        recipe=recipes,
        centre=centres,
        mean=means,
        weight=st.one_of(st.none(), weights),
    )
    stages = st.one_of(
        st.builds(
            Dr, reactants, lambda_=factor_options, data=anchors, recipe=recipes, centre=centres
        ),
        st.builds(Parallel, st.lists(combinations, min_size=1, max_size=3).map(tuple)),
        tunings(),
        learnings(),
    )
    return st.one_of(bases, st.builds(product, bases, st.lists(stages, min_size=1, max_size=4)))


_statements = expressions(depth=1)


@st.composite
def programs(draw):
    names = draw(st.lists(identifiers, unique=True, max_size=3))
    bindings = tuple(Binding(name, draw(_statements)) for name in names)
    return Program(bindings, draw(_statements))


@st.composite
def parallels(draw, products):
    """Stages that check: different experts, with weights on all or on none."""
    leaves = st.sampled_from(["InternVL", "CLAP_g", "CLAP_m"]).map(Space)
    members = draw(st.lists(leaves, min_size=1, max_size=3, unique=True))
    if products is not None and draw(st.booleans()):
        members.append(draw(products))
    weighted = len(members) > 1 and draw(st.booleans())
    mean = draw(means) if len(members) > 1 else None
    return Parallel(
        tuple(
            Cr(
                member,
                sigma=draw(st.one_of(st.none(), factors)),
                data=draw(st.sampled_from([None, "T", ["text"]])),
                mean=mean,
                weight=draw(weights) if weighted else None,
            )
            for member in members
        )
    )


def valid_products(base="ImageBind", tuning=("audio", "image"), *, depth=1):
    """Products that check against the test catalogue; inner ones start from another base."""
    leaves = st.sampled_from(["InternVL", "CLAP_g", "CLAP_m"]).map(Space)
    inner = valid_products("Uni3D", ("points", "text"), depth=0) if depth else None
    stages = st.one_of(
        st.builds(
            Dr,
            leaves if inner is None else st.one_of(leaves, inner),
            lambda_=st.one_of(st.none(), factors),
            recipe=recipes,
        ),
        parallels(inner),
    )
    # First, where the modality comes from the base's encoder alone.
    learnt = [Lcl("kb", epochs=2), Lcl("kb", targets="labels", modalities=[tuning[0]])]
    firsts = [[], [Ft(*tuning)], [Ft(*tuning, heads=False, lr=0.5)], learnt[:1], learnt]
    first = st.sampled_from([*firsts, [learnt[1], Ft(*tuning)]])
    rest = st.lists(stages, min_size=1, max_size=4)
    return st.builds(
        product, st.just(Space(base)), st.builds(lambda first, rest: first + rest, first, rest)
    )


WORDS = [
    *("ImageBind", "InternVL", "CLAP_m", "Dr", "Cr", "Ft", "Lcl", "dr", "P", "kb", "sigma"),
    *(
        "lambda",
        "data",
        "recipe",
        "mean",
        "unit",
        "TVA",
        "audio",
        "image",
        "exmcr",
        "symmetric",
        "preset",
        "ESC",
        "modalities",
        "0.5",
        "1",
        "-1",
        "1e999",
    ),
    *("+", "|", "&", "*", "~", "=", ",", "(", ")", ";", "\n", "#", '"', "'", "†", ".", "-", '"u"'),
]
PIECES = [
    "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)",
    "P = ImageBind + Dr(InternVL)\nP + 0.7*Cr(CLAP_m) + 0.3*Cr(CLAP_g, sigma=(0.5, 0.1))",
    "ImageBind + Cr((InternVL + Cr(CLAP_m, data=(text, audio), recipe=cmcr))) | Ft(audio~image)",
    "ImageBind + Cr(CLAP_m, mean=unit) & Cr(CLAP_g, mean=unit) | Dr(InternVL)",
    'ImageBind + Lcl(kb, preset="N-cal", modalities=(event, point), lr=0.01)',
    'ImageBind + Cr("open_clip:x", sigma=(image=0.5, text=0.1)) # why\n | Lcl("kb.parquet")',
]
salads = st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)


@st.composite
def mutants(draw):
    """Valid programs with a few stretches cut out, doubled or replaced."""
    text = draw(st.sampled_from(PIECES))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 4)))
        insert = draw(st.one_of(st.sampled_from(WORDS), st.just(text[start:stop] * 2), st.just("")))
        text = text[:start] + insert + text[stop:]
    return text
