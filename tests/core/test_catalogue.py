import pytest

from reactions.core.catalogue import Catalogue
from reactions.core.errors import MissingError, UsageError
from reactions.core.types import SpaceSpec

A = SpaceSpec("ImageBind", 4, ("audio", "image", "text"), "fake", "a")
B = SpaceSpec("CLAP_m", 3, ("audio", "text"), "fake", "b")


def test_names_keep_the_order_of_registration():
    catalogue = Catalogue({"ImageBind": A, "CLAP_m": B})
    assert catalogue.names() == ("ImageBind", "CLAP_m")
    assert list(catalogue) == [A, B]
    assert "CLAP_m" in catalogue
    assert "clap_m" not in catalogue
    assert 3 not in catalogue
    assert catalogue.by_name("CLAP_m") is B


def test_later_changes_of_the_mapping_do_not_show():
    specs = {"ImageBind": A}
    catalogue = Catalogue(specs)
    specs["CLAP_m"] = B
    assert catalogue.names() == ("ImageBind",)


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(UsageError) as caught:
        Catalogue({"ImageBind": A, "CLAP_m": B}).by_name("clapm")
    error = caught.value
    assert error.what == "unknown space 'clapm'"
    assert error.fix == "did you mean 'CLAP_m'?  (all: molspace spaces)"
    assert error.fields == {"name": "clapm", "known": ["ImageBind", "CLAP_m"]}


def test_a_uri_is_resolved_once():
    uris = []

    def resolve(uri):
        uris.append(uri)
        return B

    catalogue = Catalogue({}, resolve)
    assert catalogue.by_uri("dir/x") is catalogue.by_uri("dir/x") is B
    catalogue.by_uri("dir/y")
    assert uris == ["dir/x", "dir/y"]


def test_a_failure_is_not_remembered():
    answers = [MissingError("no folder"), B]

    def resolve(uri):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    catalogue = Catalogue({}, resolve)
    with pytest.raises(MissingError, match="no folder"):
        catalogue.by_uri("x")
    assert catalogue.by_uri("x") is B


def test_without_a_resolver_uris_are_refused():
    with pytest.raises(MissingError, match="no adapter"):
        Catalogue({}).by_uri("open_clip:ViT-B-32")


def test_a_space_may_be_described_when_it_is_first_asked_for():
    calls = []

    def describe():
        calls.append(1)
        return SpaceSpec("Late", 4, ("text",), "fake", "l")

    catalogue = Catalogue(
        {"Early": SpaceSpec("Early", 3, ("text",), "fake", "e"), "Late": describe}
    )
    assert catalogue.names() == ("Early", "Late")
    assert "Late" in catalogue
    assert [s.name for s in catalogue] == ["Early"]
    assert calls == []
    assert catalogue.by_name("Late") is catalogue.by_name("Late")
    assert calls == [1]
    assert [s.name for s in catalogue] == ["Early", "Late"]


def test_a_space_that_cannot_be_described_is_missing_when_it_is_asked_for():
    def describe():
        raise MissingError("no weights for space 'Late'")

    catalogue = Catalogue({"Late": describe})
    assert dict(catalogue.items()) == {"Late": describe}
    with pytest.raises(MissingError, match="no weights"):
        catalogue.by_name("Late")
