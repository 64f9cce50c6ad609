import pytest
from toy_steps import make_step

from reactions.core.step import Artifact
from reactions.planning.drawing import draw
from reactions.planning.plan import Plan


@pytest.fixture
def plan() -> Plan:
    first = make_step("embed", 'embed "x" & y', {"n": 1}, (), lambda *_: Artifact({}))
    second = make_step("train", "train", {}, [("a", first), ("b", first)], lambda *_: Artifact({}))
    return Plan((second,))


def test_mermaid_draws_each_edge_once_and_escapes_labels(plan):
    first, second = plan.steps()
    drawn = draw(plan, {first.key: "hit", second.key: "no entry"}, form="mermaid").splitlines()
    assert drawn[0] == "flowchart TD"
    assert '  s0["embed #quot;x#quot; #amp; y"]:::hit' in drawn
    assert '  s1["train"]' in drawn
    assert drawn.count("  s0 --> s1") == 1


def test_dot_draws_each_edge_once_and_escapes_labels(plan):
    first, second = plan.steps()
    drawn = draw(plan, {first.key: "hit", second.key: "no entry"}, form="dot").splitlines()
    assert drawn[0] == "digraph plan {"
    assert '  s0 [label="embed \\"x\\" & y", fillcolor=palegreen];' in drawn
    assert drawn.count("  s0 -> s1;") == 1
    assert drawn[-1] == "}"
