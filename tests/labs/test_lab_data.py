"""Labs with data of their own: corpora, evaluation sets, counts and findings."""

import json
from dataclasses import replace
from pathlib import Path

import published_sets as published
import pytest
from media_files import image_bytes, put, put_tar, sound_bytes

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.file_digests import DigestCache
from reactions.data.audit import leakage
from reactions.data.sources.corpus import SourceCorpus
from reactions.eval.registry import all_tasks
from reactions.eval.task_data import RetrievalData
from reactions.labs import inventory as module
from reactions.labs.inventory import audit, inventory, leaks
from reactions.labs.lab_file import load_lab
from reactions.labs.mini import TASKS
from reactions.planning.planner import Planner

LAB = """
[lab]
name = "own"

[corpora.text]
path = "captions.txt"

[corpora.image]
path = "photos"
max_bad = 0.5

[[corpora.audio]]
path = "sounds-{0..1}.tar"
[[corpora.audio]]
path = "more"

[data]
root = "sets"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "molspace.toml", LAB)
    put(tmp_path / "captions.txt", "rain\nwind\nrain\nan explosion!\n")
    put(tmp_path / "photos/a.png", image_bytes(1))
    put(tmp_path / "photos/b.png", b"")
    for number in range(2):
        put_tar(tmp_path / f"sounds-{number}.tar", {f"{number}.wav": sound_bytes(number)})
    put(tmp_path / "more/x.flac", sound_bytes(9, "FLAC"))
    published.esc50(tmp_path / "sets/esc50")
    published.audiocaps(tmp_path / "sets/audiocaps")
    return tmp_path


def lab(**options):
    return load_lab(digests=DigestCache(Path("cache").absolute()), **options)


def test_corpora_of_a_lab_file(folder):
    laboratory = lab()
    text, image, audio = (laboratory.corpus(modality) for modality in ("text", "image", "audio"))
    assert [item.value for item in text.items(0, 4)] == ["rain", "wind", "rain", "an explosion!"]
    assert [item.id for item in image.items(0, 9)] == ["a.png"]
    assert [item.id for item in audio.items(0, 9)] == ["1/0", "1/1", "2/x.flac"]
    assert (text.name, len(audio)) == ("own text", 3)
    assert isinstance(image, SourceCorpus)
    assert image.skipped.n_bad == 1
    assert laboratory.corpus("depth") is None


def test_a_corpus_is_the_same_in_another_run_and_place(folder, tmp_path):
    digests = [lab().corpus(modality).digest for modality in ("text", "image", "audio")]
    assert [lab().corpus(modality).digest for modality in ("text", "image", "audio")] == digests
    assert [replace(lab(), digests=DigestCache()).corpus("image").digest] == digests[1:2]


def test_a_full_check_can_be_asked_for(folder, tmp_path):
    data = bytearray(sound_bytes(3, "FLAC", n=16_000))
    data[9_000:9_200] = bytes(200)
    put(tmp_path / "more/y.flac", bytes(data))
    laboratory = replace(lab(), corpora={"audio": lab().corpora["audio"]})
    assert inventory(laboratory)[0].bad == 0
    assert laboratory.with_check(None) is laboratory
    (holding, *_) = inventory(laboratory.with_check("full"))
    assert "1 of 2 audio items cannot be used" in holding.problem
    assert "y.flac" in holding.problem


def test_a_full_check_lasts_without_a_word_in_the_lab_file(folder, tmp_path):
    data = bytearray(sound_bytes(3, "FLAC", n=16_000))
    data[9_000:9_200] = bytes(200)
    put(tmp_path / "more/y.flac", bytes(data))
    put(tmp_path / "molspace.toml", LAB.replace('path = "more"', 'path = "more"\nmax_bad = 0.5'))
    assert len(lab().corpus("audio")) == 4
    messages = [f.message for f in audit(lab().with_check("full")) if f.corpus == "own audio"]
    assert len(messages) == 1
    corpus = lab().corpus("audio")
    assert [item.id for item in corpus.items(0, 9)] == ["1/0", "1/1", "2/x.flac"]
    assert "y.flac" in corpus.notices[0]


def test_the_paper_lab_decodes_every_file_before_it_embeds_any():
    corpora = load_lab("paper").corpora
    checks = {m: [source.check for source in corpora[m].sources] for m in ("image", "audio")}
    assert checks == {"image": ["full"], "audio": ["full"]}


def test_progress_of_scans_is_reported(folder):
    reports = []
    lab(on_progress=lambda *report: reports.append(report)).corpus("image")
    assert reports[-1] == ("photos", 2, 2)


def test_published_sets_of_a_lab_file(folder):
    laboratory = lab()
    assert len(laboratory.benchmark("esc50").queries) == 4
    with pytest.raises(MissingError, match="no data for task 'coco'") as caught:
        laboratory.benchmark("coco")
    assert "cocodataset.org" in caught.value.fix
    assert laboratory.captions("esc50") == []
    assert len(laboratory.captions("audiocaps")) == 4


def test_a_folder_that_is_asked_for(folder, tmp_path):
    published.coco(tmp_path / "elsewhere/coco")
    laboratory = lab(data=Path("elsewhere"))
    data = laboratory.benchmark("coco")
    assert isinstance(data, RetrievalData)
    assert (len(data.left), data.expected) == (2, 5000)
    assert len(laboratory.benchmark("esc50").queries) == 4  # still found where the lab says


def test_real_data_in_the_mini_lab(folder, tmp_path):
    mini = load_lab("mini", data=Path("sets"))
    assert len(mini.benchmark("esc50").queries) == 4
    assert mini.label == "mini"
    # What is asked for and not there is missing, not made up.
    with pytest.raises(MissingError, match="no data for task 'coco'"):
        mini.benchmark("coco")
    put(tmp_path / "own.toml", '[lab]\nextends = "mini"\n[data.esc50]\npath = "sets/esc50"\n')
    laboratory = load_lab("own.toml")
    assert len(laboratory.benchmark("esc50").queries) == 4
    assert len(laboratory.benchmark("imagenet").queries) > 4


def test_a_plan_over_real_files(folder):
    planner = Planner(lab())
    assert len(planner.lab.corpus("audio")) == 3


# --- counts ---


def test_an_inventory(folder):
    holdings = {(h.kind, h.name): h for h in inventory(lab())}
    assert [key for key in holdings if key[0] == "corpus"] == [
        ("corpus", "audio"),
        ("corpus", "image"),
        ("corpus", "text"),
    ]
    image = holdings["corpus", "image"]
    assert (image.found, image.expected, image.bad, image.problem) == (1, 2, 1, "")
    assert image.size_bytes == len(image_bytes(1))
    esc50 = holdings["task", "esc50"]
    assert (esc50.title, esc50.found, esc50.expected) == ("ESC-50", 4, 2000)
    assert esc50.size_bytes == 4 * len(sound_bytes())
    coco = holdings["task", "coco"]
    assert (coco.found, coco.expected) == (0, 5000)
    assert "no data for task 'coco'" in coco.problem
    assert "cocodataset.org" in coco.fix
    assert len(holdings) == 3 + len(all_tasks())
    assert json.dumps([holding.to_json() for holding in holdings.values()])


def test_an_inventory_reports_what_is_broken(folder, tmp_path):
    put(tmp_path / "captions.txt", "")
    holdings = {h.name: h for h in inventory(lab())}
    assert "no captions" in holdings["text"].problem
    assert holdings["image"].problem == ""


def test_an_inventory_of_the_mini_lab():
    holdings = inventory(load_lab("mini"))
    assert [h.found for h in holdings[:4]] == [6000, 6000, 6000, 12000]
    assert all(h.found and not h.problem and not h.size_bytes for h in holdings)
    assert len(holdings) == 4 + 2 + len(TASKS)  # corpora, pairs, sets


def test_without_data_only_corpora_are_counted(folder, tmp_path):
    put(tmp_path / "molspace.toml", LAB.replace('[data]\nroot = "sets"', ""))
    assert {h.kind for h in inventory(lab())} == {"corpus"}


# --- findings ---


def test_an_audit(folder):
    findings = audit(lab())
    assert [(f.kind, f.corpus, f.count) for f in findings] == [
        ("undecodable", "own image", 1),
        ("duplicates", "own text", 1),
        ("leakage", "own text", 1),
        ("unchecked", "own text", 0),
    ]
    assert findings[2].task == "audiocaps"
    assert findings[2].examples[0]["text"] == "an explosion!"
    assert "clotho, coco, flickr30k" in findings[3].message
    assert json.dumps([finding.to_json() for finding in findings])


def test_an_audit_needs_no_media_of_evaluation_sets(folder, tmp_path):
    for path in (tmp_path / "sets/audiocaps/audio").iterdir():
        path.unlink()
    assert [f.task for f in audit(lab()) if f.kind == "leakage"] == ["audiocaps"]


def test_an_audit_distinguishes_damaged_and_absent_captions(folder, tmp_path):
    put(tmp_path / "sets/coco/dataset_coco.json", '{"images": [')
    unchecked = [f.message for f in audit(lab()) if f.kind == "unchecked"]
    assert len(unchecked) == 2
    path = tmp_path / "sets/coco/dataset_coco.json"
    assert unchecked[0].startswith(f"not compared with the captions of coco: cannot use '{path}'")
    assert "Expecting value" in unchecked[0]
    assert unchecked[1] == (
        "not compared with the captions of clotho, flickr30k: they are not there"
    )


# --- leaks ---


@pytest.fixture
def comparisons(monkeypatch) -> list[list[str]]:
    """Which sets were compared, each time."""
    evaluated_sets = []

    def compare(corpus, evaluated, **options):
        evaluated_sets.append(list(evaluated))
        return leakage(corpus, evaluated, **options)

    monkeypatch.setattr(module, "leakage", compare)
    return evaluated_sets


def test_leaks_are_reported_and_remembered(folder, tmp_path, comparisons):
    for path in (tmp_path / "sets/audiocaps/audio").iterdir():
        path.unlink()  # captions will do
    labels = tmp_path / "sets/audiocaps/test.csv"
    put(labels, labels.read_text())
    (notice,) = leaks(lab())
    assert notice == (
        "text corpus: 1 of 4 texts are captions of audiocaps, which is also evaluated (25 %)"
    )
    assert leaks(lab()) == (notice,)
    assert comparisons == [["audiocaps"]]
    put(tmp_path / "captions.txt", "rain\nwind\nhail\n", when_s=1_600_000_001)
    assert leaks(lab()) == ()
    put(tmp_path / "captions.txt", "an explosion!\n", when_s=1_600_000_002)
    assert "1 of 1 texts" in leaks(lab())[0]
    put(labels, labels.read_text().replace("xplosion", "xtrusion"), when_s=1_600_000_003)
    assert leaks(lab()) == ()
    assert len(comparisons) == 4


def test_leaks_of_captions_that_are_damaged_or_not_there(folder, tmp_path):
    put(tmp_path / "sets/audiocaps/test.csv", "")
    (notice,) = leaks(lab())
    assert notice.startswith("text corpus: not compared with the captions of audiocaps: cannot use")
    assert "it is empty" in notice
    (tmp_path / "sets/audiocaps/test.csv").unlink()
    assert leaks(lab()) == ()


def test_worlds_are_not_looked_at_for_leaks(folder, tmp_path, comparisons):
    assert leaks(load_lab("mini")) == ()
    assert leaks(load_lab("mini", data=Path("sets"))) == ()
    without_text = {m: source for m, source in lab().corpora.items() if m != "text"}
    assert leaks(replace(lab(), corpora=without_text)) == ()
    assert comparisons == []


def test_leaks_raise_what_is_wrong_with_the_corpus(folder, tmp_path):
    put(tmp_path / "captions.txt", "")
    with pytest.raises(DataError, match="no captions"):
        leaks(lab())


def test_an_audit_says_what_is_wrong_with_a_corpus(folder, tmp_path):
    put(tmp_path / "captions.txt", "")
    (unusable,) = [finding for finding in audit(lab()) if finding.kind == "unusable"]
    assert unusable.corpus.endswith(" text")
    assert "no captions" in unusable.message


def test_an_audit_of_a_small_world():
    put(Path("molspace.toml"), '[lab]\nextends = "mini"\n[corpora.text]\nworld = 50\n')
    small = replace(load_lab(), corpora={"text": load_lab().corpora["text"]})
    assert {finding.corpus for finding in audit(small)} <= {"mini text"}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_example_lab_file_is_valid():
    lab = load_lab(str(Path(__file__).parents[2] / "examples" / "own_data.toml"))
    assert sorted(lab.corpora) == ["audio", "image", "point", "text"]
    assert len(lab.corpora["audio"].sources) == 2
    assert {
        name: pairs.modalities for name, pairs in lab.pairs.items() if pairs.places
    } == dict.fromkeys(("field", "web", "clips"), ("audio", "image"))
    assert lab.data.of("coco")[0] == Path("/data/coco")
    assert {name: own_task.task.kind for name, own_task in lab.own_tasks.items()} == {
        "birds": "retrieval",
        "stills": "retrieval",
        "animals": "classification",
    }


def test_a_misspelt_modality_is_refused_and_a_custom_one_is_not(tmp_path):
    for name, near in (("txet", "text"), ("images", "image"), ("Audio", "audio")):
        with pytest.raises(UsageError, match=rf"unknown modality '{name}'.*\n.*'{near}'"):
            lab_of(tmp_path, f'[corpora.{name}]\npath = "x"\n')
    lab_of(tmp_path, '[corpora.smell]\npath = "x"\n')


@pytest.mark.parametrize("table", ["[corpora.image]", "[corpora.text]", "[[corpora.text]]"])
def test_a_corpus_of_no_files_is_refused(tmp_path, table):
    with pytest.raises(UsageError, match=r"path is an empty list"):
        lab_of(tmp_path, f"{table}\npath = []\n")


@pytest.mark.parametrize("slip", ["urii", "pth", "adaptor"])
def test_a_misspelt_key_of_a_space_is_refused(tmp_path, slip):
    with pytest.raises(UsageError, match=rf"unknown key spaces\.X\.{slip}\n.*did you mean"):
        lab_of(tmp_path, f'[spaces.X]\n{slip} = "x"\n')


def lab_of(folder, text):
    (folder / "molspace.toml").write_text(text)
    return load_lab(str(folder))
