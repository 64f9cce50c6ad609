import json
import subprocess
import sys
from dataclasses import replace

import pytest
from fakes import CG, CM, IB, VL, changed, cr, dr
from huggingface_hub import ModelCard

from reactions.core.errors import DataError, MissingError
from reactions.exchange.card_data import is_rehearsal
from reactions.exchange.licences import hub_id, is_known, is_non_commercial, most_restrictive
from reactions.exchange.model_card import model_card
from reactions.exchange.results import MetricScore, read_results
from reactions.products.bundles.bundle import Bundle, describe

NC = "CC-BY-NC-SA-4.0"
EXPRESSION = "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"


def bundle_of(*licences, label="own", lab="", expression=EXPRESSION):
    """A bundle with these licences of its four spaces."""
    ib, vl, cm, cg = (
        changed(leaf, licence=licence, lab=lab)
        for leaf, licence in zip((IB, VL, CM, CG), licences, strict=True)
    )
    space = cr(dr(ib, vl), cm, cg)
    record = describe(
        expression,
        space,
        lab={"name": label, "label": label, "seed": 0},
        subsets=[["TVA"]] * 3,
        settings={},
        step_keys={},
        version="0.1.0",
    )
    return Bundle("nowhere", {**record, "digest": "d" * 64}, space)


def front_matter(card):
    """What the hub's own library reads, which also checks the list of results."""
    model_card_read = ModelCard(card)
    assert model_card_read.text.lstrip().startswith("# fused\n"), (
        "the text begins after the front matter"
    )
    return model_card_read.data.to_dict()


# --- the card ---


def test_a_card_says_what_the_bundle_is():
    card = model_card(bundle_of(NC, "MIT", "CC0-1.0", "CC0-1.0"), "me/fused")
    head, _, body = card.removeprefix("---\n").partition("---\n")
    assert {"library_name: molspace", "license: cc-by-nc-sa-4.0"} <= set(head.splitlines())
    assert "\n# fused\n" in body
    assert f"```\n{EXPRESSION}\n```" in body
    assert "audio, image, text in 6 dimensions" in body
    assert "in lab: own." in body
    assert f"| ImageBind | 8 | audio, image, text | - | 63fc5deab670 | {NC} |" in body
    assert f"The most restrictive is **{NC}** (ImageBind)." in body
    assert "**Not for commercial use:** the licence of ImageBind forbids it." in body
    assert "| lambda InternVL | image 0.9, text 0.9 |" in body
    assert "| sigma CLAP_m | audio 0.5, text 0.1 |" in body
    assert "molspace pull me/fused" in body
    assert "d" * 64 in body
    assert "rehearsal" not in card
    assert "Results" not in body
    assert "imported" not in body


@pytest.mark.parametrize(
    ("licences", "licence", "name"),
    [
        ((NC, "MIT", "CC0-1.0", "MIT"), "cc-by-nc-sa-4.0", None),
        (("Apache-2.0", "MIT", "MIT", "MIT"), "apache-2.0", None),
        (("MIT", "MIT", "MIT", ""), "other", "unknown"),
        ((NC, "MIT", "MIT", "whatever"), "cc-by-nc-sa-4.0", None),
        (("Foo Non-Commercial 1", "MIT", "MIT", "MIT"), "other", "Foo Non-Commercial 1"),
        (("", "", "", ""), "other", "unknown"),
    ],
)
def test_front_matter_states_the_licence_that_binds_most(licences, licence, name):
    metadata = front_matter(model_card(bundle_of(*licences), "me/fused"))
    assert metadata["license"] == licence
    assert metadata.get("license_name") == name
    assert metadata["library_name"] == "molspace"
    assert {"molspace", "audio", "image", "text"} <= set(metadata["tags"])


def test_unknown_terms_are_said_to_be_unknown():
    card = model_card(bundle_of("MIT", "", "MIT", "odd"), "me/fused")
    assert "The terms of InternVL, CLAP_g are not known here" in card


