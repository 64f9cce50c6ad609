import json

import pytest
import torch

from reactions.core.hashing import file_digest
from reactions.core.types import Item
from reactions.encoders.mini import Towers
from reactions.encoders.registry import load
from reactions.labs.lab_file import load_lab
from reactions.labs.mini import training
from reactions.labs.mini.sentences import Style
from reactions.labs.mini.training import EncoderRecipe, Stage
from reactions.labs.mini.write_lab_file import write_lab_file

TINY = {
    "three": EncoderRecipe(
        dim=8,
        shape={"audio": (4, 8), "image": (4, 8), "text": (4, 6)},
        musical_percent=50,
        stages=(
            Stage("image", "text", 40, 2, (Style("sight"),), batch_size=16),
            Stage("image", "audio", 40, 1, freeze=True, batch_size=16),
        ),
    ),
}


def test_smoke(tmp_path):
    lines = []
    summary = training.train(
        tmp_path / "new", recipes=TINY, progress=lambda *on_progress: lines.append(on_progress)
    )
    record = json.loads(summary.read_text())["spaces"]["three"]
    path = tmp_path / "new" / "three.safetensors"
    assert record["sha256"] == file_digest(path)
    assert record["modalities"] == ["audio", "image", "text"]
    assert lines == [("three", i, 3) for i in (0, 1, 2, 3)]
    assert all(loss > 0 for loss in record["final_loss_nats"])
    assert Towers.open(path).dim == 8


def test_same_seed_same_weights_other_seed_others(tmp_path):
    digests = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        training.train(tmp_path / name, seed=seed, recipes=TINY)
        digests.append(file_digest(tmp_path / name / "three.safetensors"))
    assert digests[0] == digests[1] != digests[2]


def test_training_leaves_the_callers_random_state_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    training.train(tmp_path, recipes=TINY)
    assert torch.rand(1) == expected


def test_it_learns():
    scenes = training.SceneStream("learn").scenes(0, 64)
    recipe = TINY["three"]
    losses = []
    for epochs in (1, 15):
        torch.manual_seed(0)
        towers = Towers(recipe.dim, recipe.shape)
        stage = Stage("image", "text", 64, epochs, (Style("sight", 0, 0, 0),), batch_size=32)
        losses.append(training._train_stage(towers, recipe, stage, scenes, lambda epoch: None))
    assert losses[1] < losses[0] - 0.1


def test_frozen_side_does_not_move():
    scenes = training.SceneStream("frozen").scenes(0, 32)
    torch.manual_seed(0)
    towers = Towers(8, TINY["three"].shape)
    before = {k: v.clone() for k, v in towers.state_dict().items()}
    stage = Stage("image", "audio", 32, 1, freeze=True, batch_size=16)
    training._train_stage(towers, TINY["three"], stage, scenes, lambda epoch: None)
    after = towers.state_dict()
    moved = {key.split(".")[1] for key in before if not torch.equal(before[key], after[key])}
    assert moved == {"audio"}


def test_flops_are_counted_from_shapes():
    flops = training.flops_per_item(Towers(8, {"image": (4, 8), "text": (4, 6)}))
    # 5x5 over 3 channels at 16 x 16, 3x3 over 4 at 8 x 8, head of 16 to 8.
    assert flops["image"] == 2 * (4 * 75 * 256 + 8 * 36 * 64 + 16 * 8)
    assert flops["text"] == 2 * (8 * 6 + 6 * 8)


def test_recipes_are_the_four_stand_ins():
    dims = {name: recipe.dim for name, recipe in training.RECIPES.items()}
    assert dims == {"ImageBind": 128, "InternVL": 96, "CLAP_g": 64, "CLAP_m": 64}
    # ImageBind hears only through frozen images: its audio-text alignment is emergent.
    assert [(s.left, s.right, s.freeze) for s in training.RECIPES["ImageBind"].stages] == [
        ("image", "text", False),
        ("image", "audio", True),
    ]


@pytest.mark.parametrize("name", sorted(training.RECIPES))
def test_no_space_sees_evaluation_scenes(name):
    recipe = training.RECIPES[name]
    streams = {
        training.SceneStream(f"train-{name}-{i}", 0, recipe.musical_percent)
        for i in range(len(recipe.stages))
    }
    assert all(stream.split.startswith("train-") for stream in streams)


def test_the_lab_file_opens_the_trained_encoders(tmp_path):
    heard = Stage("audio", "text", 40, 1, (Style("sound"),), batch_size=16)
    clap = EncoderRecipe(8, {"audio": (4, 8), "text": (4, 6)}, musical_percent=30, stages=(heard,))
    training.train(tmp_path, recipes={"ImageBind": TINY["three"], "CLAP_g": clap})
    lab = load_lab(str(write_lab_file(tmp_path)))
    assert lab.label == "mini (retrained)"
    assert lab.catalogue.by_name("ImageBind").hub == "image"
    assert lab.catalogue.by_name("CLAP_g").source == str(tmp_path / "CLAP_g.safetensors")
    encoder = load(lab.catalogue.by_name("CLAP_g"))
    assert encoder.embed("text", [Item("a", "text", "a low hum")]).shape == (1, encoder.spec.dim)
    shipped = load_lab("mini").catalogue
    for spec in lab.catalogue:  # all that shapes keys but the weights is as shipped
        assert spec.preprocessing == shipped.by_name(spec.name).preprocessing
