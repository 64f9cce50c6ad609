"""Files that are made of answers, from the first question to the file that is opened."""

import json

import pytest
from fake_generators import FakeGenerator, numbered

from reactions.core.errors import DataError
from reactions.knowledge.files import open_knowledge
from reactions.knowledge.generation import make
from reactions.knowledge.generation.jobs import category_job
from reactions.knowledge.generation.make import begin
from reactions.knowledge.generation.prompts import choose_prompts
from reactions.knowledge.generation.settings import Bounds

PROMPTS = choose_prompts("", [], None, for_items=False)
FORMS = {
    "numbered": numbered,
    "bulleted": lambda rows: "\n".join(f"- {row}" for row in rows),
    "quoted": lambda rows: "\n".join(f'"{row}"' for row in rows),
    "one line": lambda rows: " ".join(f"{i}. {row}" for i, row in enumerate(rows, start=1)),
    "lines": "\n".join,
    "sentences": " ".join,
    "JSON": json.dumps,
}


def rows_of(question):
    return [
        f"The {question.category} has {question.number} and {i} spots."
        for i in range(question.count)
    ]


def making(path, form, classes=("dog", "cat")):
    generator = FakeGenerator(lambda question, before: FORMS[form](rows_of(question)))
    job = category_job("pets", classes, generator, PROMPTS, per_class=6, batch=3)
    return begin(job, generator, path, Bounds(concurrency=1))


@pytest.mark.parametrize("form", FORMS)
def test_what_is_made_of_any_form_of_list_can_be_opened(form, tmp_path):
    result = making(tmp_path / "x.parquet", form).run()
    assert result.is_complete
    opened = open_knowledge(result.path)
    assert (opened.categories, len(opened)) == (("dog", "cat"), 12)
    assert opened.metadata.dropped == {}


def test_answers_are_kept_where_the_file_cannot_be_read(tmp_path, monkeypatch):
    def refuse(path):
        raise DataError(f"cannot read '{path}'")

    run = making(tmp_path / "x.parquet", "numbered")
    monkeypatch.setattr(make, "open_knowledge", refuse)
    with pytest.raises(DataError, match="cannot read"):
        run.run()
    assert run.journal.path.exists()


def test_rows_of_classes_of_one_name_have_ids_of_their_own(tmp_path):
    result = making(tmp_path / "x.parquet", "numbered", ("crane", "dog", "crane")).run()
    ids = [row.id for row in result.table.rows()]
    assert len(ids) == len(set(ids)) == 12
