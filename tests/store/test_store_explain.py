import json

import pytest
from toy_steps import KINDS, VERSIONS, make_step

from reactions.core.step import Artifact
from reactions.store import Store


def step(kind="train", label="toy", inputs=(), **params):
    return make_step(kind, label, params, list(inputs), lambda *_: Artifact({}))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def keep(store, *steps):
    for stored_step in steps:
        store.put(stored_step, Artifact({}))


def test_a_hit(store):
    keep(store, step(seed=0))
    assert store.explain(step(seed=0)) == "hit"


def test_nothing_of_the_kind(store):
    keep(store, step("embed", seed=0))
    assert store.explain(step("train", seed=0)) == "no earlier train step"


DIGESTS = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ({"seed": 0}, {"seed": 1}, "params.seed: 0 -> 1"),
        ({"t": 1}, {"t": 1.0}, "params.t: 1 -> 1.0"),
        ({"t": True}, {"t": 1}, "params.t: True -> 1"),
        ({"d": "float16"}, {"d": "float32"}, "params.d: 'float16' -> 'float32'"),
        ({}, {"seed": 1}, "params.seed: absent -> 1"),
        ({"seed": 1}, {}, "params.seed: 1 -> absent"),
        (
            {"hops": [["a", "b"]]},
            {"hops": (("a", "c"),)},
            "params.hops: [['a', 'b']] -> [['a', 'c']]",
        ),
        ({"a": (1, 2), "s": 0}, {"a": (1, 2), "s": 1}, "params.s: 0 -> 1"),
        (
            {"space": {"weights": DIGESTS[0], "dim": 3}},
            {"space": {"weights": DIGESTS[1], "dim": 3}},
            "params.space.weights: aaaaaaaa -> bbbbbbbb",
        ),
        (
            {"x": "a" * 60},
            {"x": "b"},
            f"params.x: '{'a' * 36}... -> 'b'",
        ),
        (
            dict.fromkeys("abcde", 0),
            dict.fromkeys("abcde", 1),
            "params.a: 0 -> 1; params.b: 0 -> 1; params.c: 0 -> 1; and 2 more",
        ),
        (
            dict.fromkeys("abc", 0),
            dict.fromkeys("xyz", 1),
            "no earlier train step like it",
        ),
    ],
)
def test_differences(store, old, new, message):
    keep(store, step(**old))
    assert store.explain(step(**new)) == message


def test_the_nearest_entry_is_compared(store):
    keep(store, step(seed=0, epochs=5, lr=1), step(seed=9, epochs=20, lr=2))
    assert store.explain(step(seed=0, epochs=5, lr=3)) == "params.lr: 1 -> 3"


def test_the_same_label_is_nearer(store):
    keep(store, step(label="z", seed=1), step(label="mine", seed=2), step(label="a", seed=3))
    assert store.explain(step(label="mine", seed=0)) == "params.seed: 2 -> 0"


def test_of_equally_near_entries_the_latest_is_compared(store):
    days = {1: "2026-01-01", 2: "2026-01-03", 3: "2026-01-02"}
    for seed, day in days.items():
        keep(store, step(seed=seed))
        path = store.root / "entries" / step(seed=seed).key[:2] / step(seed=seed).key
        manifest = json.loads((path / "manifest.json").read_text())
        text = json.dumps({**manifest, "created": f"{day}T00:00:00+00:00"})
        (path / "manifest.json").write_text(text)
    assert store.explain(step(seed=0)) == "params.seed: 2 -> 0"


def test_another_version_of_the_code(store, monkeypatch):
    keep(store, step(seed=0))
    version = VERSIONS["train"]
    monkeypatch.setattr(KINDS["train"], "VERSION", version + 1)
    assert store.explain(step(seed=0)) == f"version: {version} -> {version + 1}"


def chain(dtype, seed=0):
    a = step("embed", "a", dtype=dtype)
    b = step("collect", "b", [("base", a)])
    return a, b, step("train", "c", [("pairs", b)], seed=seed)


def test_a_changed_input_is_followed_to_its_cause(store):
    keep(store, *chain("float16"))
    cause = "(params.dtype: 'float16' -> 'float32')"
    a, b, c = chain("float32", seed=1)
    assert store.explain_all([a, b, c]) == {
        a.key: "params.dtype: 'float16' -> 'float32'",
        b.key: f"input base changed {cause}",
        c.key: f"params.seed: 0 -> 1; input pairs changed {cause}",
    }


def test_a_changed_input_that_is_gone_is_only_named(store):
    keep(store, chain("float16")[-1])
    assert store.explain(chain("float32")[-1]) == "input pairs changed"


def test_inputs_come_and_go(store):
    a, b = step("embed", "a", n=1), step("embed", "b", n=2)
    keep(store, step(inputs=[("left", a)]))
    assert store.explain(step(inputs=[("right", b)])) == "input left is gone; input right is new"


def test_reading_the_store_once_says_the_same(store):
    keep(store, *chain("float16"), step(seed=3))
    steps = [*chain("float32"), *chain("float16"), step(seed=4)]
    assert store.explain_all(steps) == {
        each_step.key: store.explain(each_step) for each_step in steps
    }


# --- labs ---


def lab(weights, corpus, **settings):
    """The steps of one reaction in a lab: labels say nothing of weights and data."""
    space = {"adapter": "precomputed", "weights": weights, "dim": 3}
    a = step("embed", "embed A text", space=space, corpus=corpus, dtype="float16")
    b = step("collect", "collect A text", [("rows", a)], temperature=0.1)
    return a, b, step("train", "train A + Cr(B)", [("pairs", b)], **settings)


def test_steps_of_another_lab_are_nothing_to_compare_with(store):
    keep(store, *lab("w" * 64, "c" * 64, seed=0))
    for other_step in lab("x" * 64, "d" * 64, seed=0):
        assert store.explain(other_step) == f"no earlier {other_step.kind} step like it"


def test_a_lab_whose_data_or_weights_changed_is_the_same_lab(store):
    keep(store, *lab("w" * 64, "c" * 64, seed=0), *lab("x" * 64, "d" * 64, seed=5))
    for other in (lab("w" * 64, "e" * 64, seed=0), lab("e" * 64, "c" * 64, seed=0)):
        name = "corpus" if other[0].preimage["params"]["corpus"] == "e" * 64 else "space.weights"
        old = "cccccccc" if name == "corpus" else "wwwwwwww"
        cause = store.explain(other[0])
        assert cause.startswith(f"params.{name}: ")
        assert old[:3] in cause
        assert store.explain(other[2]) == f"input pairs changed ({cause})"


def test_another_label_is_nothing_to_compare_with(store):
    keep(store, step(label="train A + Cr(B) on T", seed=0))
    message = "no earlier train step like it"
    assert store.explain(step(label="train A + Cr(B) on TVA", seed=1)) == message


def test_a_wide_and_deep_plan_is_compared_in_no_time(store):
    def plan(seed):
        layer = [step("embed", "a", seed=seed), step("embed", "b", seed=seed)]
        for depth in range(40):  # 2^40 ways through it
            layer = [
                step("train", f"{side}{depth}", [("x", layer[0]), ("y", layer[1])]) for side in "ab"
            ]
        return layer[0]

    def everything(node, steps_by_key):
        if node.key not in steps_by_key:
            steps_by_key[node.key] = node
            for _, source in node.inputs:
                everything(source, steps_by_key)
        return steps_by_key

    keep(store, *everything(plan(0), {}).values())
    assert store.explain(plan(1)).startswith("input x changed (params.seed: 0 -> 1)")
