import pytest
from fakes import Context
from toy_steps import KINDS, VERSIONS, make_step

from reactions.core.hashing import digest
from reactions.core.step import Artifact, Cost
from reactions.steps.assemble import Assemble


def nothing(context, inputs, start, stop):
    raise AssertionError("planning runs nothing")


def make(**changes):
    defaults = {"kind": "train", "label": "x", "params": {"a": 1}, "inputs": (), "run": nothing}
    return make_step(**{**defaults, **changes})


def test_golden_key():
    # Keys address every store: a change here throws all caches away, and needs a changelog entry.
    child = make_step("embed", "child", {"b": [1.5, "x"]}, (), nothing)
    parent = make_step("collect", "parent", {"a": 1}, [("text", child)], nothing)
    assert child.key == "b56f74e727d75ee3e85353369425a5ec6011e4d3885b8c06979d4ccd615387d6"
    assert parent.key == "1d1a4889b22d523e2be671c4797485c7aea8584f77a5461ffedc8c0417e35664"


def test_the_key_is_the_digest_of_the_preimage():
    child = make(kind="embed")
    step = make(inputs=[("text", child)])
    assert step.preimage == {
        "kind": "train",
        "version": VERSIONS["train"],
        "params": {"a": 1},
        "inputs": {"text": child.key},
    }
    assert step.key == digest("step", step.preimage)


def test_what_cannot_change_a_result_is_not_in_the_key():
    same = make(label="y", n_rows=5, shard_rows=2, cost=Cost(flops=1.0), run=lambda *_: None)
    assert same.key == make().key
    assert make(params={"b": 1, "a": 2}).key == make(params={"a": 2, "b": 1}).key


def test_what_can_is():
    child, other = make(kind="embed"), make(kind="embed", params={"a": 2})
    steps = [
        make(),
        make(kind="collect"),
        make(params={"a": 1.0}),
        make(params={"b": 1}),
        make(inputs=[("text", child)]),
        make(inputs=[("text", other)]),
        make(inputs=[("image", child)]),
        make(inputs=[("text", child), ("image", other)]),
        make(inputs=[("text", other), ("image", child)]),
    ]
    assert len({step.key for step in steps}) == len(steps)


def test_a_new_version_is_a_new_key(monkeypatch):
    before = make().key
    monkeypatch.setattr(KINDS["train"], "VERSION", 99)
    assert make().key != before


def test_every_kind_has_a_version():
    # One of a kind is raised for all of its steps: keys of one say which code made a result.
    assert VERSIONS == {
        "embed": 1,
        "mean": 1,
        "collect": 2,
        "train": 3,
        "fit": 1,
        "quality": 1,
        "assemble": 1,
        "score": 3,
    }


def test_inputs_keep_their_order():
    first, second = make(kind="embed"), make(kind="embed", params={})
    assert make(inputs=[("b", first), ("a", second)]).inputs == (("b", first), ("a", second))


def test_params_that_cannot_be_hashed_are_a_bug_of_ours():
    with pytest.raises(TypeError):
        make(params={"a": float("nan")})


# --- assemble ---


def trained(name, loss):
    step = make_step("train", name, {"name": name}, (), nothing, cost=Cost(size_bytes=100))
    return step, Artifact({"0.weight": name + ".w", "0.bias": name + ".b"}, {"loss": loss})


def test_assemble_gathers_tensors_and_losses():
    projectors = {name: trained(name, [float(i)]) for i, name in enumerate("abc")}
    record = {"format": 1, "expression": "A + B"}
    mixtures = [{"T": projectors["a"][0], "TVA": projectors["b"][0]}, {"T": projectors["c"][0]}]
    step = Assemble(record=record, mixtures=mixtures)
    names = ["0.T", "0.TVA", "1.T"]
    assert [name for name, _ in step.inputs] == names
    assert step.cost.size_bytes == 300
    inputs = {name: projectors[key][1] for name, key in zip(names, "abc", strict=True)}
    artifact = step.run(Context(), inputs, 0, 1)
    assert artifact.arrays == {
        "0.T.0.weight": "a.w",
        "0.T.0.bias": "a.b",
        "0.TVA.0.weight": "b.w",
        "0.TVA.0.bias": "b.b",
        "1.T.0.weight": "c.w",
        "1.T.0.bias": "c.b",
    }
    assert artifact.meta == {**record, "losses": {"0.T": [0.0], "0.TVA": [1.0], "1.T": [2.0]}}
    assert record == {"format": 1, "expression": "A + B"}


def test_assemble_keys_follow_record_and_heads():
    a, b = trained("a", [1.0])[0], trained("b", [1.0])[0]
    steps = [
        Assemble(record={"x": 1}, mixtures=[{"T": a}]),
        Assemble(record={"x": 2}, mixtures=[{"T": a}]),
        Assemble(record={"x": 1}, mixtures=[{"T": b}]),
        Assemble(record={"x": 1}, mixtures=[{"V": a}]),
    ]
    assert len({step.key for step in steps}) == 4
