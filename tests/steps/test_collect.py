import itertools

import numpy as np
import pytest
from fakes import Context, ready, run, unit_rows

from reactions.core.step import Artifact
from reactions.steps.collect import Collect, pseudo_set
from reactions.steps.routing import derive, route

ROWS = {"text": 23, "image": 17, "audio": 29}
DIMS = {"base": 7, "expert": 5}
CASES = {"vt": ("image", "text"), "at": ("audio", "text")}
TAU = 1 / 100


def embeddings(case, dtype=np.float32):
    """(Tu, Vu, Au) of the base and the two of the expert, by the paper's names."""
    names = {"u": ("text", "image", "audio"), case: CASES[case]}
    letters = {"text": "T", "image": "V", "audio": "A"}
    rows = {}
    for side, modalities in names.items():
        for modality in modalities:
            dim = DIMS["base" if side == "u" else "expert"]
            seed = sum(map(ord, side + modality))
            rows[letters[modality] + side] = unit_rows(ROWS[modality], dim, seed, dtype)
    return rows


NAMES = {"base": "IB", "expert": "X"}


def columns(case, anchor, data, hops=None, temperature=TAU, **options):
    """The steps of a pseudo set, by the names of the columns."""
    base = {"text": "Tu", "image": "Vu", "audio": "Au"}
    expert = {m: {"text": "T", "image": "V", "audio": "A"}[m] + case for m in CASES[case]}
    steps = pseudo_set(
        anchor,
        hops or route(base, expert, hub="image", anchor=anchor),
        {
            "base": {m: ready(name, data[name]) for m, name in base.items()},
            "expert": {m: ready(name, data[name]) for m, name in expert.items()},
        },
        NAMES,
        DIMS,
        temperature=temperature,
        **{"precision": "exact", "dtype": "float32", "shard_rows": 8, **options},
    )
    return {f"{side}.{modality}": step for (side, modality), step in steps.items()}


def collected(*args, **options):
    """The embeddings of a pseudo set, by the names of the columns."""
    artifacts = {}
    steps = columns(*args, **options)
    return {n: run(step, None, artifacts).arrays["embeddings"] for n, step in steps.items()}


def soft(queries, keys, values):
    """The softmax of the paper in float64, brought to unit norm as our docstring says."""
    logits = queries @ keys.T / TAU
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    mean = weights / weights.sum(axis=1, keepdims=True) @ values
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def equation_4(Tvt, Vvt, Tu, Vu, Au):
    t_vt = Tvt
    v_vt = soft(t_vt, Vvt, Vvt)
    t_u = Tu
    v_u = soft(t_u, Vu, Vu)
    a_u = soft(v_u, Au, Au)
    return {"Tvt": t_vt, "Vvt": v_vt, "Tu": t_u, "Vu": v_u, "Au": a_u}


def equation_5(Tvt, Vvt, Tu, Vu, Au):
    v_vt = Vvt
    t_vt = soft(v_vt, Tvt, Tvt)
    v_u = Vu
    t_u = soft(v_u, Tu, Tu)
    a_u = soft(v_u, Au, Au)
    return {"Tvt": t_vt, "Vvt": v_vt, "Tu": t_u, "Vu": v_u, "Au": a_u}


def equation_6(Tvt, Vvt, Tu, Vu, Au):
    a_u = Au
    v_u = soft(a_u, Vu, Vu)
    v_vt = soft(a_u, Vu, Vvt)
    t_u = soft(v_u, Tu, Tu)
    t_vt = soft(v_u, Tu, Tvt)
    return {"Tvt": t_vt, "Vvt": v_vt, "Tu": t_u, "Vu": v_u, "Au": a_u}


def equation_11(Tat, Aat, Tu, Vu, Au):
    t_at = Tat
    a_at = soft(t_at, Aat, Aat)
    t_u = Tu
    a_u = soft(t_at, Aat, Au)
    v_u = soft(t_u, Vu, Vu)
    return {"Tat": t_at, "Aat": a_at, "Tu": t_u, "Au": a_u, "Vu": v_u}