@pytest.mark.parametrize(
    ("label", "lab", "loud"),
    [
        ("mini", "", True),
        ("mini (small)", "", True),
        ("own", "mini", True),
        ("own", "", False),
        ("minimal", "", False),
    ],
)
def test_a_rehearsal_says_so_first(label, lab, loud):
    bundle = bundle_of("MIT", "MIT", "MIT", "MIT", label=label, lab=lab)
    card = model_card(bundle, "me/fused")
    assert is_rehearsal(bundle) == loud
    assert ("**This is a rehearsal, not a model.**" in card) == loud
    assert ("- rehearsal" in card) == loud
    if loud:
        assert card.index("rehearsal, not a model") < card.index(EXPRESSION)


def test_an_imported_bundle_says_whose_it_is():
    bundle = bundle_of("MIT", "MIT", "MIT", "MIT")
    origin = {"from": "freebind", "product": "InternVL_IB_PP", "files": {"a": "1", "b": "2"}}
    bundle = replace(bundle, record={**bundle.record, "imported": origin})
    assert "imported from the files that freebind published (2," in model_card(bundle, "me/fused")


def test_a_card_says_which_means_are_rescaled():
    plain = bundle_of("MIT", "MIT", "MIT", "MIT")
    space = replace(plain.space, mean="unit")
    card = model_card(Bundle("nowhere", plain.record, space), "me/fused")
    assert "The mean of CLAP_m & CLAP_g is rescaled to unit norm" in card
    assert "rescaled" not in model_card(plain, "me/fused")


def test_a_record_cannot_bring_markup_of_its_own():
    bundle = bundle_of("MIT", "MIT | x", "<b>", "MIT", expression="A + Cr('```\n# B')")
    card = model_card(bundle, "me/fused")
    assert "````\nA + Cr('```\n# B')\n````" in card
    assert "| MIT \\| x |" in card
    assert "<b>" not in card.replace("\\<b\\>", "")


ODD = ("no", "12", "text: x", "it's", "- a", "{a: b}", "&a", "!!python/none", "\u2028 é \x85", "~")


def test_names_survive_yaml():
    space = cr(changed(IB, modalities=("audio", *ODD)), CG)
    bundle = replace(bundle_of("MIT", "MIT", "MIT", "MIT"), space=space)
    results = [
        MetricScore(name, name, 1.0, True, 9, "own", "") for name in ("no", "{a: b}", "x: y")
    ]
    metadata = front_matter(model_card(bundle, "me/fused", results))
    assert set(ODD) <= set(metadata["tags"])
    (model,) = metadata["model-index"]
    assert [result["dataset"]["type"] for result in model["results"]] == ["no", "{a: b}", "x: y"]


def test_a_record_cannot_end_the_front_matter():
    licence = "Foo non-commercial\n---\n# fused\nlicense: mit"
    metadata = front_matter(model_card(bundle_of(licence, "MIT", "MIT", "MIT"), "me/fused"))
    assert metadata["license"] == "other"
    assert metadata["license_name"] == " ".join(licence.split())


def test_the_hubs_library_is_loaded_for_a_card_alone():
    code = "import sys, reactions.exchange.hub; print('huggingface_hub' in sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout == "False\n"


def test_results_are_in_the_card():
    scores = (
        MetricScore("esc50", "accuracy", 81.256, True, 2000, "own", "sigma CLAP_m: audio 0.5"),
        MetricScore("esc50", "fold1", 80.0, False, 400, "own", ""),
    )
    card = model_card(bundle_of("MIT", "MIT", "MIT", "MIT"), "me/fused", scores)
    assert "## Results" in card
    assert "| esc50 | accuracy (main) | 81.26 | 2000 | own |\n" in card
    assert "| esc50 | fold1 | 80.00 | 400 | own |\n" in card
    assert "\n- esc50: sigma CLAP_m: audio 0.5\n" in card


