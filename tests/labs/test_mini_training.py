import dataclasses
import json
import tomllib
from pathlib import Path

import pytest
import torch

from reactions import labs as lab_files
from reactions.core.errors import DataError, UsageError
from reactions.core.hashing import file_digest
from reactions.core.types import Item
from reactions.encoders.mini import SHIPPED, Towers
from reactions.encoders.registry import load
from reactions.labs.lab_file import load_lab
from reactions.labs.mini import training
from reactions.labs.mini.recipes import RECIPES, EncoderRecipe, Stage, chosen_recipes
from reactions.labs.mini.sentences import Style
from reactions.labs.mini.spaces import space_sections
from reactions.labs.mini.training_inputs import flops_per_item
from reactions.labs.mini.world import SceneStream
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

TINY_TOWER = EncoderRecipe(
    dim=8,
    shape={"thermal": (4, 8)},
    musical_percent=50,
    stages=(Stage("image", "thermal", 40, 2, freeze=True, batch_size=16),),
    base="ImageBind",
)


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
    scenes = SceneStream("learn").scenes(0, 64)
    recipe = TINY["three"]
    losses = []
    for epochs in (1, 15):
        torch.manual_seed(0)
        towers = Towers(recipe.dim, recipe.shape)
        stage = Stage("image", "text", 64, epochs, (Style("sight", 0, 0, 0),), batch_size=32)
        losses.append(training._train_stage(towers, recipe, stage, scenes, lambda epoch: None))
    assert losses[1] < losses[0] - 0.1


def test_frozen_side_does_not_move():
    scenes = SceneStream("frozen").scenes(0, 32)
    torch.manual_seed(0)
    towers = Towers(8, TINY["three"].shape)
    before = {k: v.clone() for k, v in towers.state_dict().items()}
    stage = Stage("image", "audio", 32, 1, freeze=True, batch_size=16)
    training._train_stage(towers, TINY["three"], stage, scenes, lambda epoch: None)
    after = towers.state_dict()
    moved = {key.split(".")[1] for key in before if not torch.equal(before[key], after[key])}
    assert moved == {"audio"}


def test_flops_are_counted_from_shapes():
    flops = flops_per_item(Towers(8, {"image": (4, 8), "text": (4, 6)}))
    # 5x5 over 3 channels at 16 x 16, 3x3 over 4 at 8 x 8, head of 16 to 8.
    assert flops["image"] == 2 * (4 * 75 * 256 + 8 * 36 * 64 + 16 * 8)
    assert flops["text"] == 2 * (8 * 6 + 6 * 8)


def test_recipes_are_the_four_stand_ins_and_towers_bound_to_their_images():
    dims = {name: recipe.dim for name, recipe in RECIPES.items() if not recipe.base}
    assert dims == {"ImageBind": 128, "InternVL": 96, "CLAP_g": 64, "CLAP_m": 64}
    for name, recipe in RECIPES.items():
        if recipe.base:
            (modality,) = recipe.shape
            assert (name, recipe.dim) == (f"{recipe.base}-{modality}", dims[recipe.base])
            assert [(s.left, s.right, s.freeze) for s in recipe.stages] == [
                ("image", modality, True)
            ]
    # ImageBind hears only through frozen images: its audio-text alignment is emergent.
    assert [(s.left, s.right, s.freeze) for s in RECIPES["ImageBind"].stages] == [
        ("image", "text", False),
        ("image", "audio", True),
    ]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_no_space_sees_evaluation_scenes(name):
    recipe = RECIPES[name]
    streams = {
        SceneStream(f"train-{name}-{i}", 0, recipe.musical_percent)
        for i in range(len(recipe.stages))
    }
    assert all(stream.split.startswith("train-") for stream in streams)


@pytest.fixture
def bound(tmp_path):
    """A folder with a tiny ImageBind and a tower that is bound to its images."""
    recipes = {"ImageBind": TINY["three"], "ImageBind-thermal": TINY_TOWER}
    training.train(tmp_path, recipes=recipes)
    return tmp_path


