"""Addresses, patterns and folders as arguments: what they name, leave out and refuse."""

from pathlib import Path

import fsspec
import pytest
from far_files import far_files
from media_files import image_bytes, put, put_tar, sound_bytes

from reactions.core import remote
from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.protocols import NotLookedAt
from reactions.core.storage import Blob
from reactions.inference.arguments import refuse_paths
from reactions.inference.inputs import read_inputs
from reactions.inference.place_kinds import place_kind
from reactions.inference.places import named_places

BOTH = ("image", "audio")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("photos/a.png", "photos/deep/b.PNG", "my photos/c d.png", "x[1].png"):
        put(tmp_path / name, image_bytes(1))
    put(tmp_path / "photos/rain.wav", sound_bytes(1))
    put(tmp_path / "photos/list.txt", "a cat\n")
    put(tmp_path / "photos/notes.md", "x")
    put_tar(tmp_path / "s-0.tar", {"a.png": image_bytes(1)})
    put_tar(tmp_path / "s-1.tar", {"b.png": image_bytes(1)})
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("photos/**/*.[pP]*", ["photos/a.png", "photos/deep/b.PNG"]),
        ("photos/*", ["photos/a.png", "photos/rain.wav"]),
        ("photos/?.png", ["photos/a.png"]),
        ("my photos/*.png", ["my photos/c d.png"]),
        ("photos/{a,rain}.{png,wav}", None),
        ("s-{0..1}.tar", ["s-0.tar", "s-1.tar"]),
        ("s-*.tar", ["s-0.tar", "s-1.tar"]),
        ("photos/*.txt", ["photos/list.txt"]),
        ("x[1].png", ["x[1].png"]),
    ],
)
def test_patterns(folder: Path, pattern: str, files: list[str] | None) -> None:
    if files is None:  # of what braces list each must be there
        with pytest.raises(UsageError, match="no file matches") as caught:
            named_places([pattern], base=folder)
        assert "a.wav" in caught.value.why
        return
    arguments, notices = named_places(["first", pattern, "last"], base=folder)
    assert arguments == ["first", *files, "last"]
    assert len(notices) == (pattern != "x[1].png")


@pytest.mark.parametrize("place", ["photos", "photos/**/*"])
def test_links_are_followed_but_not_in_circles(folder: Path, place: str) -> None:
    (folder / "photos/deep/up").symlink_to("..")
    (folder / "photos/more").symlink_to("../my photos")
    (folder / "photos/gone.png").symlink_to("nowhere.png")
    arguments, (contents,) = named_places([place], base=folder)
    assert sorted(arguments) == [
        "photos/a.png",
        "photos/deep/b.PNG",
        "photos/more/c d.png",
        "photos/rain.wav",
    ]
    assert contents.left_out == {".md": 1, ".txt": 1, ".png (a link to nothing)": 1}


def test_what_a_pattern_leaves_out_is_counted(folder: Path) -> None:
    _, notices = named_places(["photos/*"], base=folder)
    assert list(map(str, notices)) == ["photos/* matches 2 files; left out: 1 .md, 1 .txt"]
    arguments, notices = named_places(["photos/*"], "audio", base=folder)
    assert arguments == ["photos/rain.wav"]
    assert notices[0].taken == {"files": 1}
    assert notices[0].left_out == {".md": 1, ".png": 1, ".txt": 1}
    assert list(map(str, notices)) == ["photos/* matches 1 file; left out: 1 .md, 1 .png, 1 .txt"]


@pytest.mark.parametrize("pattern", ["photo/*.png", "photos/*.jpg", "*.flac", "s-{0..2}.tar"])
def test_patterns_that_match_nothing(folder: Path, pattern: str) -> None:
    with pytest.raises(UsageError, match="no file matches") as caught:
        named_places([pattern], base=folder)
    assert "--text" in caught.value.fix


def test_patterns_of_nothing_that_is_embedded(folder: Path) -> None:
    with pytest.raises(UsageError, match="holds no media") as caught:
        named_places(["photos/*.md"], base=folder)
    assert caught.value.why == "1 .md"


@pytest.mark.parametrize(
    "text",
    [
        "is it a dog?",
        "a *very* loud noise",
        "[music] plays",
        "what [is] this/that?",
        "a {red,green} apple",
        '{"text": "a*b"}',
        "-",
        " ",
        "https://example.org is a web site",
    ],
)
def test_texts_are_no_patterns_and_no_addresses(folder: Path, text: str) -> None:
    assert named_places([text], base=folder) == ([text], [])
    assert place_kind(text, folder) == ""


