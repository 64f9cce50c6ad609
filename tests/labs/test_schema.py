"""The JSON Schema of lab files: editors accept what we do, and underline what we refuse."""

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from lab_files import SPACE

from reactions import labs
from reactions.core.settings import ReactionSettings
from reactions.eval.registry import task_names
from reactions.labs.schema import json_schema

ROOT = Path(__file__).parents[2]
FILES = [*Path(labs.__file__).parent.glob("*.toml"), *ROOT.glob("examples/*.toml")]
VALIDATOR = Draft202012Validator(json_schema())


def mistakes(text):
    return [error.message for error in VALIDATOR.iter_errors(tomllib.loads(text))]


def test_it_is_a_schema_of_the_draft_it_names():
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


def test_there_are_labs_to_hold_it_to():
    assert {path.name for path in FILES} >= {"mini.toml", "paper.toml", "own_data.toml"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_our_labs_and_examples_are_valid(path):
    assert mistakes(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        SPACE,
        "[spaces.X]\nuri = 'hf:a/b'\ncentre = true",
        "[spaces.X]\npath = 'x'\nhub = 'text'",
        "[corpora.text]\npath = 'x'\ncolumn = ['a', 3]\nid = 0\nquoted = false",
        "[corpora.smell]\npath = ['x', 's3://y']\nmember = 'left.jpg'",
        "[[corpora.text]]\npath = 'x'\n[[corpora.text]]\nmanifest = 'y'",
        "[factors.sigma]\nsmell = 1",
        "[reaction]\nlearning_rate = 1\nbatch_size = 2\nholdout = 0",
        "[tasks.x]\nkind = 'retrieval'\npath = 'x.csv'\naudio = 'a'\ntext = ['b', 'c']",
        "[tasks.x]\nkind = 'multilabel'\npath = 'x.csv'\nimage = 0\nclass = 1\nseparator = ';'",
        "[tasks.x]\nkind = 'classification'\nimage = 'x'\n[data.x]\npath = 'y'",
        "[kb.x]\npath = 'y.parquet'\nitems = { image = 'esc50:fold1' }",
        "[kb.x]\nworld = 3\nscenes = 2\nvocabulary = 'open'\nsynonyms = false\nstray = 0",
        "[pairs.x]\nworld = 3\nseen_by = 'ImageBind'\ndefault = true",
        "[pairs.x]\npath = 'x.csv'\naudio = 'a'\nimage = 1\nid = 'b'\nskip = 'c'\nmax_bad = 0.5",
        "[pairs.x]\npath = ['x.tar', 's3://y.tar']\naudio = 'flac'\nthermal = 'png'",
        "[pairs.x]\nvideo = ['x', 'y']\nseconds = 3.5\nclip_at = 0\npicture_at = 1\ncheck = 'full'",
    ],
)
def test_what_a_lab_may_say_is_valid(text):
    assert mistakes(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "[lap]",
        "[corpora.text]\npath = []",
        "[corpora.image]\npath = []",
        "[tasks.x]\nkind = 'retrieval'\npath = 'x.csv'\naudio = 'a'\ntext = []",
        "lab = 1",
        "[pairs.x]\nworld = 0",
        "[kb.x]",
        "[kb.x]\nworld = 0",
        "[kb.x]\nworld = 3\nbias = 101",
        "[kb.x]\nworld = 3\npath = 'y'",
        "[kb.x]\npath = 'y'\nitems = { image = 3 }",
        "[pairs.x]\nworld = 3\npath = 'x'",
        "[pairs.x]\npath = 'x.csv'\naudoi = 'a'\nimage = 'b'",
        "[pairs.x]\nvideo = 'x'\nseconds = 0",
        "[pairs.x]\nvideo = 'x'\nclip_at = 1.5",
        "[[pairs.x]]\nworld = 3",
        "[lab]\nsed = 1",
        "[lab]\nseed = -1",
        "[lab]\nseed = 1.5",
        "[lab]\nworld_tasks = 'no'",
        "[reaction]\nepochs = 1",
        "[reaction]\nhidden_dim = 0",
        "[reaction]\nhidden_dim = true",
        "[reaction]\nlearning_rate = -1.0",
        "[reaction]\nbatch_size = 1",
        "[reaction]\nholdout = 0.6",
        "[reaction]\ndtype = 'bfloat16'",
        "[reaction]\nprecision = 'half'",
        "[factors.sigma]\naudio = 1.5",
        "[factors]\nsigm = 1",
        "[spaces]\nX = 1",
        "[spaces.X]\nadapter = 'x'",
        "[spaces.X]\nuri = 'x'\ndim = 3",
        "[spaces.X]\nuri = 'x'\npath = 'y'",
        SPACE + "dims = 3",
        SPACE.replace("12", "0"),
        "[corpora.text]",
        "[corpora.text]\nworld = 1\npath = 'x'",
        "[corpora.text]\npath = 'x'\nmanifest = 'x'",
        "[corpora.text]\npath = ''",
        "[corpora.text]\npath = 'x'\nmax_bad = 2",
        "[corpora.text]\npath = 'x'\ncheck = 'ful'",
        "[corpora.text]\npath = 'x'\ndelimiter = ', '",
        "[corpora.text]\npath = 'x'\ncolumn = -1",
        "[corpora.image]\npath = 'x'\nheader = false",
        "[corpora]\ntext = []",
        "[[corpora.text]]\nworld = 3",
        "[data.esc5]\npath = 'x'",
        "[data.esc50]",
        "[tasks.x]",
        "[tasks.x]\nkind = 'ranking'\naudio = 'x'",
        "[tasks.x]\nkind = 'retrieval'\naudi = 'x'",
    ],
)
def test_what_a_lab_may_not_say_is_underlined(text):
    assert mistakes(text)


def test_every_hyper_parameter_has_type_range_and_description():
    reaction = json_schema()["$defs"]["Reaction"]["properties"]
    assert list(reaction) == [setting.name for setting in fields(ReactionSettings)]
    for setting in fields(ReactionSettings):
        described = reaction[setting.name]
        assert described["description"] == setting.metadata["description"]
        assert described.get("default") == setting.default
        if setting.name == "subsets":  # a rule, or lists
            assert [sorted(choice) for choice in described["anyOf"]] == [
                ["enum"],
                ["items", "minItems", "type"],
            ]
            continue
        assert described.keys() & {"enum", "minimum", "exclusiveMinimum"}


def test_editors_complete_evaluation_sets():
    data = json_schema()["$defs"]["Data"]
    assert set(data["properties"]) == {"root", *task_names()}


def test_nothing_in_toml_is_null():
    def values(node):
        children = node.values() if isinstance(node, dict) else node if type(node) is list else ()
        yield node
        for child in children:
            yield from values(child)

    assert not [node for node in values(json_schema()) if node is None or node == "null"]
