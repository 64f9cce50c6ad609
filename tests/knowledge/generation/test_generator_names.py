"""How generators are written, and found by name."""

import pytest
from installed import install, installing

from reactions.core.errors import MissingError, UsageError
from reactions.knowledge.generation.registry import open_generator
from reactions.knowledge.generation.specification import parse_generator


def test_a_name_is_taken_apart():
    spec = parse_generator("openai:org/llama3:8b?base_url=http://localhost:8000/v1&seed=1")
    assert (spec.scheme, spec.rest) == ("openai", "org/llama3:8b")
    assert spec.options == {"base_url": "http://localhost:8000/v1", "seed": "1"}
    assert parse_generator("mini").rest == ""
    assert parse_generator("mini?stray=10").options == {"stray": "10"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no generator"),
        ("?x=1", "names no generator"),
        ("openai:m?seed", "has no value"),
        ("openai:m?seed=1&seed=2", "given twice"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused(text, words):
    with pytest.raises(UsageError, match=words):
        parse_generator(text)


@pytest.mark.parametrize("key", ["api_key", "token", "API_KEY", "password"])
def test_secrets_are_refused_and_not_repeated(key):
    with pytest.raises(UsageError) as caught:
        parse_generator(f"openai:m?{key}=sk-12345")
    assert "sk-12345" not in str(caught.value)
    assert "OPENAI_API_KEY" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("opena:m", "did you mean 'openai'"),
        ("OpenAI:m", "did you mean 'openai'"),
        ("openai:m?temprature=1", "did you mean 'temperature'"),
        ("hf:a/b?taks=text-generation", "did you mean 'task'"),
        ("hf:a/b?task=text-generatoin", "did you mean 'text-generation'"),
        ("openai:m?modalities=imgae", "did you mean 'image'"),
        ("openai", "openai:MODEL"),
        ("hf:", "hf:ORG/REPO"),
    ],
)
def test_typos_are_refused_with_what_was_meant(text, fix):
    with pytest.raises(UsageError) as caught:
        open_generator(text, {})
    assert fix in str(caught.value)


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("temperature=hot", "'hot' is not a number"),
        ("temperature=3", "3 is not from 0 to 2"),
        ("seed=1.5", "'1.5' is not a whole number"),
        ("seed=-1", "-1 is not from 0"),
        ("max_tokens=0", "0 is not from 1"),
        ("top_p=nan", "nan is not from 0 to 1"),
        ("timeout_s=0", "0 is not from"),
        ("base_url=", "it is empty"),
    ],
)
def test_options_that_mean_nothing_are_refused(option, why):
    with pytest.raises(UsageError) as caught:
        open_generator(f"openai:m?{option}", {})
    assert why in str(caught.value)


def test_equal_generators_have_equal_names():
    first = open_generator("openai:m?seed=1&temperature=0.5&base_url=http://h/v1/", {})
    other = open_generator("openai:m?base_url=http://h/v1&temperature=.5&seed=01", {})
    assert first.name == other.name == "openai:m?base_url=http://h/v1&seed=1&temperature=0.5"


PARROT = """
class Parrot:
    def __init__(self, spec):
        self.name = spec.text
def broken(spec):
    raise KeyError("oh")
"""


def test_packages_add_generators(tmp_path, monkeypatch):
    points = {"parrot": "parrots:Parrot", "odd": "parrots:broken", "gone": "no_such_module:X"}
    with installing(tmp_path / "site", monkeypatch) as site:
        install(site, "parrots", {"molspace.generators": points}, PARROT)
        assert open_generator("parrot:grey", {}).name == "parrot:grey"
        with pytest.raises(UsageError, match="cannot use the generator 'odd'"):
            open_generator("odd", {})
        with pytest.raises(MissingError, match="cannot load the generator 'gone'"):
            open_generator("gone", {})
        with pytest.raises(UsageError) as caught:
            open_generator("parot:grey", {})
        assert "did you mean 'parrot'" in str(caught.value)
