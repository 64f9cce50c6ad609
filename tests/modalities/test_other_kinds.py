"""Files of other kinds: taken, or counted and listed by kind; never left out without a word."""

import json
from pathlib import Path

import pytest
from media_files import image_bytes, put, put_tar, sound_bytes

from reactions.core.errors import DataError, MediaError, MissingError
from reactions.core.storage import Blob
from reactions.core.types import Item
from reactions.data.audit import DataFinding, others
from reactions.data.manifest import read_items
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus
from reactions.eval.media_index import MediaIndex
from reactions.labs.inventory import audit, inventory
from reactions.labs.lab_file import load_lab
from reactions.modalities.registry import load
from reactions.modalities.suffixes import count_others, describe_others


def opened(path: Path, modality: str, **options) -> SourceCorpus:
    source = Source((str(path),), **{"max_bad": 1.0, **options})
    return open_corpus("x", modality, [source], tables=TableCache(path.parent / "cache"))


def others_of(corpus: SourceCorpus) -> DataFinding | None:
    return others(corpus.name, corpus.others, corpus.modality, corpus.skipped.n_rows)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder of everything."""
    folder = tmp_path / "mixed"
    put(folder / "a.jpe", image_bytes(1, "JPEG"))
    put(folder / "b.jfif", image_bytes(2, "JPEG"))
    put(folder / "c.apng", image_bytes(3))
    put(folder / "d.wave", sound_bytes(1))
    for name in ("p.heic", "deep/q.HEIC", "r.m4a", "s.mp4", "t.webm", "u.jxl", "v.foo", "000123"):
        put(folder / name, name)
    for name in ("notes.txt", "README", "meta.json", "x.npy", ".hidden.heic", "part.tar", "y.zip"):
        put(folder / name, name)
    return folder


def test_images_of_a_mixed_folder(mixed: Path) -> None:
    for _ in range(2):  # the second time from the remembered scan
        corpus = opened(mixed, "image")
        assert [item.id for item in corpus.items(0, 9)] == ["a.jpe", "b.jfif", "c.apng"]
        assert corpus.others == {
            ".heic": 2, ".mp4": 1, ".webm": 1, ".jxl": 1, ".foo": 1, "": 1, ".tar": 1, ".zip": 1,
        }  # fmt: skip
        (notice,) = corpus.notices
        assert notice.startswith(
            "image corpus: 9 files of other kinds are left out: 2 .heic (a HEIF"
        )
        assert "convert it to PNG or JPEG" in notice
        assert "1 without an ending" in notice


def test_sounds_of_a_mixed_folder(mixed: Path) -> None:
    corpus = opened(mixed, "audio")
    assert [item.id for item in corpus.items(0, 9)] == ["d.wave"]
    assert {".mp4", ".webm", ".foo", ""} <= corpus.others.keys()
    assert not {".m4a", ".heic", ".jxl", ".jpe", ".txt", ".npy"} & corpus.others.keys()
    assert [bad.id for bad in corpus.bad()] == ["r.m4a"]  # which it is in name only
    notice = corpus.notices[-1]
    assert "1 .mp4 (video: its audio is taken where no files of audio alone" in notice


def test_what_comes_beside_later_is_counted_too(mixed: Path) -> None:
    before = opened(mixed, "image")
    put(mixed / "new.heif", b"x")
    after = opened(mixed, "image")
    assert sum(after.others.values()) == sum(before.others.values()) + 1
    assert after.digest == before.digest


def test_a_folder_that_holds_nothing_else_needs_no_word(tmp_path: Path) -> None:
    put(tmp_path / "set/a.png", image_bytes())
    for name in ("notes.txt", "LICENSE", "b.wav", "captions.csv", "x.mid"):
        put(tmp_path / "set" / name, b"x")
    corpus = opened(tmp_path / "set", "image")
    assert corpus.others == {}
    assert corpus.notices == ()
    assert others_of(corpus) is None


def test_a_finding_lists_them(mixed: Path) -> None:
    finding = others_of(opened(mixed, "audio"))
    assert finding is not None
    assert (finding.kind, finding.corpus) == ("others", "x")
    assert finding.count == sum(opened(mixed, "audio").others.values())
    assert {"ending": ".mp4", "files": 1} in finding.examples


def test_a_lab_counts_them(mixed: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text(
        f'[lab]\nextends = "mini"\n[corpora.image]\npath = "{mixed}"\n', encoding="utf-8"
    )
    opened_lab = load_lab(str(lab))
    (holding,) = [h for h in inventory(opened_lab) if h.kind == "corpus" and h.name == "image"]
    assert (holding.found, holding.others) == (3, 9)
    assert [f.count for f in audit(opened_lab) if f.kind == "others"] == [9]


@pytest.mark.parametrize(
    ("name", "modality", "fix"),
    [("a.heic", "image", "PNG or JPEG"), ("a.voc", "audio", "ffmpeg"), ("a.vob", "audio", "sound")],
)
def test_places_that_hold_nothing_else(tmp_path: Path, name: str, modality: str, fix: str) -> None:
    put(tmp_path / "set" / name, b"x")
    for path in (tmp_path / "set", tmp_path / "set" / name, tmp_path / "set/*"):
        with pytest.raises(MissingError) as caught:
            opened(path, modality)
        assert fix in caught.value.fix
    tar = put_tar(tmp_path / "x.tar", {name: b"x"})
    with pytest.raises(MissingError) as caught:
        opened(tar, modality)
    assert fix in caught.value.fix
    assert name[1:] in caught.value.why


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz", "x.tar.xz", "x.zip"])
def test_compressed_archives_are_refused_whole_or_cut(tmp_path: Path, name: str) -> None:
    put(tmp_path / name, b"\x1f\x8b" + bytes(100))
    for modality in ("image", "audio", "text"):
        with pytest.raises(MissingError) as caught:
            opened(tmp_path / name, modality)
        assert caught.value.why == f"'{name}' is compressed"
        assert "unpack it" in caught.value.fix


def test_samples_of_other_kinds_are_counted(tmp_path: Path) -> None:
    members = {"a.png": image_bytes(), "b.heic": b"x", "c.jfif": image_bytes(1, "JPEG")}
    corpus = opened(put_tar(tmp_path / "x.tar", members), "image")
    assert [item.id for item in corpus.items(0, 9)] == ["a", "c"]
    (bad,) = corpus.bad()
    assert (bad.id, bad.why) == (
        "b", "no image file, but heic (a HEIF image: convert it to PNG or JPEG)",
    )  # fmt: skip
    with pytest.raises(DataError, match="1 of 3 image items cannot be used"):
        opened(tmp_path / "x.tar", "image", max_bad=0.1)


def test_members_of_no_sample_are_counted(tmp_path: Path) -> None:
    members = {"a.png": image_bytes(), "000124": image_bytes(), "README": b"", ".x.png": b""}
    for _ in range(2):
        corpus = opened(put_tar(tmp_path / "x.tar", members), "image")
        assert corpus.others == {"": 1}
        (notice,) = corpus.notices
        assert notice.startswith("image corpus: 1 member of the tars is left out")


def test_lines_of_manifests(tmp_path: Path) -> None:
    put(tmp_path / "a.heic", b"x")
    put(tmp_path / "b.jfif", image_bytes(1, "JPEG"))
    (problem,) = read_items([json.dumps({"path": "a.heic"})], base=tmp_path)
    assert "a HEIF image, which is not decoded: convert it" in problem.message
    lines = [json.dumps({"id": n[0], "image": n}) for n in ("a.heic", "b.jfif")]
    manifest = put(tmp_path / "m.jsonl", "\n".join(lines))
    source = Source(manifest=manifest, max_bad=0.5)
    corpus = open_corpus("x", "image", [source], tables=TableCache())
    (bad,) = corpus.bad()
    assert bad.why.startswith("its name is that of a HEIF image, which is not decoded")


def test_evaluation_sets_name_what_is_there_instead(tmp_path: Path) -> None:
    put(tmp_path / "wavs/a.voc", b"x")
    media_index = MediaIndex(tmp_path, "audio", ["wavs"])
    assert media_index.others == {".voc": 1}


def test_sentences() -> None:
    assert describe_others({}, "image") == ""
    assert describe_others(count_others(["a.tar"], "image"), "image") == (
        "1 file of another kind is left out: 1 .tar (an archive: list it as a path of its own)"
    )
    counts = count_others([f"a.q{n}" for n in range(9)], "image")
    assert describe_others(counts, "image").endswith("3 further kinds")


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


@pytest.mark.parametrize("packed", [False, True])
def test_a_kind_is_known_by_its_contents_whatever_its_name(tmp_path: Path, packed: bool) -> None:
    for start in (HEIC, b"\xff\x0a" + bytes(64), b"\0\0\0\x0cJXL \r\n\x87\n"):
        path = put(tmp_path / "IMG_0001.jpg", start)
        value = Blob(str(path), 0, len(start)) if packed else path
        with pytest.raises(MediaError) as caught:
            load(Item("i", "image", value))
        name = "a HEIF image" if start == HEIC else "a JPEG XL image"
        assert caught.value.why == f"it holds {name}, which is not decoded"
        assert caught.value.fix == "convert it to PNG or JPEG"


@pytest.mark.parametrize(
    ("name", "modality"), [("x.jpg", "image"), ("x.wav", "audio"), ("x.heic", "image")]
)
def test_an_empty_file_is_called_empty(tmp_path: Path, name: str, modality: str) -> None:
    with pytest.raises(MediaError) as caught:
        load(Item("i", modality, put(tmp_path / name, b"")))
    assert caught.value.why == "it is empty"