def test_tars_and_tables_are_not_taken_for_texts_and_paths(folder: Path) -> None:
    refuse_paths(["s-0.tar"], folder)
    with pytest.raises(UsageError, match=r"s-9\.tar"):
        refuse_paths(["s-9.tar"], folder)
    put(folder / "y.tar.gz", b"\x1f\x8b")
    with pytest.raises(UsageError, match=r"y\.tar\.gz") as caught:
        refuse_paths(["y.tar.gz"], folder)
    assert "packed archive" in caught.value.why


def test_addresses_by_http(folder: Path) -> None:
    pytest.importorskip("aiohttp")
    with far_files(folder) as server:
        url = server.url
        places = [f"{url}/photos/a.png", f"{url}/s-{{0..1}}.tar", f"{url}/photos/rain.wav?sig=a.b"]
        arguments, notices = named_places(places)
        assert arguments == [places[0], f"{url}/s-0.tar", f"{url}/s-1.tar", places[2]]
        assert list(map(str, notices)) == [f"{places[1]} matches 2 files"]
        items = list(read_inputs(arguments, modalities=BOTH))
        assert [(item.id, item.modality, item.own_id) for item in items] == [
            (places[0], "image", False),
            ("a", "image", True),
            ("b", "image", True),
            (places[2], "audio", False),
        ]
        assert items[0].value == Blob(places[0])
        assert items[0].value.read() == image_bytes(1)
        (entry,) = read_inputs([f"{url}/photos/notes.md"], modalities=BOTH, taken_as="image")
        assert (entry.modality, entry.value.read()) == ("image", b"x")
        (problem,) = read_inputs([places[2]], modalities=("image",))
        assert "does not embed audio" in problem.message
        with pytest.raises(MissingError, match="there is nothing at"):
            named_places([f"{url}/nothing.png"])
    with pytest.raises(DataError, match="cannot read"):  # no server is there
        named_places(["http://127.0.0.1:9/a.png"])


@pytest.mark.parametrize(
    ("url", "why", "fix"),
    [
        ("https://a.org/list.txt", "lists are read from this machine alone", "download it"),
        ("https://a.org/page", "its ending does not say what it holds", "--modality"),
        ("https://a.org/x.tar.gz", "a packed archive", "plain .tar"),
        ("https://a.org/photos/", "folders cannot be listed by HTTP", "give its files"),
        ("ftp://a.org/x.png", "'ftp' is not among the protocols", "bring the files"),
        ("reference::https://a.org/x.png", "'reference' is not among", "bring the files"),
        ("https://me:secret@a.org/x.png", "holds a name or password", "credentials"),
    ],
)
def test_addresses_that_are_refused_by_name(url: str, why: str, fix: str) -> None:
    with pytest.raises(UsageError, match=r"a\.org") as caught:
        named_places([url])
    assert why in caught.value.why
    assert fix in caught.value.fix
    assert "secret" not in str(caught.value)


def test_offline_mode_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLSPACE_OFFLINE", "1")
    with pytest.raises(NotLookedAt, match="not looked at"):
        named_places(["https://example.org/a.png"])


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("s3://bucket/a.png", "pip install s3fs"),
        ("gs://bucket/a.png", "pip install gcsfs"),
        ("hf://datasets/a/b/c.png", "huggingface_hub"),
        ("https://example.org/a.png", "fsspec[http]"),
    ],
)
def test_a_missing_package_is_named(url: str, fix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(remote, "_open", missing)
    with pytest.raises(MissingError, match="cannot read") as caught:
        named_places([url])
    assert fix in caught.value.fix


def test_folders_and_patterns_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactions.core.protocols.PROTOCOLS", frozenset({"memory"}))
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    for name in ("photos/a.png", "photos/deep/b.PNG", "photos/rain.wav", "photos/notes.md"):
        with fs.open(f"/far/{name}", "wb") as stream:
            stream.write((folder / name).read_bytes())
    files = [f"memory:///far/photos/{name}" for name in ("a.png", "deep/b.PNG", "rain.wav")]
    arguments, notices = named_places(["memory://far/photos"])
    assert arguments == files
    assert str(notices[0]) == "memory://far/photos is a folder, of 3 files; left out: 1 .md"
    assert named_places(["memory://far/photos/*"])[0] == [files[0], files[2]]
    with pytest.raises(MissingError):
        named_places(["memory://far/photos/*.jpg"])
    assert named_places([f"file://{folder}/x[1].png"])[0] == [f"{folder}/x[1].png"]
