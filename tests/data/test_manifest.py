import hashlib
import itertools
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import DataError, MissingError
from reactions.core.types import Item
from reactions.data.manifest import Problem, other_digest, read_items, read_manifest
from reactions.data.manifest_lines import ManifestRow

OTHER = "0" * 64


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "sounds").mkdir()
    for name in ("sounds/rain.wav", "cat.JPG", "two words.png"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def read(line: str | bytes, base: Path, **options: object) -> Item | Problem:
    (entry,) = read_items([line], base=base, **options)
    return entry


def test_json_lines(base: Path) -> None:
    assert read('{"id": "r", "audio": "sounds/rain.wav"}', base) == Item(
        "r", "audio", base / "sounds/rain.wav"
    )
    assert read('{"text": "rain.wav"}', base) == Item("1", "text", "rain.wav")
    assert read('{"id": 7, "depth": "cat.JPG"}', base) == Item("7", "depth", base / "cat.JPG")
    assert read('{"id": "x", "image": null}', base) == Item("x", "image", None)
    assert read('{"id": "x", "modality": "image"}', base) == Item("x", "image", None)
    absolute = json.dumps({"image": str(base / "cat.JPG")})
    assert read(absolute, Path("/")) == Item("1", "image", base / "cat.JPG")


def test_lines_that_name_their_modality(base: Path) -> None:
    rain = Item("r", "audio", base / "sounds/rain.wav")
    for record in (
        {"modality": "audio", "path": "sounds/rain.wav"},
        {"modality": "audio", "audio": "sounds/rain.wav"},
        {"path": "sounds/rain.wav"},
    ):
        assert read(json.dumps({"id": "r", **record}), base) == rain
    depth = json.dumps({"modality": "depth", "path": "cat.JPG"})
    assert read(depth, base) == Item("1", "depth", base / "cat.JPG")
    assert read('{"modality": "text", "text": "a"}', base) == Item("1", "text", "a")
    modalities = ("audio", "text")
    problem = read(depth, base, modalities=modalities)
    assert isinstance(problem, Problem)
    assert problem.message == "the space does not embed depth; it embeds audio, text"
    problem = read('{"image": "cat.JPG"}', base, modalities=modalities)
    assert isinstance(problem, Problem)
    assert problem.message == "the space does not embed image; it embeds audio, text"
    assert read('{"id": "r", "path": "sounds/rain.wav"}', base, modalities=modalities) == rain


def test_digests_are_held_against_files_and_texts(base: Path) -> None:
    sha256 = hashlib.sha256((base / "cat.JPG").read_bytes()).hexdigest()
    record = {"id": "c", "image": "cat.JPG", "digest": sha256}
    cat = Item("c", "image", base / "cat.JPG")
    assert read(json.dumps(record), base) == cat
    assert read(json.dumps(record | {"digest": f"sha256:{sha256.upper()}"}), base) == cat
    assert read(json.dumps(record | {"digest": None}), base, modalities=("image",)) == cat
    problem = read(json.dumps(record | {"digest": OTHER}), base)
    assert isinstance(problem, Problem)
    assert f"its digest is {sha256[:12]}..., not 000000000000..." in problem.message
    sha256 = hashlib.sha256("Straße".encode()).hexdigest()
    record = {"text": "Straße", "digest": sha256}
    assert read(json.dumps(record), base) == Item("1", "text", "Straße")
    assert isinstance(read(json.dumps(record | {"text": "Strasse"}), base), Problem)


def test_bare_lines(base: Path) -> None:
    assert read("a dog, barking\n", base) == Item("1", "text", "a dog, barking")
    assert read("sounds/rain.wav", base) == Item("1", "audio", base / "sounds/rain.wav")
    assert read("cat.JPG\r\n", base) == Item("1", "image", base / "cat.JPG")
    assert read("two words.png", base) == Item("1", "image", base / "two words.png")
    assert read("a file named x.png", base) == Item("1", "text", "a file named x.png")
    assert read("version 2.0", base) == Item("1", "text", "version 2.0")
    assert read("Straße".encode(), base) == Item("1", "text", "Straße")
    assert read("\ufeffrain", base) == Item("1", "text", "rain")
    joined = [item.value for item in read_items(["rain", "\ufeffwind"], base=base)]
    assert joined == ["rain", "wind"]
    assert read("clip.m4a", base, taken_as="text") == Item("1", "text", "clip.m4a")
    assert read('{"text": "clip.m4a"}', base) == Item("1", "text", "clip.m4a")


@pytest.mark.parametrize(
    ("line", "id", "words"),
    [
        ('{"id": "x", "text": ', "1", "not JSON"),
        ("{'text': 'x'}", "1", "not JSON"),
        ("{" * 100_000, "1", "not JSON"),
        ('{"text": "a", "text": "b"}', "1", "repeated"),
        ('{"id": "x"}', "x", "no modality"),
        ('{"id": "x", "text": "a", "audio": "sounds/rain.wav"}', "x", "more than one"),
        ('{"id": "x", "audio": "gone.wav"}', "x", "no such file"),
        ('{"id": "x", "audio": "sounds"}', "x", "no such file"),
        ('{"id": "x", "audio": "a\\u0000b"}', "x", "no such file"),
        (json.dumps({"id": "x", "audio": "a" * 5000}), "x", "no such file"),
        ('{"id": "x", "audio": 3}', "x", "is not a string"),
        ('{"id": "x", "text": "  "}', "x", "empty"),
        ('{"id": "", "text": "a"}', "1", "id is empty"),
        ('{"id": true, "text": "a"}', "1", "the id"),
        ('{"id": [1], "text": "a"}', "1", "the id"),
        ('{"text": null}', "1", "neither an id nor"),
        ('{"id": "x", "text": "\\ud800"}', "x", "half of a character"),
        ('{"id": "\\ud800", "text": "a"}', "1", "half of a character"),
        ('{"id": "x", "modality": "audio", "path": "gone.wav"}', "x", "no such file"),
        ('{"id": "x", "modality": "audio", "path": 3}', "x", "'path' is not a string"),
        ('{"id": "x", "modality": 3, "path": "cat.JPG"}', "x", "modality is not a string"),
        ('{"id": "x", "modality": "image", "text": "a"}', "x", "holds text, but its modality is"),
        ('{"id": "x", "modality": "text", "path": "cat.JPG"}', "x", "not given by its path"),
        ('{"id": "x", "path": "cat.data"}', "x", 'add "modality"'),
        ('{"id": "x", "path": "cat.JPG", "image": "cat.JPG"}', "x", "more than one"),
        ('{"modality": "image"}', "1", "neither an id nor"),
        ('{"id": "x", "image": "cat.JPG", "digest": "abc"}', "x", "64 hex digits"),
        ('{"id": "x", "image": "cat.JPG", "digest": 3}', "x", "64 hex digits"),
        (json.dumps({"id": "x", "image": None, "digest": OTHER}), "x", "nothing that has it"),
        ('{"id": "x", "\\ud800": "cat.JPG"}', "x", "half of a character"),
        ("gone.wav", "1", "no such file"),
        ("clip.amr", "1", "ends as a file's name does"),
        ("clip.m4a", "1", "no such file"),
        ("sounds/rain", "1", "path's separator"),
        ("sounds", "1", "of this name is there"),
        ("https://example.org/a.wav", "1", "it is a URL"),
        ('["rain", "wind"]', "1", "a JSON array"),
        (b"\xff\xfe", "1", "not UTF-8"),
    ],
)
def test_bad_lines_are_problems(base: Path, line: str | bytes, id: str, words: str) -> None:
    problem = read(line, base)
    assert isinstance(problem, Problem)
    assert (problem.line_number, problem.id) == (1, id)
    assert words in problem.message
    problem.message.encode()


def test_known_modalities_make_other_keys_unknown(base: Path) -> None:
    modalities = ("audio", "text")
    problem = read('{"id": "x", "texts": "rain"}', base, modalities=modalities)
    assert isinstance(problem, Problem)
    assert problem.message == "unknown key 'texts'; did you mean 'text'?"
    problem = read('{"text": "a", "split": "train"}', base, modalities=modalities)
    assert isinstance(problem, Problem)
    assert "known: audio, text" in problem.message
    problem = read("cat.JPG", base, modalities=modalities)
    assert isinstance(problem, Problem)
    assert "does not embed image" in problem.message
    assert isinstance(read("rain", base, modalities=modalities), Item)


def test_numbers_count_blank_lines_and_nothing_stops_the_rest(base: Path) -> None:
    lines = ["rain", "", "{", "  \n", "wind"]
    entries = list(read_items(lines, base=base))
    assert [entry.id for entry in entries] == ["1", "3", "5"]
    assert isinstance(entries[1], Problem)
    assert entries[1].line_number == 3


@given(st.lists(st.text() | st.binary()))
def test_any_line_gives_an_item_or_a_problem(lines: list[str | bytes]) -> None:
    entries = list(read_items(lines, base=Path("/nowhere")))
    assert len(entries) <= len(lines)
    for entry in entries:
        entry.id.encode()
        if isinstance(entry, Item):
            assert entry.modality
            assert entry.value is None or str(entry.value).encode()


@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1))
def test_texts_and_ids_survive_unchanged(text: str, id: str) -> None:
    line = json.dumps({"id": id, "text": text})
    assert read(line, Path("/nowhere")) == Item(id, "text", text)