# --- licences ---


def test_licences_are_distinguished():
    assert most_restrictive(["MIT", "CC-BY-SA-4.0", "CC-BY-ND-4.0", "CC-BY-NC-4.0"]) == (
        "CC-BY-NC-4.0"
    )
    assert most_restrictive(["CC-BY-NC-4.0", NC]) == NC
    assert most_restrictive(["MIT", "CC-BY-ND-4.0", "GPL-3.0"]) == "CC-BY-ND-4.0"
    assert most_restrictive(["MIT", "GPL-3.0"]) == "GPL-3.0"
    assert most_restrictive(["", "odd"]) == ""
    assert is_non_commercial("CC BY NC 4.0")
    assert not is_non_commercial("ISC")
    assert not is_non_commercial("NCSA")
    assert is_known("BSD-3-Clause")
    assert not is_known("commit")
    assert hub_id("CC-BY-NC-SA-4.0") == "cc-by-nc-sa-4.0"
    assert hub_id("NCSA") == "other"


# --- results ---


def record(**changes):
    return {
        "space": EXPRESSION,
        "lab": "own",
        "task": "esc50",
        "metrics": {"accuracy": 81.25},
        "main": "accuracy",
        "n": 2000,
        "factors": {"sigma CLAP_m": {"audio": 0.5}},
        "experts": ["CLAP_m"],
        "prompts": ["This is a sound of {class}.", "{class}"],
        **changes,
    }


def results_file(path, *records, schema="molspace.eval/1"):
    path.write_text(json.dumps({"schema": schema, "lab": "own", "results": records}))
    return path


def test_results_are_read(tmp_path):
    (score,) = read_results(results_file(tmp_path / "r.json", record()), EXPRESSION)
    conditions = (
        'sigma CLAP_m: audio 0.5; experts: CLAP_m; prompt: "This is a sound of {class}." and 1 more'
    )
    assert score == MetricScore("esc50", "accuracy", 81.25, True, 2000, "own", conditions)


def test_centres_are_conditions_in_place_of_prompts(tmp_path):
    by_items = {
        "kb": "birds",
        "selection": "items",
        "k": 50,
        "items": "esc50:fold1",
        "rule": "top-m",
        "m": 20,
        "zero_shot": False,
    }
    scored = record(prompts=[], centres=by_items, factors={}, experts=None)
    (score,) = read_results(results_file(tmp_path / "r.json", scored), EXPRESSION)
    assert score.conditions == (
        "classes by centres: birds, items 50, top-m 20; not zero-shot: by items of esc50:fold1"
    )


TRAINED = {"corpus": "esc50:fold1", "scored": 1600}


@pytest.mark.parametrize(
    ("setting", "trained", "conditions"),
    [
        ("zero-shot", [], ""),
        ("zero-shot", [{"corpus": "world:audio", "scored": 0}], ""),
        (
            "fine-tuned",
            [TRAINED],
            "not zero-shot: fine-tuned on esc50:fold1; 1,600 scored items were trained on",
        ),
        (
            "trained on labels of these classes",
            [{**TRAINED, "scored": 0}],
            "not zero-shot: trained on labels of these classes",
        ),
        (
            "unknown",
            [{**TRAINED, "scored": None}],
            "not known to be zero-shot: what was trained on cannot be compared",
        ),
    ],
)
def test_what_is_not_zero_shot_is_a_condition(setting, trained, conditions, tmp_path):
    scored = record(prompts=[], factors={}, experts=None, setting=setting, trained_on=trained)
    (score,) = read_results(results_file(tmp_path / "r.json", scored), EXPRESSION)
    assert score.conditions == conditions


