import numpy as np
import pytest
from lab_files import SPACE, load, refused, write

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.eval.task_data import RetrievalData
from reactions.labs import mini
from reactions.labs.lab_file import load_lab
from reactions.labs.mini.recipes import RECIPES, training_stream

pytestmark = pytest.mark.usefixtures("own_folder")

WORLD = "[pairs.scenes]\nworld = 30\n"


# --- the mini lab ---


def test_the_mini_lab_has_pairs_of_sounds_and_pictures():
    pairs = load_lab("mini").pairs_of("audio", "image")
    assert (len(pairs), pairs.modalities, pairs.notices) == (24_000, ("audio", "image"), ())
    sounds, pictures = pairs.corpus("audio"), pairs.corpus("image")
    assert (sounds.modality, pictures.modality) == ("audio", "image")
    assert len(sounds) == len(pictures) == len(pairs)
    (sound,), (picture,) = sounds.items(17, 18), pictures.items(17, 18)
    assert sound.id != picture.id
    assert (sound.value.rate_hz, picture.value.shape) == (8000, (32, 32, 3))


def test_rows_of_both_sides_are_of_one_scene():
    pairs = load_lab("mini").pairs_of("image", "audio", "fresh")
    stream = pairs.corpus("audio").stream
    assert stream == pairs.corpus("image").stream
    assert pairs.corpus("audio").n_scenes == pairs.corpus("image").n_scenes


def test_the_default_are_those_that_image_bind_was_trained_on():
    lab = load_lab("mini", seed=5)
    pairs = lab.pairs_of("audio", "image")
    # Its weights are the same for every seed of a lab, and so is what they were trained on.
    assert pairs.digest == load_lab("mini").pairs_of("audio", "image").digest
    recipe = RECIPES["ImageBind"]
    ((number, stage),) = (
        (i, stage) for i, stage in enumerate(recipe.stages) if "audio" in (stage.left, stage.right)
    )
    assert pairs.corpus("audio").stream == training_stream("ImageBind", number, 0, recipe)
    assert len(pairs) == stage.scenes


def test_fresh_pairs_are_no_scenes_of_anything_else():
    lab = load_lab("mini")
    fresh = lab.pairs_of("audio", "image", "fresh").corpus("audio").stream
    others = [lab.pairs_of("audio", "image").corpus("audio").stream]
    others += [lab.corpus(modality).stream for modality in lab.corpora]
    for task in mini.TASKS:
        data = lab.benchmark(task)
        sides = [data.left, data.right] if isinstance(data, RetrievalData) else [data.queries]
        others += [side.stream for side in sides]
        others += [other.stream for side in sides for other in side.others]
    for name, recipe in RECIPES.items():
        others += [training_stream(name, i, 0) for i in range(len(recipe.stages))]
    identities = {int(x) for other in set(others) for x in other.scenes(0, 3000).identity}
    own_identities = {int(x) for x in fresh.scenes(0, 24_000).identity}
    assert len(own_identities) == 24_000
    assert not own_identities & identities


def test_evaluation_sets_hold_none_of_the_scenes_of_training():
    lab = load_lab("mini")
    streams = {
        name: lab.pairs_of("audio", "image", name).corpus("audio").stream for name in lab.pairs
    }
    for task in mini.TASKS:
        data = lab.benchmark(task)
        sides = [data.left, data.right] if isinstance(data, RetrievalData) else [data.queries]
        for side in sides:
            identity = side.stream.scenes(0, side.n_scenes).identity
            for stream in streams.values():
                assert not np.isin(identity, stream.scenes(0, 24_000).identity).any()


def test_the_seed_decides_fresh_pairs():
    pairs, repeated, other = (
        load_lab("mini", seed=seed).pairs_of("audio", "image", "fresh") for seed in (1, 1, 2)
    )
    assert pairs.digest == repeated.digest != other.digest


def test_there_are_no_more_than_were_seen():
    lab = load(WORLD + 'seen_by = "ImageBind"\n')
    assert len(lab.pairs_of("audio", "image")) == 30
    lab = load(WORLD.replace("30", "24001") + 'seen_by = "ImageBind"\n')
    with pytest.raises(DataError, match=r"pairs\.scenes\.world is 24001\n.*saw only 24000"):
        lab.pairs_of("audio", "image")