def test_reading_is_lazy_and_constant_in_memory(base: Path) -> None:
    endless = (f'{{"text": "line {n}"}}' for n in itertools.count())
    stream = read_items(endless, base=base)
    next(stream)
    tracemalloc.start()
    for _ in range(2000):
        next(stream)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 2,000 items of about 200 bytes would be 400 kB if they were kept.
    assert peak < 100_000


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_the_lines_of_one_modality_in_order(base: Path) -> None:
    path = write(
        base / "m.jsonl",
        {"id": "b", "text": "rain"},
        {"id": "b", "audio": "sounds/rain.wav"},
        {"id": "a", "text": "wind"},
        {"id": "c", "audio": "gone.wav"},
    )
    assert read_manifest(path, "text") == [
        ManifestRow(1, "b", "text", "rain"),
        ManifestRow(3, "a", "text", "wind"),
    ]
    good, bad = read_manifest(path, "audio")
    assert good == ManifestRow(2, "b", "audio", base / "sounds/rain.wav")
    assert (bad.line_number, bad.id, bad.value) == (4, "c", None)
    assert bad.why == f"no such file: {base / 'gone.wav'}"


def test_digests_are_read_and_left_to_who_reads_the_files(base: Path) -> None:
    path = write(
        base / "m.jsonl",
        {"id": "a", "audio": "sounds/rain.wav", "digest": "sha256:" + "AB" * 32},
        {"id": "b", "modality": "text", "text": "rain", "digest": OTHER},
    )
    assert [row.sha256 for row in read_manifest(path, "audio")] == ["ab" * 32]
    assert [(row.sha256, row.why) for row in read_manifest(path, "text")] == [(OTHER, "")]
    assert other_digest("", OTHER) == other_digest(OTHER, OTHER) == ""
    assert other_digest(OTHER, "1" * 64) == (
        "its digest is 111111111111..., not 000000000000... as the manifest says"
    )