def equation_12(Tat, Aat, Tu, Vu, Au):
    a_at = Aat
    t_at = soft(a_at, Tat, Tat)
    a_u = Au
    t_u = soft(a_at, Tat, Tu)
    v_u = soft(a_u, Vu, Vu)
    return {"Tat": t_at, "Aat": a_at, "Tu": t_u, "Au": a_u, "Vu": v_u}


def equation_13(Tat, Aat, Tu, Vu, Au):
    v_u = Vu
    t_u = soft(v_u, Tu, Tu)
    a_u = soft(v_u, Au, Au)
    t_at = soft(v_u, Tu, Tat)
    a_at = soft(v_u, Au, Aat)
    return {"Tat": t_at, "Aat": a_at, "Tu": t_u, "Au": a_u, "Vu": v_u}


EQUATIONS = [
    ("vt", "text", equation_4),
    ("vt", "image", equation_5),
    ("vt", "audio", equation_6),
    ("at", "text", equation_11),
    ("at", "audio", equation_12),
    ("at", "image", equation_13),
]
COLUMNS = {"T": "text", "V": "image", "A": "audio"}


def column(name):
    return f"{'base' if name[1:] == 'u' else 'expert'}.{COLUMNS[name[0]]}"


@pytest.mark.parametrize(("case", "anchor", "equation"), EQUATIONS, ids=lambda x: str(x)[:16])
@pytest.mark.parametrize("hops", ["table", "rule"])
def test_pseudo_pairs_follow_the_paper(case, anchor, equation, hops):
    data = embeddings(case)
    if hops == "table":
        chosen = None
    else:
        chosen = derive(frozenset(ROWS), frozenset(CASES[case]), hub="image", anchor=anchor)
    pseudo_pairs = collected(case, anchor, data, chosen)
    expected = equation(**{name: rows.astype(np.float64) for name, rows in data.items()})
    assert set(pseudo_pairs) == {column(name) for name in expected}
    for name, rows in expected.items():
        assert pseudo_pairs[column(name)].dtype == np.float32
        # fp32 cosines are good to 1e-7, so logits to 1e-5, and so are weights; a second hop
        # may multiply that by 100.
        np.testing.assert_allclose(pseudo_pairs[column(name)], rows, atol=3e-4, err_msg=name)


def hop(data, value="Aat", name="a", **options):
    """One hop: from texts to sounds in the expert, filling one space."""
    width = {"Aat": 5, "Au": 7}[value]
    return Collect(
        label=name,
        queries=ready("Tat", data["Tat"]),
        keys=ready("Aat", data["Aat"]),
        values=ready(value, data[value]),
        dims=(5, width),
        **{
            "temperature": TAU,
            "precision": "exact",
            "dtype": "float32",
            "shard_rows": 8,
            **options,
        },
    )


def test_shards_of_rows_equal_the_whole():
    collecting = hop(embeddings("at"))
    inputs = {name: run(child) for name, child in collecting.inputs}
    full = collecting.run(Context(), inputs, 0, collecting.n_rows).arrays["embeddings"]
    cuts = [0, 1, 9, collecting.n_rows]
    parts = [
        collecting.run(Context(), inputs, a, b).arrays["embeddings"]
        for a, b in itertools.pairwise(cuts)
    ]
    # Products of other shapes round otherwise: 1e-7 in a cosine is 1e-5 in a logit.
    np.testing.assert_allclose(np.concatenate(parts), full, atol=1e-4)


def test_rows_are_the_anchors():
    for anchor, n in ROWS.items():
        for step in columns("vt", anchor, embeddings("vt"), shard_rows=6).values():
            assert step.n_rows == n
            rows = run(step).arrays["embeddings"]
            assert len(rows) == n
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_the_anchors_columns_are_the_corpora():
    data = embeddings("at")
    steps = columns("at", "text", data)
    assert steps["base.text"].label == "Tu"
    assert steps["expert.text"].label == "Tat"
    assert steps["base.audio"].label == "collect IB audio for text by X"
    assert steps["base.image"].label == "collect IB image for text"


