"""A lab of two folders of embeddings, whose held-out ids are an evaluation set."""

from dataclasses import dataclass, field, fields

import numpy as np
from twin_folders import ids, is_held, twins, write_space

from reactions.data.corpora import IdCorpus
from reactions.eval.task_data import RetrievalData
from reactions.labs.lab import Lab
from reactions.labs.lab_file import load_lab
from reactions.session import Session

N, SHARE = 400, 0.25
HELD = np.array([is_held(id, 0, SHARE) for id in ids(N)])
TEXT = """
[spaces.A]
path = "a"
{extra}
[spaces.B]
path = "b"
{extra}
[reaction]
hidden_dim = 32
batch_size = 64
dr_epochs = 3
cr_epochs = 3
holdout = 0.25
dtype = "float32"
"""


@dataclass(frozen=True, kw_only=True)
class TwinLab(Lab):
    """A lab whose one evaluation set, called coco, is what is held back from training."""

    scored: RetrievalData = field(repr=False, default=None)

    def benchmark(self, task):
        return self.scored


def twin_session(folder, *, extra="", seed=None, **world):
    """Write the folders and open the lab.

    Returns:
        The session, and modality to (N, d) rows of each folder.
    """
    spaces = twins(N, **{"noise": (1.8, 1.4), "means": 0.6, **world})
    if not (folder / "molspace.toml").exists():
        for name, embeddings in zip(("a", "b"), spaces, strict=True):
            write_space(folder / name, embeddings, ids(N))
        (folder / "molspace.toml").write_text(TEXT.format(extra=extra), encoding="utf-8")
    lab = load_lab(str(folder / "molspace.toml"), seed=seed)
    held_ids = [id for id, is_out in zip(ids(N), HELD, strict=True) if is_out]
    data = RetrievalData(
        IdCorpus("held images", "image", held_ids),
        IdCorpus("held texts", "text", held_ids),
        np.arange(len(held_ids)),
    )
    lab_fields = {entry.name: getattr(lab, entry.name) for entry in fields(Lab) if entry.init}
    return Session(TwinLab(**lab_fields, scored=data), device="cpu"), spaces