def test_bad_manifests(base: Path) -> None:
    with pytest.raises(MissingError, match="no manifest"):
        read_manifest(base / "gone.jsonl", "text")
    with pytest.raises(DataError, match="empty"):
        read_manifest(write(base / "m.jsonl", {"text": "a"}), "audio")
    with pytest.raises(DataError, match="empty"):
        read_manifest(write(base / "m.jsonl"), "text")
    with pytest.raises(DataError, match="repeats 1 of its text ids, first 'x'"):
        read_manifest(write(base / "m.jsonl", *[{"id": "x", "text": "a"}] * 2), "text")
    with pytest.raises(DataError, match="cannot read"):
        read_manifest(base, "text")
    # Lines that do not tell what they hold may hold anything: no count would be right.
    for line in (
        "clip.amr",
        "sounds/rain",
        '{"text": ',
        '{"id": "x"}',
        '{"text": "a", "audio": "cat.JPG"}',
        b"\xff",
    ):
        path = base / "m.jsonl"
        path.write_bytes(b"rain\n" + (line if isinstance(line, bytes) else line.encode()))
        with pytest.raises(DataError, match="bad lines in the manifest") as caught:
            read_manifest(path, "text")
        assert caught.value.fields["lines"] == [2]
        assert "line 2: " in caught.value.why