def test_half_precision_is_stored_and_read():
    exact = collected("at", "text", embeddings("at"))
    half = collected("at", "text", embeddings("at", np.float16), dtype="float16")
    for name, rows in half.items():
        assert rows.dtype == np.float16
        assert (np.sum(rows.astype(float) * exact[name], axis=1) > 0.95).all()


def test_spaces_that_share_only_the_anchor():
    text = {"base": unit_rows(6, 7, 0), "expert": unit_rows(6, 5, 1)}
    steps = {side: {"text": ready(side, rows)} for side, rows in text.items()}
    pairs = pseudo_set(
        "text",
        (),
        steps,
        NAMES,
        DIMS,
        temperature=TAU,
        precision="exact",
        dtype="float32",
        shard_rows=4,
    )
    assert pairs == {(side, "text"): steps[side]["text"] for side in ("base", "expert")}


def test_keys_change_with_what_can_change_the_result_only():
    data = embeddings("at")
    key = hop(data).key
    other = embeddings("at")
    other["Aat"] = other["Aat"][::-1].copy()
    assert hop(data, shard_rows=99, name="b").key == key
    changed = [
        hop(data, temperature=0.02),
        hop(data, dtype="float16"),
        hop(data, precision="fast"),
        hop(data, "Au"),
        hop(other),
    ]
    assert len({key, *(variant.key for variant in changed)}) == 6


def test_what_the_base_retrieves_for_itself_does_not_depend_on_the_expert():
    # Equations 4 and 11: an image-text and an audio-text expert of one base.
    data = {**embeddings("vt"), **embeddings("at")}
    image_text, audio_text = columns("vt", "text", data), columns("at", "text", data)
    assert image_text["base.image"].key == audio_text["base.image"].key
    assert image_text["base.audio"].key != audio_text["base.audio"].key


def test_columns_of_one_pass_are_collected_together_to_the_same_bits():
    data = embeddings("at")
    first, second = hop(data, "Aat"), hop(data, "Au")
    assert first.together != ""
    assert first.together == second.together
    assert hop(data, temperature=0.02).together != first.together
    inputs = [{name: run(child) for name, child in step.inputs} for step in (first, second)]
    artifacts = Collect.run_together(Context(), [first, second], inputs, 0, 23)
    for step, artifact in zip((first, second), artifacts, strict=True):
        assert isinstance(artifact, Artifact)
        assert np.array_equal(artifact.arrays["embeddings"], run(step).arrays["embeddings"])


def test_temperature_acts():
    data = embeddings("at")
    sharp = run(hop(data)).arrays["embeddings"]
    flat = run(hop(data, temperature=0.05)).arrays["embeddings"]
    assert np.abs(sharp - flat).max() > 0.1


def test_precision_acts():
    # Where there are no fast 16-bit products, both are fp32 and equal.
    data = embeddings("at")
    exact = run(hop(data)).arrays["embeddings"]
    fast = run(hop(data, precision="fast")).arrays["embeddings"]
    np.testing.assert_allclose(fast, exact, atol=0.1)  # five dimensions: see tests/ops


def test_progress_reaches_the_end():
    context = Context()
    run(hop(embeddings("at")), context)
    assert context.reports[-1] == (23, 23, "pairs")
    assert [n_done for n_done, _, _ in context.reports] == sorted(d for d, _, _ in context.reports)


def test_costs_count_every_product():
    cost = hop(embeddings("at"), "Au").cost
    assert cost.flops == 2 * 23 * 29 * (5 + 7)
    assert cost.shared_flops == 2 * 23 * 29 * 5
    assert cost.size_bytes == 23 * 7 * 4
