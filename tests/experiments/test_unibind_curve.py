import json

import pytest

from reactions.core.errors import MissingError
from reactions.experiments.unibind.curve import DESCRIBERS, RULES, measure_curve
from reactions.labs.knowledge_sections import describer_of
from reactions.labs.lab_file import load_lab
from reactions.session import Session
from reactions.store import Store

LAB = """
[lab]
name = "small"
extends = "mini"

[kb.kb]
world = 60
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("curve")
    (folder / "lab.toml").write_text(LAB, encoding="utf-8")
    return Session(load_lab(str(folder / "lab.toml")), Store(folder / "store"))


@pytest.fixture(scope="module")
def curve(small):
    chosen = {name: DESCRIBERS[name] for name in ("as in kb", "60 % stray")}
    return measure_curve([small], describers=chosen, tasks=("urbansound8k",), ks=(1, 40))


def test_there_is_a_point_for_each_describer_rule_and_k(curve):
    assert [(p.describer, p.rule, p.k) for p in curve.points] == [
        (describer, rule, k)
        for describer in ("as in kb", "60 % stray")
        for rule in RULES
        for k in (1, 40)
    ]
    assert set(curve.templates) == {"urbansound8k"}


def test_gains_are_over_the_template(curve):
    for point in curve.points:
        assert point.gain == pytest.approx(point.accuracy - curve.templates["urbansound8k"])
        assert point.by_seed == pytest.approx((point.gain,))


def test_stray_sentences_cost_and_one_row_is_the_same_by_each_rule(curve):
    at = {(p.describer, p.rule, p.k): p.accuracy for p in curve.points}
    assert at["60 % stray", "nearest-row", 40] < at["as in kb", "nearest-row", 40] - 5
    assert at["as in kb", "mean", 1] == at["as in kb", "nearest-row", 1]


def test_a_curve_is_json(curve):
    record = json.loads(json.dumps(curve.to_json()))
    assert record["lab"] == "mini (small)"
    assert len(record["points"]) == len(curve.points)


def test_every_describer_errs_as_it_says(small):
    source = small.lab.knowledge_bases["kb"]
    plain = describer_of(source)
    for errors in DESCRIBERS.values():
        for name, value in errors.items():
            assert getattr(plain, name) != value, name


def test_a_lab_without_a_describer_is_refused(tmp_path):
    (tmp_path / "bare.toml").write_text('[lab]\nname = "bare"\n', encoding="utf-8")
    bare = Session(load_lab(str(tmp_path / "bare.toml")), Store(tmp_path / "store"))
    with pytest.raises(MissingError, match="no knowledge base 'kb' of the mini world"):
        measure_curve([bare])
