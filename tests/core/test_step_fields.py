"""What the fields of a step are: parameters, inputs, or neither."""

import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from reactions.core.hashing import digest
from reactions.core.step import (
    NOT_IN_KEY,
    UNLESS_DEFAULT,
    Artifact,
    Cost,
    Step,
    entering,
    inputs_from,
    parameters,
)


@dataclass(frozen=True)
class Settings:
    rate: float = 0.5
    decay: float = field(default=0.0, metadata=UNLESS_DEFAULT)
    verbose: bool = field(default=False, metadata=NOT_IN_KEY)


@dataclass(frozen=True, eq=False, kw_only=True)
class Source(Step):
    KIND = "source"
    VERSION = 1

    label: str = field(metadata=NOT_IN_KEY)
    seed: int = 0

    def run(self, context, inputs, start, stop):
        return Artifact({}, {"seed": self.seed})


@dataclass(frozen=True, eq=False, kw_only=True)
class Blend(Step):
    KIND = "blend"
    VERSION = 3

    base: Source
    extra: Source | None = field(default=None, metadata=inputs_from("extra"))
    heads: dict = field(default_factory=dict, metadata=inputs_from("head"))
    loose: tuple = field(default=(), metadata=inputs_from())
    some: dict = field(default_factory=dict, metadata=inputs_from(by=lambda step: step.chosen))
    shape: tuple = (2, (3, 4))
    text: str = field(default="Ab", metadata=entering("word", lambda step: step.text.lower()))
    settings: Settings = field(default=Settings(), metadata=entering(""))
    mode: str = field(default="plain", metadata=UNLESS_DEFAULT)
    constant: bool = field(default=True, init=False)
    shard_rows: int = field(default=7, metadata=NOT_IN_KEY)

    @property
    def chosen(self):
        return {name: step for name, step in self.some.items() if name != "unused"}

    @property
    def label(self):
        return "blend"

    @property
    def cost(self):
        return Cost(flops=float(len(self.inputs)))

    def run(self, context, inputs, start, stop):
        return Artifact({})


A, B, C = (Source(label=name, seed=seed) for seed, name in enumerate("abc"))


def test_the_preimage_is_made_of_the_fields():
    step = Blend(base=A, heads={"x": {"T": B, "V": C}}, loose=(B, [C]), some={"s": B, "unused": C})
    assert step.preimage == {
        "kind": "blend",
        "version": 3,
        "params": {"shape": [2, [3, 4]], "word": "ab", "rate": 0.5, "constant": True},
        "inputs": {
            "base": A.key,
            "head.x.T": B.key,
            "head.x.V": C.key,
            "0": B.key,
            "1.0": C.key,
            "s": B.key,
        },
    }
    assert step.key == digest("step", step.preimage)
    assert [name for name, _ in step.inputs] == list(step.preimage["inputs"])
    assert (step.kind, step.label, step.shard_rows, step.cost.flops) == ("blend", "blend", 7, 6.0)
    assert (step.n_rows, step.shares, step.together, step.space) == (None, "", "", None)


def test_an_input_that_is_absent_leaves_no_trace():
    assert Blend(base=A, extra=None).key == Blend(base=A).key
    assert [name for name, _ in Blend(base=A, extra=B).inputs] == ["base", "extra"]


def test_only_what_can_change_a_result_changes_the_key():
    step = Blend(base=A)
    same = [
        replace(step, shard_rows=9),
        replace(step, mode="plain"),
        replace(step, text="aB"),
        replace(step, settings=Settings(verbose=True)),
        replace(step, base=replace(A, label="renamed")),
    ]
    assert {other.key for other in same} == {step.key}
    other = [
        replace(step, mode="fancy"),
        replace(step, settings=Settings(decay=0.1)),
        replace(step, settings=Settings(rate=1.0)),
        replace(step, text="c"),
        replace(step, shape=(2, 3, 4)),
        replace(step, base=B),
    ]
    assert len({step.key, *(o.key for o in other)}) == len(other) + 1


def test_values_that_are_not_json_are_refused():
    with pytest.raises(TypeError, match="has no canonical form"):
        Blend(base=A, shape={1, 2})


def test_two_parameters_of_one_name_are_refused():
    @dataclass(frozen=True, eq=False, kw_only=True)
    class Clash(Source):
        rate: float = 1.0
        settings: Settings = field(default=Settings(), metadata=entering(""))

    with pytest.raises(TypeError, match="Clash has two parameters 'rate'"):
        Clash(label="x")


def test_two_inputs_of_one_name_are_refused():
    with pytest.raises(TypeError, match="Blend has two inputs of one name"):
        Blend(base=A, some={"base": B})


def test_steps_cannot_hide_in_a_parameter():
    with pytest.raises(TypeError, match=r"needs inputs_from\(\.\.\.\)"):
        Blend(base=A, shape=(2, B))


def test_a_step_has_to_say_what_it_does():
    @dataclass(frozen=True, eq=False, kw_only=True)
    class Idle(Step):
        KIND = "idle"
        VERSION = 1

    with pytest.raises(TypeError, match=r"abstract method '?run"):
        Idle()

    class Busy(Idle):
        def run(self, context, inputs, start, stop):
            return Artifact({})

    assert Busy().label == "idle"


def test_a_step_is_frozen_and_equal_to_itself_alone():
    with pytest.raises(FrozenInstanceError):
        A.seed = 3
    twin = replace(A)
    assert twin.key == A.key
    assert twin != A
    assert len({A, twin}) == 2


def test_a_step_pickles_with_its_key_and_its_inputs():
    step = Blend(base=A, heads={"x": {"T": B}})
    unpickled = pickle.loads(pickle.dumps(step))
    assert (unpickled.key, unpickled.preimage, unpickled.label) == (
        step.key,
        step.preimage,
        step.label,
    )
    assert [(name, source.key) for name, source in unpickled.inputs] == [
        (name, source.key) for name, source in step.inputs
    ]
    assert unpickled.base is dict(unpickled.inputs)["base"]
    assert unpickled.base.run(None, {}, 0, 1).meta == {"seed": 0}


def test_steps_that_are_run_together_are_run_in_turn_unless_they_know_better():
    artifacts = Source.run_together(None, [B, C], [{}, {}], 0, 1)
    assert [artifact.meta["seed"] for artifact in artifacts] == [1, 2]


def test_parameters_of_a_record_on_its_own():
    assert parameters(Settings()) == {"rate": 0.5}
    assert parameters(Settings(decay=0.1)) == {"rate": 0.5, "decay": 0.1}