@pytest.mark.parametrize("name", ["ImagBind", "CLAP_m"])
def test_a_space_that_saw_no_pairs(name):
    lab = load(WORLD + f'seen_by = "{name}"\n')
    with pytest.raises(DataError, match=rf"(?s)pairs\.scenes\.seen_by is '{name}'.*ImageBind"):
        lab.pairs_of("audio", "image")


def test_the_world_has_no_pairs_with_texts():
    with pytest.raises(DataError, match="have no text"):
        load(WORLD).pairs_of("audio", "image").corpus("text")


def test_pairs_of_a_world_are_a_rehearsal():
    assert load(WORLD).label.startswith("mini")
    assert "mini" not in load(SPACE).label


# --- which pairs ---


def test_the_only_pairs_are_used():
    assert len(load(WORLD).pairs_of("audio", "image")) == 30
    assert len(load(WORLD).pairs_of("image", "audio")) == 30


def test_no_pairs():
    with pytest.raises(MissingError, match=r"(?s)no pairs of audio and image.*\[pairs\.NAME\]"):
        load(SPACE).pairs_of("audio", "image")
    with pytest.raises(MissingError, match="no pairs of audio and text"):
        load(WORLD).pairs_of("audio", "text")


def test_a_typo_in_the_name_of_pairs():
    with pytest.raises(UsageError, match=r"(?s)no pairs 'scenez'.*did you mean 'scenes'"):
        load(WORLD).pairs_of("audio", "image", "scenez")
    with pytest.raises(UsageError, match=r"(?s)no pairs 'scenes'.*\[pairs\.NAME\]"):
        load(SPACE).pairs_of("audio", "image", "scenes")


def test_named_pairs_without_the_modality():
    with pytest.raises(UsageError, match=r"(?s)'scenes' are of audio and image.*audio and text"):
        load(WORLD).pairs_of("audio", "text", "scenes")


def test_several_pairs_need_a_default():
    two = WORLD + "[pairs.more]\nworld = 40\n"
    with pytest.raises(UsageError, match=r"(?s)several pairs.*scenes, more.*default = true"):
        load(two).pairs_of("audio", "image")
    assert len(load(two).pairs_of("audio", "image", "more")) == 40
    assert len(load(two + "default = true\n").pairs_of("audio", "image")) == 40


def test_one_default_only():
    two = WORLD + "default = true\n[pairs.more]\nworld = 40\ndefault = true\n"
    refused(two, r"pairs\.scenes and pairs\.more are both the default")


def test_pairs_of_ones_own_take_the_default_away_from_an_extended_lab():
    write(WORLD + "default = true\n", "base.toml")
    extends = '[lab]\nextends = "base.toml"\n'
    assert len(load(extends).pairs_of("audio", "image")) == 30
    section = extends + "[pairs.more]\nworld = 40\n"
    with pytest.raises(UsageError, match="several pairs"):
        load(section).pairs_of("audio", "image")
    assert len(load(section + "default = true\n").pairs_of("audio", "image")) == 40
    assert len(load(extends + "[pairs.scenes]\nworld = 7").pairs_of("audio", "image")) == 7


# --- mistakes ---


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[pairs.x]\nworlds = 3", r"unknown key pairs\.x\.worlds.*did you mean 'world'"),
        ("[pairs.x]\nworld = 3\nsean_by = 'x'", r"unknown key pairs\.x\.sean_by.*'seen_by'"),
        ("[pairs.x]\nworld = '3'", r"pairs\.x\.world must be a whole number, not '3'"),
        ("[pairs.x]\nworld = 3\ndefault = 1", r"pairs\.x\.default must be true or false"),
        ("[pairs.x]\nworld = 3\ntraining_seed = -1", r"pairs\.x\.training_seed is -1"),
        ("[pairs]\nx = 3", r"'pairs\.x' is not a table"),
        ("pairs = 3", "'pairs' is not a table"),
        ("[pear.x]\nworld = 3", "unknown key pear.*did you mean 'pairs'"),
    ],
)
def test_mistakes(text, words):
    refused(text, words)


def test_no_scenes():
    refused("[pairs.x]\nworld = 0", r"pairs\.x are empty \(world = 0\)", DataError)
