import itertools

import numpy as np
import pytest
from fakes import Context, given, run, unit_rows

from reactions.steps.collect import collect
from reactions.steps.routing import derive, route

ROWS = {"text": 23, "image": 17, "audio": 29}
DIMS = {"base": 7, "expert": 5}
CASES = {"vt": ("image", "text"), "at": ("audio", "text")}
TAU = 1 / 100


def embeddings(case, dtype=np.float32):
    """(Tu, Vu, Au) of the base and the two of the expert, by the paper's names."""
    names = {"u": ("text", "image", "audio"), case: CASES[case]}
    letters = {"text": "T", "image": "V", "audio": "A"}
    found = {}
    for side, modalities in names.items():
        for modality in modalities:
            dim = DIMS["base" if side == "u" else "expert"]
            seed = sum(map(ord, side + modality))
            found[letters[modality] + side] = unit_rows(ROWS[modality], dim, seed, dtype)
    return found


def step(case, anchor, data, hops=None, dtype="float32", temperature=TAU, shard_rows=8):
    base = {"text": "Tu", "image": "Vu", "audio": "Au"}
    expert = {m: {"text": "T", "image": "V", "audio": "A"}[m] + case for m in CASES[case]}
    return collect(
        "IB + X",
        anchor,
        hops or route(base, expert, hub="image", anchor=anchor),
        {
            "base": {m: given(name, data[name]) for m, name in base.items()},
            "expert": {m: given(name, data[name]) for m, name in expert.items()},
        },
        DIMS,
        temperature=temperature,
        dtype=dtype,
        shard_rows=shard_rows,
    )


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
    found = run(step(case, anchor, data, chosen)).arrays
    expected = equation(**{name: rows.astype(np.float64) for name, rows in data.items()})
    assert set(found) == {column(name) for name in expected}
    for name, rows in expected.items():
        assert found[column(name)].dtype == np.float32
        # fp32 cosines are good to 1e-7, so logits to 1e-5, and so are weights; a second hop
        # may multiply that by 100.
        np.testing.assert_allclose(found[column(name)], rows, atol=3e-4, err_msg=name)


@pytest.mark.parametrize(("case", "anchor", "equation"), EQUATIONS, ids=lambda x: str(x)[:16])
def test_shards_of_rows_equal_the_whole(case, anchor, equation):
    whole = step(case, anchor, embeddings(case))
    inputs = {name: run(child) for name, child in whole.inputs}
    full = whole.run(Context(), inputs, 0, whole.n_rows).arrays
    cuts = [0, 1, 9, whole.n_rows]
    parts = [whole.run(Context(), inputs, a, b).arrays for a, b in itertools.pairwise(cuts)]
    for name, rows in full.items():
        joined = np.concatenate([part[name] for part in parts])
        # Products of other shapes round otherwise: 1e-7 in a cosine is 1e-5 in a logit.
        np.testing.assert_allclose(joined, rows, atol=1e-4)


def test_rows_are_the_anchors():
    for anchor, n in ROWS.items():
        made = step("vt", anchor, embeddings("vt"), shard_rows=6)
        assert (made.n_rows, made.shard_rows) == (n, 6)
        for rows in run(made).arrays.values():
            assert len(rows) == n
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_half_precision_is_stored_and_read():
    exact = run(step("at", "text", embeddings("at"))).arrays
    half = run(step("at", "text", embeddings("at", np.float16), dtype="float16")).arrays
    for name, rows in half.items():
        assert rows.dtype == np.float16
        if name.endswith("text"):  # the anchor itself; retrieval at 1/100 enlarges rounding
            np.testing.assert_allclose(rows, exact[name], atol=1e-3)
        assert (np.sum(rows.astype(float) * exact[name], axis=1) > 0.95).all()


def test_spaces_that_share_only_the_anchor():
    text = {"base": unit_rows(6, 7, 0), "expert": unit_rows(6, 5, 1)}
    made = collect(
        "A + B",
        "text",
        (),
        {side: {"text": given(side, rows)} for side, rows in text.items()},
        DIMS,
        temperature=TAU,
        dtype="float32",
        shard_rows=4,
    )
    found = run(made).arrays
    np.testing.assert_allclose(found["base.text"], text["base"], atol=1e-6)
    np.testing.assert_allclose(found["expert.text"], text["expert"], atol=1e-6)


def test_keys_change_with_what_can_change_the_result_only():
    data = embeddings("at")
    key = step("at", "text", data).key
    other = embeddings("at")
    other["Vu"] = other["Vu"][::-1].copy()
    assert step("at", "text", data, shard_rows=99).key == key
    undirected = derive(frozenset(ROWS), frozenset(CASES["at"]), hub=None, anchor="text")
    changed = [
        step("at", "text", data, temperature=0.02),
        step("at", "text", data, dtype="float16"),
        step("at", "audio", data),
        step("at", "text", data, undirected),
        step("at", "text", other),
    ]
    assert len({key, *(made.key for made in changed)}) == 6


def test_temperature_acts():
    data = embeddings("at")
    sharp = run(step("at", "text", data)).arrays["base.image"]
    flat = run(step("at", "text", data, temperature=0.05)).arrays["base.image"]
    assert np.abs(sharp - flat).max() > 0.1


def test_progress_reaches_the_end():
    context = Context()
    run(step("vt", "text", embeddings("vt")), context)
    assert context.reports[-1] == (23, 23, "pairs")
    assert [done for done, _, _ in context.reports] == sorted(d for d, _, _ in context.reports)


def test_costs_count_every_product():
    made = step("vt", "text", embeddings("vt"))
    # Q K^T and weights V of eq. 4: within the expert, within the base, and on to sounds.
    assert made.cost.flops == 2 * 23 * (17 * (5 + 5) + 17 * (7 + 7) + 29 * (7 + 7))
    assert made.cost.size_bytes == 23 * (3 * 7 + 2 * 5) * 4
