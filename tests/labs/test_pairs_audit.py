"""``data list`` and ``data check`` on pairs, and what ``react`` is told of leaks."""

import pytest
from lab_files import load
from media_files import image_bytes, put, sound_bytes
from video_files import video_bytes

from reactions.labs.inventory import audit, inventory
from reactions.labs.lab_file import load_lab
from reactions.labs.pairs_audit import audit_pairs, leaked_pairs

pytestmark = pytest.mark.usefixtures("own_folder")

PAIRS = '[pairs.mine]\npath = "pairs.csv"\naudio = "wav"\nimage = "jpg"\nmax_bad = 0.5\n'
BIRDS = """
[tasks.birds]
kind = "retrieval"
path = "birds.csv"
audio = "file"
text = "caption"
"""


@pytest.fixture(autouse=True)
def media(tmp_path):
    for i in range(6):
        put(tmp_path / "sounds" / f"s{i}.wav", sound_bytes(i))
        put(tmp_path / "stills" / f"p{i}.png", image_bytes(i))
    lines = [f"sounds/s{i}.wav,stills/p{i}.png\n" for i in range(6)]
    put(tmp_path / "pairs.csv", "wav,jpg\n" + "".join(lines))
    return tmp_path


def findings(text, kind):
    return [finding for finding in audit_pairs(load(text)) if finding.kind == kind]


def leaks(text):
    lab = load(text)
    messages = [f.message for f in audit_pairs(lab) if f.kind == "leakage"]
    lines = leaked_pairs(lab, lab.pairs_of(*lab.pairs["mine"].modalities))
    assert [line for line in lines if "not compared" not in line] == [
        f"{lab.name} pairs mine: {message}" for message in messages
    ]
    return messages


# --- counted ---


def test_pairs_are_counted(media):
    (media / "stills" / "p1.png").unlink()
    lab = load(PAIRS + 'skip = ["sounds/s5.wav"]\ndefault = true\n')
    (entry,) = (entry for entry in inventory(lab) if entry.kind == "pairs")
    assert (entry.name, entry.title) == ("mine", "audio & image, the default")
    assert (entry.found, entry.expected, entry.bad, entry.skipped) == (4, 6, 1, 1)
    assert entry.size_bytes == sum(
        path.stat().st_size for path in media.rglob("*.*") if path.suffix in (".wav", ".png")
    )


def test_what_cannot_be_used_is_counted(media):
    for i in range(1, 5):
        (media / "stills" / f"p{i}.png").unlink()
    lab = load(PAIRS + 'skip = ["sounds/s5.wav"]\n')
    (entry,) = (entry for entry in inventory(lab) if entry.kind == "pairs")
    assert "4 of 6 pairs cannot be used: [pairs.mine]" in entry.problem
    assert (entry.found, entry.expected, entry.bad, entry.skipped) == (1, 6, 4, 1)
    lab = load('[corpora.image]\npath = "stills"\n')
    put(media / "stills" / "p0.png", b"no picture")
    (entry,) = (e for e in inventory(lab) if (e.kind, e.name) == ("corpus", "image"))
    assert (entry.found, entry.expected, entry.bad) == (1, 2, 1)


def test_the_mini_labs_pairs_are_counted():
    entries = {e.name: e for e in inventory(load_lab("mini")) if e.kind == "pairs"}
    assert {name: (e.found, e.expected) for name, e in entries.items()} == {
        "scenes": (24_000, 24_000),
        "fresh": (24_000, 24_000),
    }
    assert audit_pairs(load_lab("mini")) == []


def test_pairs_that_cannot_be_opened_are_listed(media):
    (media / "pairs.csv").unlink()
    lab = load(PAIRS)
    (entry,) = (entry for entry in inventory(lab) if entry.kind == "pairs")
    assert "pairs.csv" in entry.problem
    (finding,) = (f for f in audit(lab) if f.corpus.endswith("pairs mine"))
    assert finding.kind == "unusable"


# --- left out and repeated ---


def test_what_is_left_out(media):
    (media / "stills" / "p1.png").unlink()
    (finding,) = findings(PAIRS, "undecodable")
    assert (finding.count, finding.total) == (1, 6)
    assert finding.examples[0]["id"] == "sounds/s1.wav"
    assert "its image: there is no file" in finding.examples[0]["why"]


def test_pairs_that_repeat(media):
    assert findings(PAIRS, "duplicates") == []
    # One half alone may come again.
    put(media / "sounds" / "s1.wav", sound_bytes(0))
    assert findings(PAIRS, "duplicates") == []
    put(media / "stills" / "p1.png", image_bytes(0))
    (finding,) = findings(PAIRS, "duplicates")
    assert (finding.count, finding.total) == (1, 6)
    assert finding.examples == ({"ids": ["sounds/s0.wav", "sounds/s1.wav"]},)


