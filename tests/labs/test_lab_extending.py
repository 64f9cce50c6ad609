import pytest
from lab_files import SPACE, load, refused, write

from reactions.core.errors import MissingError, UsageError
from reactions.core.settings import ReactionSettings
from reactions.labs.lab_file import load_lab

pytestmark = pytest.mark.usefixtures("own_folder")


# --- extending ---


def test_a_lab_extends_another():
    write(
        """
        [lab]
        seed = 3
        world_tasks = true
        [reaction]
        hidden_dim = 64
        batch_size = 32
        [factors]
        mean = "unit"
        [factors.sigma]
        audio = 0.3
        text = 0.2
        [corpora.text]
        world = 10
        [corpora.image]
        world = 20
        """
        + SPACE,
        "base.toml",
    )
    lab = load(
        """
        [lab]
        extends = "base.toml"
        [reaction]
        batch_size = 16
        [factors.sigma]
        audio = 0.9
        [corpora.text]
        world = 11
        """
        + SPACE.replace("Mine", "Other")
    )
    assert (lab.seed, lab.world_tasks) == (3, True)
    assert lab.settings == ReactionSettings(hidden_dim=64, batch_size=16)
    assert (lab.factors.of("cr", "audio"), lab.factors.of("cr", "text")) == (0.9, 0.2)
    assert lab.factors.mean == "unit"
    assert load('[lab]\nextends = "base.toml"\n[factors]\nmean = "eq10"').factors.mean == "eq10"
    assert {m: c.world_rows for m, c in lab.corpora.items()} == {"text": 11, "image": 20}
    assert lab.catalogue.names() == ("Mine", "Other")


def test_a_space_can_be_replaced():
    write(SPACE, "base.toml")
    lab = load('[lab]\nextends = "base.toml"' + SPACE.replace("12", "13"))
    assert lab.catalogue.by_name("Mine").dim == 13


def test_what_a_lab_extends_lies_beside_it(tmp_path, monkeypatch):
    write("[lab]\nseed = 5", "labs/base.toml")
    path = write('[lab]\nextends = "base.toml"', "labs/own.toml")
    assert load_lab(str(path)).seed == 5
    monkeypatch.chdir("/")
    assert load_lab(str(path.absolute() if path.is_absolute() else tmp_path / path)).seed == 5


def test_paths_of_a_base_stay_its_own(tmp_path):
    write('[corpora.text]\nmanifest = "texts.txt"', "base/molspace.toml")
    lab = load('[lab]\nextends = "base"')
    (source,) = lab.corpora["text"].sources
    assert source.manifest == tmp_path / "base" / "texts.txt"


@pytest.mark.parametrize("links", [["molspace.toml"], ["a.toml", "b.toml", "a.toml"]])
def test_labs_in_a_circle(links):
    names = ["molspace.toml", *links]
    for name, extended in zip(names, links, strict=False):
        write(f'[lab]\nextends = "{extended}"', name)
    with pytest.raises(UsageError, match="in a circle"):
        load_lab()


def test_extending_what_is_not_there():
    words = "lab.extends: no lab 'mimi'.*did you mean 'mini'"
    refused('[lab]\nextends = "mimi"', words, MissingError)
    refused("[lab]\nextends = 3", "lab.extends must be a string, not 3")


# --- labels ---


@pytest.mark.parametrize(
    ("lines", "label"),
    [
        ("", "mini (own)"),
        ('label = "my results"', "mini (my results)"),
        ('label = "minimal"', "mini (minimal)"),  # no word "mini"
        ('label = "gemini"', "mini (gemini)"),
        ('label = ""', "mini (own)"),
        ('label = "mini, my way"', "mini, my way"),
        ('label = "not just mini"', "not just mini"),
    ],
)
def test_mini_stays_in_the_label(lines, label):
    assert load(f'[lab]\nname = "own"\nextends = "mini"\n{lines}').label == label


def test_mini_stays_in_the_label_through_several_labs():
    write('[lab]\nname = "first"\nextends = "mini"', "first.toml")
    lab = load('[lab]\nname = "second"\nextends = "first.toml"\nlabel = "published"')
    assert lab.label == "mini (first) (published)"


@pytest.mark.parametrize("lines", ["[corpora.text]\nworld = 5", "[lab]\nworld_tasks = true"])
def test_the_mini_world_is_a_rehearsal_in_any_lab(lines):
    assert "mini" in load(lines).label.split()
    write('[lab]\nlabel = "published"', "base.toml")
    lab = load(f'[lab]\nextends = "base.toml"\n{lines.removeprefix("[lab]")}')
    assert lab.label.startswith("mini (published")


def test_other_labs_say_what_they_like():
    assert load('[lab]\nname = "own"\nlabel = "anything"').label == "anything"
    assert load('[lab]\nname = "own"').label == "own"
