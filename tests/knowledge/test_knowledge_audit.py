import itertools
import json

import pytest
from knowledge_rows import METADATA, ROWS

from reactions.knowledge.audit import check_knowledge
from reactions.knowledge.base import Description, KnowledgeTable
from reactions.knowledge.checks import words_of


def base(*texts, category="dog"):
    return [Description(f"{category}/{i}", category, text, "LLM") for i, text in enumerate(texts)]


def report(*rows, **options):
    return check_knowledge(KnowledgeTable("kb", rows), **{"least_rows": 1, **options})


def findings(checked):
    return {finding.kind: (finding.count, finding.total) for finding in checked.findings}


def test_nothing_is_wrong():
    checked = report(*base("a dog", "dogs run"), *base("a cat", category="cat"))
    assert (checked.findings, checked.n_rows) == ((), 3)


def test_all_that_can_be_wrong():
    rows = (
        *base("a dog", "A dog!", "", "a cat", "x " * 80),
        *base("a dog", category="cat"),
        Description("y", "dog", "z", "MLLM", "image"),
        Description("z", "dog", "z", "MLLM", "image"),
        Description("z", "dog", "z", "MLLM", "image"),
    )
    checked = report(*rows, least_rows=2)
    assert findings(checked) == {
        "blank": (1, 9),
        "too long": (1, 9),
        "duplicates": (2, 9),
        "names another": (2, 5),
        "few rows": (1, 2),
        "several categories": (1, 3),
        "shared by items": (1, 1),
    }
    by_kind = {finding.kind: finding for finding in checked.findings}
    assert by_kind["few rows"].examples == ({"category": "cat", "rows": 1},)
    assert by_kind["names another"].examples[0]["names"] == ["cat"]
    assert by_kind["too long"].examples[0]["tokens"] == 82
    assert [f.kind for f in checked.findings if not f.is_fault] == ["shared by items"]
    assert len(checked.faults) == 6
    json.dumps(checked.to_json())


def test_a_base_of_items_alone_lacks_no_descriptions_of_categories():
    rows = [Description(str(i), "dog", f"dog {i}", "MLLM", "image") for i in range(3)]
    assert report(*rows, least_rows=50).findings == ()


def test_a_limit_of_ones_own():
    assert findings(report(*base("a dog runs"), token_limit=4)) == {"too long": (1, 1)}


def test_names_of_a_category_are_no_descriptions():
    rows = (*base("a hound"), Description("n", "dog", "hound", "label"), *base("x", category="cat"))
    assert report(*rows).findings == ()
    rows = (*rows, *base("a hound sleeps", category="cat"))
    assert findings(report(*rows)) == {"names another": (1, 3)}


def test_only_some_categories():
    rows = (*base("a dog and a cat"), *base("a cat", category="cat"))
    assert findings(report(*rows)) == {"names another": (1, 2)}
    checked = report(*rows, categories=["dog"])
    assert (checked.n_rows, checked.findings) == (1, ())


def test_classes_that_are_missing_or_spelled_otherwise():
    rows = (*base("x", category="water_snake"), *base("y", category="dog"))
    checked = report(*rows, categories=["Water Snake", "fox", "fox"])
    assert checked.n_rows == 1
    assert findings(checked) == {"missing": (1, 2)}
    assert checked.findings[0].examples == ({"category": "fox"},)


def test_length_and_diversity():
    categories, audio, image = check_knowledge(KnowledgeTable("pets", ROWS, METADATA)).texts
    assert (categories.what, categories.n, categories.groups) == ("categories", 3, 2)
    assert (audio.what, audio.n, audio.groups, audio.overlap) == ("audio", 1, 1, 0.0)
    assert (image.what, image.n, image.groups) == ("image", 2, 1)
    assert categories.max_tokens == 7
    assert categories.mean_tokens == pytest.approx((7 + 5 + 7) / 3, abs=0.05)


def test_overlap_is_the_mean_cosine_of_word_sets():
    texts = ["a dog runs", "a dog sleeps here", "b", "dog dog a"]
    (statistics,) = report(*base(*texts)).texts
    sets = [set(words_of(text)) for text in texts]
    cosines = [len(a & b) / (len(a) * len(b)) ** 0.5 for a, b in itertools.combinations(sets, 2)]
    assert statistics.overlap == pytest.approx(sum(cosines) / len(cosines), abs=1e-3)
    assert statistics.distinct_1 == pytest.approx(6 / 11, abs=1e-3)
    assert statistics.distinct_2 == pytest.approx(6 / 7, abs=1e-3)


def test_one_sentence_said_again_overlaps_fully():
    (statistics,) = report(*base("a dog", "a dog", "a dog")).texts
    assert statistics.overlap == 1.0


def test_progress_ends_with_the_last_row(monkeypatch):
    from reactions.knowledge import audit

    monkeypatch.setattr(audit, "_PROGRESS_ROWS", 2)
    reports = []
    rows = base("a", "b", "c", "d", "e")
    report(*rows, on_progress=lambda what, done, total: reports.append((what, done, total)))
    assert reports == [("knowledge base kb", n, 5) for n in (2, 4, 5)]
