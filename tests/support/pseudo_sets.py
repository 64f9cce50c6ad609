"""Pseudo sets of toy spaces, and train steps that read them."""

from fakes import unit_rows
from toy_steps import make_step

from reactions.core.step import Artifact
from reactions.ops.training_settings import TrainingSettings
from reactions.steps.train import Train

BASE_DIM, EXPERT_DIM = 7, 5
SETTINGS = {
    "precision": "exact",
    "hidden_dim": 9,
    "temperature": 1 / 50,
    "learning_rate": 1e-3,
    "batch_size": 64,
    "epochs": 2,
    "seed": 0,
}
MODALITIES = (["audio", "image", "text"], ["audio", "text"])


COLUMNS = [
    (side, modality)
    for side, modalities in zip(("base", "expert"), MODALITIES, strict=True)
    for modality in modalities
]


def pseudo(anchor, n=20, seed=0):
    """The columns of a pseudo set: steps, and their artifacts."""
    seed += sum(map(ord, anchor))
    steps, artifacts = {}, {}
    for i, (side, modality) in enumerate(COLUMNS):
        dim = BASE_DIM if side == "base" else EXPERT_DIM
        params = {"seed": seed, "column": i}
        steps[side, modality] = make_step(
            "collect", f"{anchor} {i}", params, (), lambda *_: None, n_rows=n
        )
        artifacts[side, modality] = Artifact({"embeddings": unit_rows(n, dim, seed * 10 + i)})
    return steps, artifacts


def build(op="cr", anchors=("text",), modalities=MODALITIES, label="A + B", sets=None, **changes):
    sets = {**{anchor: pseudo(anchor) for anchor in ("audio", "image", "text")}, **(sets or {})}
    collected = {anchor: steps for anchor, (steps, _) in sets.items()}
    chosen = {**SETTINGS, **changes}
    options = {name: chosen.pop(name) for name in ("precision", "recipe") if name in chosen}
    step = Train(
        spaces=label,
        op=op,
        anchors=anchors,
        pseudo_sets=collected,
        dims=(BASE_DIM, EXPERT_DIM),
        modalities=modalities,
        settings=TrainingSettings(**chosen),
        **options,
    )
    inputs = {
        f"{anchor}.{side}.{modality}": artifact
        for anchor in anchors
        for (side, modality), artifact in sets[anchor][1].items()
    }
    return step, inputs


def column(inputs, anchor, name):
    return inputs[f"{anchor}.{name}"].arrays["embeddings"]
