import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_files import image_bytes, put

from reactions.core.types import Item
from reactions.data.audit import EXAMPLES, duplicates, leakage, normalised, undecodable
from reactions.data.corpora import IdCorpus, ListCorpus, TextCorpus
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import open_corpus


def texts(*values: str) -> TextCorpus:
    return TextCorpus("own text", list(values))


def scanned(path: Path):
    source = Source(paths=(str(path),), max_bad=1.0)
    return open_corpus("own image", "image", [source], tables=TableCache(path.parent / "cache"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog  barks.", "a dog barks"),
        ("a DOG, barks!", "a dog barks"),
        ("a dog-barks", "a dog barks"),
        ("  Straße\n", "strasse"),
        ("\uff46\uff55\uff4c\uff4c\u3000width", "full width"),
        ("...", ""),
    ],
)
def test_what_counts_as_the_same_text(text: str, expected: str) -> None:
    assert normalised(text) == expected


@given(st.text(st.characters(codec="ascii")))
def test_ascii_is_normalised_like_any_text(text: str) -> None:
    marked, mark = f"{text} \u00e9", "\u00e9"  # the accent takes it the long way
    assert normalised(text) == normalised(marked).removesuffix(mark).rstrip()


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


def test_repeated_texts_are_counted() -> None:
    corpus = texts("rain", "wind", "rain", "hail", "rain", "wind")
    finding = duplicates(corpus)
    assert finding is not None
    assert (finding.kind, finding.corpus) == ("duplicates", "own text")
    assert (finding.count, finding.total) == (3, 6)
    assert finding.message == "3 of 6 text items repeat an earlier one (50 %)"
    assert list(finding.examples) == [
        {"ids": ["0", "2"], "times": 3, "text": "rain"},
        {"ids": ["1", "5"], "times": 2, "text": "wind"},
    ]
    assert duplicates(texts("rain", "Rain", "rain ")) is None


def test_only_some_examples_are_given() -> None:
    finding = duplicates(texts(*[str(n // 2) for n in range(40)]))
    assert finding is not None
    assert (finding.count, len(finding.examples)) == (20, EXAMPLES)
    assert finding.examples[0]["ids"] == ["0", "1"]


@given(st.lists(st.sampled_from("abcd"), min_size=1))
def test_duplicates_are_all_but_the_first_of_each(values: list[str]) -> None:
    finding = duplicates(texts(*values))
    assert (finding.count if finding else 0) == len(values) - len(set(values))


def test_repeated_files_are_found_by_their_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2), ("c", 1), ("d", 2), ("e", 3)):
        put(tmp_path / f"set/{name}.png", image_bytes(seed))
    finding = duplicates(scanned(tmp_path / "set"))
    assert finding is not None
    assert (finding.count, finding.total) == (2, 5)
    assert [example["ids"] for example in finding.examples] == [
        ["a.png", "c.png"],
        ["b.png", "d.png"],
    ]
    items = [Item(str(n), "image", image_bytes(n % 2)) for n in range(3)]
    assert duplicates(ListCorpus("x", "image", items)).count == 1  # type: ignore[union-attr]


def test_bare_ids_are_never_duplicates() -> None:
    assert duplicates(IdCorpus("x", "image", ["a", "b", "c"])) is None


def test_captions_of_an_evaluation_set_are_found() -> None:
    corpus = texts("A dog barks.", "rain", "a  DOG barks!", "wind", "...")
    evaluated = {
        "audiocaps": [("ac/0", "a dog barks"), ("ac/1", "hail")],
        "clotho": [("cl/0", "Wind"), ("cl/1", "A dog barks"), ("cl/2", "!!!")],
        "coco": [("co/0", "snow")],
    }
    findings = {finding.task: finding for finding in leakage(corpus, evaluated)}
    assert list(findings) == ["audiocaps", "clotho"]
    assert (findings["audiocaps"].count, findings["clotho"].count) == (2, 3)
    assert findings["audiocaps"].total == 5
    assert findings["audiocaps"].examples[0] == {
        "id": "0",
        "caption": "ac/0",
        "text": "A dog barks.",
    }
    assert "2 of 5 texts are captions of audiocaps" in findings["audiocaps"].message
    assert leakage(texts("something else"), evaluated) == []


def test_progress_of_comparing_is_reported() -> None:
    reports: list[tuple[str, int, int]] = []
    leakage(texts("rain", "wind"), {}, on_progress=lambda *report: reports.append(report))
    assert reports == [("texts for leaks", 0, 2), ("texts for leaks", 2, 2)]


def test_items_without_text_do_not_leak() -> None:
    assert leakage(IdCorpus("x", "text", ["a dog"]), {"coco": [("0", "a dog")]}) == []


def test_what_cannot_be_used_is_a_finding(tmp_path: Path) -> None:
    put(tmp_path / "set/a.png", image_bytes())
    put(tmp_path / "set/b.png", b"")
    corpus = scanned(tmp_path / "set")
    finding = undecodable(corpus.name, corpus.skipped, corpus.notices[0])
    assert finding is not None
    assert (finding.kind, finding.count, finding.total) == ("undecodable", 1, 2)
    assert (finding.corpus, finding.message) == (corpus.name, corpus.notices[0])
    assert finding.examples[0]["id"] == "b.png"
    assert Path(finding.listed).is_file()
    (tmp_path / "set/b.png").unlink()
    assert undecodable(corpus.name, scanned(tmp_path / "set").skipped, "") is None


def test_findings_are_json() -> None:
    (finding,) = leakage(texts("rain"), {"coco": [("0", "rain")]})
    record = json.loads(json.dumps(finding.to_json()))
    assert record["kind"] == "leakage"
    assert record["examples"] == [{"id": "0", "caption": "0", "text": "rain"}]
