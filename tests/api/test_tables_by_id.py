"""Tables of ids of embeddings, scored from Python."""

import numpy as np
import pytest
from embedding_folder import write
from lab_files import load

from reactions.api.tables import GivenTables
from reactions.core.errors import UsageError
from reactions.session import Session
from reactions.store import Store


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "clip", "image", np.eye(2, dtype=np.float32), ids=["x", "y"])
    (tmp_path / "pairs.csv").write_text("image_id,caption\nx,a dog\ny,a cat\n")
    lab = load('[lab]\nname = "own"\n[spaces.clip]\npath = "clip"\n')
    return Session(lab, Store("store"), "cpu")


@pytest.mark.parametrize(
    ("by_id", "named"),
    [(True, {"image", "text"}), ("image", {"image"}), (["image"], {"image"}), (False, set())],
)
def test_all_columns_hold_ids_or_those_of_some_modalities(session, by_id, named):
    columns = {} if by_id else {"image": "image_id"}
    tables = GivenTables.of("pairs.csv", None, columns, (), None, "", by_id=by_id)
    session, (task,), _ = tables.add_to(session)
    assert session.lab.own_tasks[task.name].by_id == named


def test_a_modality_that_is_mistyped_is_refused(session):
    tables = GivenTables.of("pairs.csv", None, None, (), None, "", by_id="imag")
    with pytest.raises(UsageError, match="did you mean 'image'"):
        tables.add_to(session)
