"""Streams of items: order, memory, and what happens to bad ones."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from reactions.core.errors import DataError, MediaError, MissingError, StepError, UsageError
from reactions.core.types import Item, Leaf, SpaceSpec
from reactions.data.manifest import Problem
from reactions.inference import inputs, stream
from reactions.inference.embedder import Embedder
from reactions.inference.inputs import choose_items, read_inputs, read_stream
from reactions.inference.stream import embed_stream
from reactions.products.target import Target

DIM = 4
MODALITIES = ("audio", "image", "text")


class Toy:
    """Embeds an item by its id; refuses ids that start with ``bad``."""

    def __init__(self, spec: SpaceSpec) -> None:
        self.spec = spec
        self.calls: list[list[Item]] = []

    def embed(self, modality, items: Sequence[Item]):
        self.calls.append(list(items))
        for item in items:
            if item.id.startswith("bad"):
                raise MediaError("cannot embed it", why="it is bad", id=item.id)
            if item.id.startswith("huge"):
                raise MemoryError
        if len(items) > 1 and any(item.id.startswith("large") for item in items):
            raise MemoryError
        rows = np.stack([row_of(item.id) for item in items])
        rows[[item.id.startswith("nan") for item in items]] = np.nan
        rows[[item.id.startswith("zero") for item in items]] = 0
        return rows


def row_of(item_id: str) -> np.ndarray:
    row = np.random.default_rng(list(item_id.encode())).normal(size=DIM).astype(np.float32)
    return row / np.linalg.norm(row)


def embedder(modalities=MODALITIES, load=None) -> tuple[Embedder, Toy]:
    spec = SpaceSpec("toy", DIM, tuple(modalities), "toy", "")
    toy = Toy(spec)
    target = Target("toy", Leaf(spec), "")
    return Embedder(target, load_encoder=load or (lambda spec, device: toy), device="cpu"), toy


def run(items, **options):
    problems: list[Problem] = []
    machine, toy = embedder()
    batches = list(embed_stream(machine, items, on_problem=problems.append, **options))
    return batches, problems, toy


def text(item_id: str) -> Item:
    return Item(item_id, "text", "words")


def sizes(batches) -> list[int]:
    return [len(items) for items, _ in batches]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "bad", "nan", "zero", "large", "?"]),
            st.sampled_from(MODALITIES),
        )
    ),
    st.integers(1, 9),
)
def test_order_ids_and_rows_survive_whatever_fails(entries, batch_items):
    given_items = [
        Problem(i + 1, f"{name}{i}", "no item") if name == "?" else Item(f"{name}{i}", modality, "")
        for i, (name, modality) in enumerate(entries)
    ]
    batches, problems, _ = run(given_items, batch_items=batch_items)
    bad = ("bad", "nan", "zero", "?")
    expected_ids = [entry.id for entry in given_items if not entry.id.startswith(bad)]
    assert [item.id for items, _ in batches for item in items] == expected_ids
    # Problems come in order, too, and each bad item is told exactly once.
    assert [p.id for p in problems] == [e.id for e in given_items if e.id.startswith(bad)]
    for items, rows in batches:
        assert len(items) <= batch_items
        # Unit rows are scaled to unit norm again on the way: a unit in the last place.
        np.testing.assert_allclose(rows, [row_of(item.id) for item in items], atol=1e-6)


def test_an_empty_stream_gives_nothing():
    assert run([])[:2] == ([], [])


def test_windows_are_embedded_as_they_fill_and_no_further_is_read():
    machine, _ = embedder()
    numbers_read = []

    def source():
        for i in range(1000):
            numbers_read.append(i)
            yield text(str(i))

    batches = embed_stream(machine, source(), batch_items=8, on_problem=pytest.fail)
    next(batches)
    assert len(numbers_read) == 8


def test_a_batch_is_one_call_a_modality():
    items = [Item(str(i), MODALITIES[i % 3], "") for i in range(9)]
    _, _, toy = run(items, batch_items=9)
    assert [[item.id for item in call] for call in toy.calls] == [
        ["0", "3", "6"],
        ["1", "4", "7"],
        ["2", "5", "8"],
    ]


def test_one_bad_item_costs_few_more_calls():
    items = [text("bad" if i == 37 else str(i)) for i in range(64)]
    _, problems, toy = run(items)
    assert problems == [Problem(0, "bad", "cannot embed it: it is bad")]
    assert len(toy.calls) == 1 + 2 * 6  # halved six times


def test_large_media_close_a_window_early(monkeypatch):
    monkeypatch.setattr(stream, "WINDOW_BYTES", 300)
    pixels = np.zeros((7, 7, 3), np.uint8)  # 147 bytes
    items = [Item(str(i), "image", pixels) for i in range(7)]
    assert sizes(run(items, batch_items=64)[0]) == [3, 3, 1]


def test_media_are_decoded_once_and_given_back_as_paths(tmp_path):
    good, cut = tmp_path / "good.png", tmp_path / "cut.png"
    Image.new("RGB", (5, 3), (1, 2, 3)).save(good)
    cut.write_bytes(good.read_bytes()[:-30])
    items = [Item("g", "image", good), Item("c", "image", cut)]
    [(batch, _)], problems, toy = run(items)
    assert batch == [items[0]]
    assert toy.calls[0][0].value.shape == (3, 5, 3)
    assert [p.id for p in problems] == ["c"]
    assert "cannot decode the image" in problems[0].message


def test_a_modality_the_space_lacks_is_left_out():
    batches, problems, _ = run([text("1"), Item("2", "smell", "roses"), Item("3", "smell", "")])
    assert sizes(batches) == [1]
    assert [p.message for p in problems] == [
        "this space does not embed smell: it embeds audio, image, text"
    ] * 2


@pytest.mark.parametrize("error", [MissingError("no weights"), DataError("damaged weights")])
def test_weights_that_do_not_load_end_the_stream(error):
    def load(spec, device):
        raise error

    machine, _ = embedder(load=load)
    with pytest.raises(type(error), match="weights"):
        list(embed_stream(machine, [text("1")], on_problem=pytest.fail))


def test_one_item_too_large_for_memory_is_an_error():
    with pytest.raises(StepError, match="out of memory at text 'huge'"):
        run([text("1"), text("huge"), text("2")])


# --- reading -------------------------------------------------------------------------


def lines(data: bytes, tmp_path: Path = Path()):
    return list(read_stream(io.BytesIO(data), base=tmp_path, modalities=MODALITIES))


def test_lines_too_long_or_with_nul_keep_their_numbers(monkeypatch):
    monkeypatch.setattr(inputs, "MAX_LINE_BYTES", 10)
    entries = lines(b"one\n" + b"x" * 35 + b"\n0123456789\n\na\0b\nfive\xff\nend")
    assert [(type(e).__name__, e.id) for e in entries] == [
        ("Item", "1"),
        ("Problem", "2"),
        ("Item", "3"),
        ("Problem", "5"),
        ("Problem", "6"),
        ("Item", "7"),
    ]
    assert [e.message for e in entries if isinstance(e, Problem)] == [
        "the line is longer than 10 bytes",
        "the line holds a NUL byte; is this UTF-16, or not text at all?",
        "not UTF-8",
    ]


def test_a_file_without_line_breaks_is_read_in_pieces():
    class Endless(io.RawIOBase):
        left = 40 << 20
        largest = 0

        def readline(self, size=-1):
            assert size >= 0
            n = min(size, self.left)
            self.left -= n
            self.largest = max(self.largest, n)
            return b"x" * n

    endless = Endless()
    [problem] = read_stream(endless, base=Path(), modalities=MODALITIES)
    assert "longer" in problem.message
    assert endless.largest <= inputs.MAX_LINE_BYTES + 1


def test_unreadable_streams():
    class Broken(io.RawIOBase):
        def readline(self, size=-1):
            raise IsADirectoryError(21, "Is a directory")

    with pytest.raises(DataError, match="cannot read standard input\n  why: is a directory"):
        list(read_stream(Broken(), base=Path(), modalities=MODALITIES))


def test_arguments_of_every_kind(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "dog.png")
    sub = tmp_path / "sub"
    sub.mkdir()
    Image.new("RGB", (2, 2)).save(sub / "cat.png")
    (sub / "q.jsonl").write_text('{"id": "c", "image": "cat.png"}\nmeow\n')
    (tmp_path / "clip.mp4").write_bytes(b"")
    arguments = [
        "a dog",
        "dog.png",
        "-",
        "sub/q.jsonl",
        '{"image": "dog.png"}',
        "naïve 東京",
        "sub",
        "clip.mp4",
        "none.png",
        "none.jsonl",
        "  ",
        '{"txt": "rain"}',
        "n" * 5000,
    ]
    entries = list(
        read_inputs(
            arguments,
            modalities=MODALITIES,
            stdin=io.BytesIO(b"from stdin\n"),
            base=tmp_path,
        )
    )
    assert [(e.id, e.modality, e.value) for e in entries if isinstance(e, Item)] == [
        ("a dog", "text", "a dog"),
        ("dog.png", "image", tmp_path / "dog.png"),
        ("1", "text", "from stdin"),
        ("c", "image", sub / "cat.png"),
        ("2", "text", "meow"),
        ("5", "image", tmp_path / "dog.png"),
        ("naïve 東京", "text", "naïve 東京"),
        ("n" * 5000, "text", "n" * 5000),
    ]
    problems = {e.id: e.message for e in entries if isinstance(e, Problem)}
    assert list(problems) == ["sub", "clip.mp4", "none.png", "none.jsonl", "11", "12"]
    assert "folder" in problems["sub"]
    assert problems["clip.mp4"].startswith("the space does not embed video; it embeds ")
    assert 'write {"audio": "clip.mp4"}, or --modality audio' in problems["clip.mp4"]
    assert problems["none.png"] == f"no such file: {tmp_path / 'none.png'}"
    assert "did you mean 'text'" in problems["12"]


def test_an_unreadable_manifest_names_itself(tmp_path, monkeypatch):
    (tmp_path / "q.txt").write_text("rain")

    def refuse(self, *args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"cannot read 'q\.txt'\n  why: permission denied"):
        list(read_inputs(["q.txt"], modalities=MODALITIES, base=tmp_path))


class Terminal(io.BytesIO):
    def isatty(self):
        return True

    def readline(self, *args):
        raise AssertionError("a terminal must not be waited for")


SAMPLES = [Item("s1", "text", "rain"), Item("s2", "smell", "roses")]


@pytest.mark.parametrize("stdin", [None, io.BytesIO(), io.BytesIO(b"\n \n"), Terminal()])
def test_without_input_the_samples_that_fit(stdin):
    items, n = choose_items([], stdin, modalities=MODALITIES, samples=lambda: SAMPLES)
    assert (list(items), n) == (SAMPLES[:1], 1)
    with pytest.raises(UsageError, match="no input"):
        choose_items([], None, modalities=MODALITIES, samples=list)


def test_stdin_before_samples_and_arguments_before_stdin():
    items, n = choose_items(
        [], io.BytesIO(b"\nrain\nsun\n"), modalities=MODALITIES, samples=lambda: SAMPLES
    )
    assert ([item.id for item in items], n) == (["2", "3"], 0)
    items, n = choose_items(["sun"], Terminal(), modalities=MODALITIES, samples=lambda: SAMPLES)
    assert ([item.value for item in items], n) == (["sun"], 0)