@pytest.mark.parametrize(
    ("records", "schema", "words"),
    [
        ([], "molspace.eval/1", "list is empty"),
        ([record(space="ImageBind")], "molspace.eval/1", "they are of ImageBind"),
        ([record(metrics={"accuracy": float("nan")})], "molspace.eval/1", "accuracy is nan"),
        ([record()], "molspace.plan/1", "schema is 'molspace.plan/1'"),
        ([{}], "molspace.eval/1", "holds no results"),
        ([record(factors=3)], "molspace.eval/1", "holds no results"),
    ],
)
def test_results_of_something_else_are_refused(tmp_path, records, schema, words):
    with pytest.raises(DataError, match=words):
        read_results(results_file(tmp_path / "r.json", *records, schema=schema), EXPRESSION)


@pytest.mark.parametrize("text", ["", "[1]", "{", "null", "\ud800", "[" * 100_000])
def test_what_is_not_json_is_refused(tmp_path, text):
    path = tmp_path / "r.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match="holds no results"):
        read_results(path, EXPRESSION)


def test_missing_results_get_the_command(tmp_path):
    with pytest.raises(MissingError, match="molspace eval --task all --json"):
        read_results(tmp_path / "r.json", EXPRESSION)


def test_base_models_are_those_of_the_hub():
    bundle = bundle_of(NC, "MIT", "CC0-1.0", "CC0-1.0")
    assert "base_model" not in front_matter(model_card(bundle, "me/fused"))
    sources = ["hf:OpenGVLab/InternVL-14B-224px@2f3c?precision=bf16", "/home/me/hf:a/b", "hf:./x/y"]
    for spec, source in zip(bundle.record["spaces"], sources, strict=False):
        spec["source"] = source
    metadata = front_matter(model_card(bundle, "me/fused"))
    assert metadata["base_model"] == ["OpenGVLab/InternVL-14B-224px"]
    assert metadata["base_model_relation"] == "adapter"


def scored(lab):
    return [
        MetricScore("esc50", "accuracy", 91.2, True, 2000, lab, ""),
        MetricScore("clotho", "mean R@1", 12.345, True, 1045, lab, ""),
        MetricScore("clotho", "mean R@5", 30.0, False, 1045, lab, ""),
    ]


def test_results_are_in_the_model_index_unless_they_are_a_rehearsals():
    bundle = bundle_of(NC, "MIT", "CC0-1.0", "CC0-1.0")
    metadata = front_matter(model_card(bundle, "me/fused", scored("own")))
    (model,) = metadata["model-index"]
    assert model["name"] == "fused"
    assert [result["dataset"]["name"] for result in model["results"]] == ["esc50", "clotho"]
    assert model["results"][1]["metrics"] == [
        {"type": "mean R@1", "name": "mean R@1, %", "value": 12.35},
        {"type": "mean R@5", "name": "mean R@5, %", "value": 30.0},
    ]
    for card in (
        model_card(bundle, "me/fused", scored("mini")),
        model_card(bundle_of(NC, "MIT", "MIT", "MIT", label="mini"), "me/fused", scored("own")),
    ):
        assert "model-index" not in front_matter(card)
        assert "91.20" in card  # in the table, with its lab


def test_the_front_matter_is_all_that_the_hub_asks_for():
    bundle = bundle_of(NC, "MIT", "CC0-1.0", "CC0-1.0")
    bundle.record["spaces"][0]["source"] = "hf:ORG/NAME"
    text = model_card(bundle, "me/fused", scored("own"), ["org/pairs"])
    card = ModelCard(text)
    metadata = card.data.to_dict()
    assert set(metadata) == {
        *("base_model", "datasets", "library_name", "license", "pipeline_tag", "tags"),
        *("base_model_relation", "model-index"),
    }
    assert (metadata["base_model"], metadata["datasets"]) == (["ORG/NAME"], ["org/pairs"])
    assert {result.dataset_name for result in card.data.eval_results} == {"esc50", "clotho"}
    assert str(card) == text, "it is written again as it was read"
