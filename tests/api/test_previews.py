"""What there is before anything runs: plans and spaces."""

import json

import pytest
from report_lab import HEADLINE

import reactions
from reactions.core.errors import LanguageError, MissingError, UsageError


def test_a_plan_says_what_is_to_do():
    plan = reactions.plan("ImageBind + Cr(CLAP_m)", lab="mini")
    assert plan.to_do["steps"] == len(plan) > 3
    assert plan.lab == "mini"
    frame = plan.to_dataframe()
    assert len(frame) == len(plan)
    assert frame["state"].str.startswith("no earlier").all()
    assert frame["flops"].sum() > 0
    body = json.loads(json.dumps(plan.to_json()))
    assert body["expression"] == "ImageBind + Cr(CLAP_m)"
    assert {step["label"] for step in body["steps"]} == set(frame["step"])
    assert "lab: mini" in plan._repr_html_()
    assert plan.mermaid().startswith("flowchart")


def test_plans_of_expressions_are_those_of_texts():
    space = reactions.Space("ImageBind") + reactions.Dr("InternVL")
    expression = space | reactions.Cr("CLAP_m") & reactions.Cr("CLAP_g")
    step_lists = [reactions.plan(reaction, lab="mini").steps for reaction in (expression, HEADLINE)]
    assert step_lists[0] == step_lists[1]


def test_plans_that_cannot_be():
    with pytest.raises(LanguageError, match="unknown space 'CLAPm'"):
        reactions.plan("ImageBind + Cr(CLAPm)", lab="mini")
    with pytest.raises(UsageError):
        reactions.plan("ImageBind + Cr(CLAP_m)", lab="mini", precision="fats")
    with pytest.raises(MissingError):
        reactions.plan("ImageBind + Cr(CLAP_m)", lab="minni")


def test_spaces_are_listed():
    listed = reactions.spaces(lab="mini")
    assert "CLAP_m" in listed
    assert "CLAP" not in listed
    assert len(list(listed)) == len(listed)
    assert listed.specs["CLAP_m"].dim == 64
    frame = listed.to_dataframe().set_index("space")
    assert frame.loc["CLAP_m", "modalities"] == "audio, text"
    assert "lab: mini" in repr(listed)
    json.dumps(listed.to_json())


def test_spaces_without_weights_say_what_helps():
    listed = reactions.spaces(lab="paper")
    assert set(listed.missing) | set(listed.specs) == set(listed)
    assert len(listed.notices) == len(listed.missing) > 0
    assert not listed.to_dataframe()["here"].all()