def test_videos_that_repeat(media):
    pytest.importorskip("av")
    data = video_bytes(seconds=1, pictures="mpeg4")
    for name in ("a.mp4", "b.mp4"):
        put(media / "videos" / name, data)
    put(media / "videos" / "c.jpg", "x")
    text = '[pairs.mine]\nvideo = "videos"\n'
    (finding,) = findings(text, "duplicates")
    assert finding.count == 1
    (others,) = findings(text, "others")
    assert others.count == 1


# --- leaks ---


def test_sounds_of_an_evaluation_set(media):
    put(media / "elsewhere" / "x.wav", sound_bytes(2))
    put(media / "birds.csv", "file,caption\nelsewhere/x.wav,a song\nsounds/s4.wav,a call\n")
    (message,) = leaks(PAIRS + BIRDS)
    assert message == "2 of 6 pairs are in birds, which is also evaluated: 2 audio by content"


def test_pictures_of_a_classification(media):
    for i in (1, 3):
        put(media / "animals" / "cat" / f"{i}.png", image_bytes(i))
    put(media / "animals" / "dog" / "9.png", image_bytes(9))
    text = PAIRS + '[tasks.animals]\nkind = "classification"\nimage = "animals"\n'
    (message,) = leaks(text)
    assert message == "2 of 6 pairs are in animals, which is also evaluated: 2 image by content"


def test_nothing_leaks(media):
    put(media / "elsewhere" / "x.wav", sound_bytes(20))
    put(media / "birds.csv", "file,caption\nelsewhere/x.wav,a song\n")
    assert leaks(PAIRS + BIRDS) == []


def test_names_tell_where_contents_do_not(media):
    # A clip of one recording, encoded anew.
    put(media / "sounds" / "q7Xb_Zr0-4E.wav", sound_bytes(30))
    put(media / "elsewhere" / "q7Xb_Zr0-4E.flac", sound_bytes(31, "FLAC"))
    put(media / "pairs.csv", "wav,jpg\nsounds/q7Xb_Zr0-4E.wav,stills/p0.png\n")
    put(media / "birds.csv", "file,caption\nelsewhere/q7Xb_Zr0-4E.flac,a song\n")
    (message,) = leaks(PAIRS + BIRDS)
    assert message == "1 of 1 pairs are in birds, which is also evaluated: 1 by name"


def test_common_names_tell_nothing(media):
    for name in ("00000017", "short"):
        put(media / "sounds" / f"{name}.wav", sound_bytes(40))
        put(media / "elsewhere" / f"{name}.wav", sound_bytes(41))
    put(
        media / "pairs.csv",
        "wav,jpg\nsounds/00000017.wav,stills/p0.png\nsounds/short.wav,stills/p1.png\n",
    )
    put(media / "birds.csv", "file,caption\nelsewhere/00000017.wav,a\nelsewhere/short.wav,b\n")
    assert leaks(PAIRS + BIRDS) == []


def test_videos_are_compared_by_name_alone(media):
    pytest.importorskip("av")
    put(media / "videos" / "q7Xb_Zr0-4E.mp4", video_bytes(seconds=1, pictures="mpeg4"))
    put(media / "elsewhere" / "q7Xb_Zr0-4E.wav", sound_bytes(31))
    put(media / "birds.csv", "file,caption\nelsewhere/q7Xb_Zr0-4E.wav,a song\n")
    text = '[pairs.mine]\nvideo = "videos"\n' + BIRDS
    (message,) = leaks(text)
    assert message.endswith(": 1 by name")
    unchecked = [finding.message for finding in findings(text, "unchecked")]
    assert any("birds: clips of videos are not files" in message for message in unchecked)


def test_captions_of_pairs_are_compared_with_captions(media):
    put(media / "pairs.csv", "wav,jpg\nsounds/s0.wav,A dog barks!\nsounds/s1.wav,rain\n")
    put(media / "elsewhere" / "x.wav", sound_bytes(20))
    put(media / "birds.csv", "file,caption\nelsewhere/x.wav,a dog barks\n")
    (message,) = leaks(PAIRS.replace("image =", "text =") + BIRDS)
    assert "1 of 2 texts are captions of birds" in message


def test_sets_that_are_not_there_are_named():
    (finding,) = findings(PAIRS, "unchecked")
    assert "vggss" in finding.message
    assert "they are not there" in finding.message


def test_real_pairs_are_not_compared_with_a_made_up_world():
    assert leaks("[lab]\nworld_tasks = true\n" + PAIRS) == []