class TestTowersInFilesOfTheirOwn:
    def test_they_are_recorded_with_what_they_are_bound_to(self, bound):
        record = training.read_record(bound / "spaces.json")["spaces"]
        assert record["ImageBind-thermal"]["bound_to"] == record["ImageBind"]["sha256"]
        assert record["ImageBind-thermal"]["modalities"] == ["thermal"]
        towers = Towers.open(bound / "ImageBind-thermal.safetensors")
        assert (towers.dim, dict(towers.shape)) == (8, {"thermal": (4, 8)})

    def test_the_base_is_not_trained_and_its_entry_stays(self, bound):
        before = file_digest(bound / "ImageBind.safetensors")
        record = (bound / "spaces.json").read_text()
        training.train(bound, recipes={"ImageBind-thermal": TINY_TOWER})
        assert file_digest(bound / "ImageBind.safetensors") == before
        assert (
            training.read_record(bound / "spaces.json")["spaces"]["ImageBind"]
            == (json.loads(record)["spaces"]["ImageBind"])
        )

    def test_a_base_that_is_not_there_is_the_shipped_one(self, tmp_path):
        tower = dataclasses.replace(TINY_TOWER, dim=128)
        training.train(tmp_path, seed=3, recipes={"ImageBind-thermal": tower})
        shipped = load_lab("mini").catalogue.by_name("ImageBind").weights_digest
        assert file_digest(tmp_path / "ImageBind.safetensors") == shipped
        lab = load_lab(str(write_lab_file(tmp_path)))
        assert "seed 0" in lab.catalogue.by_name("ImageBind").revision
        assert "thermal" in lab.catalogue.by_name("ImageBind").modalities
        assert "depth" not in lab.catalogue.by_name("ImageBind").modalities

    def test_towers_must_not_outlive_the_images_they_are_bound_to(self, bound):
        with pytest.raises(DataError, match="bound to the images") as caught:
            training.train(bound, recipes={"ImageBind": TINY["three"]})
        assert "--spaces ImageBind,ImageBind-thermal" in caught.value.fix

    def test_another_worlds_record_is_refused(self, bound):
        record = json.loads((bound / "spaces.json").read_text())
        (bound / "spaces.json").write_text(json.dumps({**record, "world": "mini-world-0"}))
        with pytest.raises(DataError, match="trained before") as caught:
            training.train(bound, recipes=TINY)
        assert "mini-world-0" in caught.value.why

    @pytest.mark.parametrize("modality", ["depth", "event", "point"])
    def test_every_sense_can_be_trained(self, tmp_path, modality):
        stage = Stage("image", modality, 40, 1, freeze=True, batch_size=16)
        tower = EncoderRecipe(128, {modality: (4, 8)}, 50, (stage,), base="ImageBind")
        record = json.loads(training.train(tmp_path, recipes={"x": tower}).read_text())
        assert record["spaces"]["x"]["final_loss_nats"][0] > 0
        assert record["spaces"]["x"]["flops_per_item"][modality] > 0


class TestChoosing:
    def test_all_of_them_in_their_order(self):
        assert list(chosen_recipes("")) == list(RECIPES)

    def test_some(self):
        assert list(chosen_recipes("InternVL-point, CLAP_g")) == ["CLAP_g", "InternVL-point"]

    def test_unknown(self):
        with pytest.raises(UsageError, match="trains no 'PointBnd'"):
            chosen_recipes("PointBnd")


def test_the_lab_file_opens_the_trained_encoders(tmp_path):
    sound_stage = Stage("audio", "text", 40, 1, (Style("sound"),), batch_size=16)
    clap = EncoderRecipe(
        8, {"audio": (4, 8), "text": (4, 6)}, musical_percent=30, stages=(sound_stage,)
    )
    training.train(tmp_path, recipes={"ImageBind": TINY["three"], "CLAP_g": clap})
    lab = load_lab(str(write_lab_file(tmp_path)))
    assert lab.label == "mini (retrained)"
    assert lab.catalogue.by_name("ImageBind").hub == "image"
    assert lab.catalogue.by_name("CLAP_g").source == str(tmp_path / "CLAP_g.safetensors")
    encoder = load(lab.catalogue.by_name("CLAP_g"))
    assert encoder.embed("text", [Item("a", "text", "a low hum")]).shape == (1, encoder.spec.dim)
    shipped = load_lab("mini").catalogue
    for spec in lab.catalogue:  # all that shapes keys but the weights is as shipped
        preprocessing = dict(shipped.by_name(spec.name).preprocessing)
        assert dict(spec.preprocessing) == {m: preprocessing[m] for m in spec.modalities}


class TestShippedRecord:
    record = training.read_record(SHIPPED / "spaces.json")["spaces"]

    def test_it_is_of_the_files_that_lie_beside_it(self):
        for name, facts in self.record.items():
            assert facts["sha256"] == file_digest(SHIPPED / f"{name}.safetensors")
            assert Towers.open(SHIPPED / f"{name}.safetensors").dim == facts["dim"]
        assert set(self.record) == {path.stem for path in SHIPPED.glob("*.safetensors")}

    def test_it_is_of_the_recipes(self):
        assert list(self.record) == list(RECIPES)
        for name, recipe in RECIPES.items():
            facts = self.record[name]
            assert facts["scenes"] == [stage.scenes for stage in recipe.stages]
            assert facts["epochs"] == [stage.epochs for stage in recipe.stages]
            towers = Towers.open(SHIPPED / f"{name}.safetensors")
            assert towers.shape == {m: tuple(sizes) for m, sizes in recipe.shape.items()}
            assert facts["flops_per_item"] == flops_per_item(towers)
            if recipe.base:
                assert facts["bound_to"] == self.record[recipe.base]["sha256"]

    def test_the_mini_labs_file_describes_it(self):
        path = Path(lab_files.__file__).parent / "mini.toml"
        page = path.read_text(encoding="utf-8")
        sections = space_sections(self.record, dict.fromkeys(self.record, "mini-1"))
        assert tomllib.loads(page)["spaces"] == tomllib.loads("\n".join(sections))["spaces"]

    def test_all_of_it_is_small(self):
        size_bytes = sum(path.stat().st_size for path in SHIPPED.glob("*.safetensors"))
        assert size_bytes < 6_000_000  # a wheel carries it
