"""Folders, lists and manifests of images and sounds."""

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from media_files import image_bytes, put, put_tar, sound_bytes

from reactions.core.errors import DataError, MediaError, MissingError, UsageError
from reactions.core.storage import Blob
from reactions.core.types import Item
from reactions.data.corpora import ListCorpus
from reactions.data.scan_cache import TableCache
from reactions.data.sources import files
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus
from reactions.modalities.image import load_image
from reactions.modalities.registry import load


def opened(*paths: Path | str, modality="image", cache: Path | None = None, **options):
    source = Source(paths=tuple(map(str, paths)), **{"max_bad": 0.5, **options})
    return open_corpus("pictures", modality, [source], tables=TableCache(cache))


def ids(corpus: SourceCorpus) -> list[str]:
    return [item.id for item in corpus.items(0, len(corpus))]


def test_a_folder_is_walked_in_order(folder: Path) -> None:
    corpus = opened(folder)
    assert ids(corpus) == ["a.JPG", "b.png", "deep/er/c.webp"]
    (item,) = corpus.items(1, 2)
    assert item == Item("b.png", "image", folder / "b.png")
    assert load(item).value.shape == (8, 12, 3)
    assert corpus.size_bytes == sum((folder / name).stat().st_size for name in ids(corpus))
    assert ids(opened(folder, modality="audio")) == ["deep/s.wav"]


def test_any_slice_of_rows(folder: Path) -> None:
    corpus = opened(folder)
    all_items = corpus.items(0, 3)
    for start in range(4):
        for stop in range(start, 6):
            assert corpus.items(start, stop) == all_items[start:stop]


def test_a_folder_and_its_files_in_memory_are_one_corpus(folder: Path) -> None:
    names = ["a.JPG", "b.png", "deep/er/c.webp"]
    same = ListCorpus("x", "image", [Item(name, "image", folder / name) for name in names])
    assert opened(folder).digest == same.digest


def test_files_by_pattern_and_one_by_one(folder: Path) -> None:
    assert ids(opened(folder / "*.png")) == ["b.png"]
    assert ids(opened(folder / "**/*.we[bc]*")) == ["c.webp"]
    assert ids(opened(folder / "b.png")) == ["b.png"]
    put(folder / "two/b.png", image_bytes(5))
    assert ids(opened(f"{folder}/**/b.png")) == ["b.png", "two/b.png"]


def test_several_places_put_their_numbers_before_ids(folder: Path, tmp_path: Path) -> None:
    put(tmp_path / "more/b.png", image_bytes(7))
    corpus = opened(folder, tmp_path / "more")
    assert ids(corpus) == ["1/a.JPG", "1/b.png", "1/deep/er/c.webp", "2/b.png"]
    assert [item.id for item in corpus.items(2, 4)] == ["1/deep/er/c.webp", "2/b.png"]


def test_a_corpus_that_moves_stays_the_same(folder: Path, tmp_path: Path) -> None:
    put(tmp_path / "more/b.png", image_bytes(7))
    before = [opened(folder).digest, opened(folder, tmp_path / "more").digest]
    shutil.move(folder, tmp_path / "elsewhere/renamed")
    shutil.move(tmp_path / "more", tmp_path / "less")
    folder = tmp_path / "elsewhere/renamed"
    assert [opened(folder).digest, opened(folder, tmp_path / "less").digest] == before


def test_remote_folders() -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.store.clear()
    for seed in range(3):
        with fs.open(f"/set/{seed}.png", "wb") as stream:
            stream.write(image_bytes(seed) if seed < 2 else b"no picture")
    corpus = opened("memory://set")
    assert ids(corpus) == ["0.png", "1.png"]
    assert corpus.skipped.n_bad == 1
    (item,) = corpus.items(0, 1)
    assert isinstance(item.value, Blob)
    np.testing.assert_array_equal(load(item).value, load_image(image_bytes(0)))
    # The same contents under the same ids are the same corpus, wherever they lie.
    expected_items = [Item(f"{seed}.png", "image", image_bytes(seed)) for seed in range(2)]
    assert corpus.digest == ListCorpus("x", "image", expected_items).digest


# --- what cannot be used ---


def test_what_cannot_be_decoded_is_counted_listed_and_left_out(
    folder: Path, tmp_path: Path
) -> None:
    put(folder / "empty.png", b"")
    put(folder / "cut.jpg", image_bytes(1, "JPEG", size=(99, 99))[:900])
    corpus = opened(folder, cache=tmp_path / "cache")
    assert ids(corpus) == ["a.JPG", "b.png", "deep/er/c.webp"]
    assert (corpus.skipped.n_bad, corpus.skipped.n_rows) == (2, 5)
    assert [bad.id for bad in corpus.skipped.first] == ["cut.jpg", "empty.png"]
    assert corpus.skipped.first[0].place == str(folder / "cut.jpg")
    assert "truncated" in corpus.skipped.first[0].why
    (notice,) = corpus.notices
    assert "2 of 5 items are left out" in notice
    assert str(folder / "cut.jpg") in notice
    listed = corpus.skipped.listed
    assert listed is not None
    assert [json.loads(line)["id"] for line in listed.read_text().splitlines()] == [
        "cut.jpg",
        "empty.png",
    ]
    # The corpus is the one that never had them.
    for name in ("cut.jpg", "empty.png"):
        (folder / name).unlink()
    assert opened(folder).digest == corpus.digest


def test_too_much_damage_is_an_error(folder: Path) -> None:
    put(folder / "empty.png", b"")
    assert len(opened(folder, max_bad=0.25)) == 3
    with pytest.raises(DataError, match="1 of 4 image items cannot be used") as caught:
        opened(folder, max_bad=0.24)
    assert str(folder / "empty.png") in caught.value.why
    assert "[corpora.image]" in caught.value.fix
    assert caught.value.fields["ids"] == ["empty.png"]


def test_links_to_nothing_are_counted(folder: Path) -> None:
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    corpus = opened(folder, max_bad=0.25)
    assert (len(corpus), corpus.skipped.n_bad) == (3, 1)
    assert "gone.png" in corpus.notices[0]


def test_the_limit_is_a_share_however_it_is_rounded(folder: Path, tmp_path: Path) -> None:
    for i in range(71):
        put(tmp_path / f"many/{i:02d}.png", image_bytes(i))
    for i in range(29):
        put(tmp_path / f"many/bad-{i:02d}.png", b"")
    assert len(opened(tmp_path / "many", max_bad=0.29)) == 71  # 0.29 * 100 < 29


def test_a_rate_no_encoder_takes_is_found_at_a_glance(tmp_path: Path) -> None:
    put(tmp_path / "sounds/slow.wav", sound_bytes(0, rate_hz=1))
    put(tmp_path / "sounds/usual.wav", sound_bytes(1))
    corpus = opened(tmp_path / "sounds", modality="audio", max_bad=0.5)
    assert ids(corpus) == ["usual.wav"]
    assert "its rate is 1 Hz" in corpus.notices[0]


def test_a_file_copied_over_with_its_times_is_another(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for seed, name in ((5, "x.png"), (6, "y.png")):
        path = put(tmp_path / "same" / name, image_bytes(seed).ljust(2000, b"\0"))
        os.utime(path, (1.6e9, 1.6e9))
    first, other = tmp_path / "same/x.png", tmp_path / "same/y.png"
    before = opened(tmp_path / "same", cache=cache).digest
    modified_ns = first.stat().st_mtime_ns
    first.write_bytes(other.read_bytes())
    os.utime(first, ns=(modified_ns, modified_ns))
    assert opened(tmp_path / "same", cache=cache).digest != before


def test_the_limit_holds_for_each_place(folder: Path, tmp_path: Path) -> None:
    put(tmp_path / "bad/x.png", b"")
    with pytest.raises(DataError, match="1 of 1 image items cannot be used"):
        opened(folder, tmp_path / "bad")


def test_items_can_be_left_out_by_id(folder: Path) -> None:
    put(folder / "empty.png", b"")
    corpus = opened(folder, skip=frozenset({"b.png", "empty.png"}))
    assert ids(corpus) == ["a.JPG", "deep/er/c.webp"]
    # What is left out on purpose need not be usable.
    assert (corpus.skipped.n_bad, corpus.skipped.n_skipped) == (0, 2)
    assert corpus.notices == ()
    assert len(opened(folder, max_bad=0.0, skip=frozenset({"empty.png"}))) == 3
    (folder / "b.png").unlink()
    (folder / "empty.png").unlink()
    assert opened(folder).digest == corpus.digest
    with pytest.raises(DataError, match=r"no item 'a.jpgg' to skip") as caught:
        opened(folder, skip=frozenset({"a.jpgg"}))
    assert "did you mean 'a.JPG'" in caught.value.fix


def test_what_is_left_out_counts_in_a_digest_that_is_remembered(
    folder: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    full_digest = opened(folder, cache=cache).digest
    assert opened(folder, cache=cache, skip=frozenset({"b.png"})).digest != full_digest
    assert opened(folder, cache=cache).digest == full_digest


def test_a_full_check_finds_what_a_glance_does_not(
    folder: Path, tmp_path: Path, damaged: Path
) -> None:
    cache = tmp_path / "cache"
    corpus = opened(folder, modality="audio", cache=cache)
    assert corpus.skipped.n_bad == 0
    # What a glance let pass fails when it is embedded, and says what to do.
    with pytest.raises(MediaError) as caught:
        load(corpus.items(1, 2)[0])
    assert "molspace data check --full" in caught.value.fix
    assert 'skip = ["deep/t.flac"] under [corpora.audio]' in caught.value.fix
    checked = opened(folder, modality="audio", cache=cache, check="full")
    assert [bad.id for bad in checked.skipped.first] == ["deep/t.flac"]


def test_what_a_full_check_found_is_left_out_ever_after(
    folder: Path, tmp_path: Path, damaged: Path, looks: list[str]
) -> None:
    cache = tmp_path / "cache"
    assert ids(opened(folder, modality="audio", cache=cache)) == ["deep/s.wav", "deep/t.flac"]
    full = opened(folder, modality="audio", cache=cache, check="full")
    looks.clear()
    corpus = opened(folder, modality="audio", cache=cache)
    assert ids(corpus) == ["deep/s.wav"]
    assert (corpus.digest, corpus.notices) == (full.digest, full.notices)
    # Likewise beside files that are new; only those are looked at.
    put(folder / "deep/u.wav", sound_bytes(4))
    assert ids(opened(folder, modality="audio", cache=cache)) == ["deep/s.wav", "deep/u.wav"]
    assert looks == ["deep/u.wav"]
    # Until it is repaired.
    put(damaged, sound_bytes(5, "FLAC"), when_s=1_600_000_009)
    assert "deep/t.flac" in ids(opened(folder, modality="audio", cache=cache))
    assert looks == ["deep/u.wav", "deep/t.flac"]


def test_a_glance_is_not_taken_for_a_full_check(
    folder: Path, tmp_path: Path, damaged: Path, looks: list[str]
) -> None:
    cache = tmp_path / "cache"
    opened(folder, modality="audio", cache=cache)
    assert ids(opened(folder, modality="audio", cache=cache, check="full")) == ["deep/s.wav"]
    assert looks == ["deep/s.wav", "deep/t.flac"] * 2


def test_files_are_decoded_side_by_side(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=120)  # a scan that takes one at a time never gets past it

    def check(modality, source, depth):
        both.wait()
        return ""

    monkeypatch.setattr(files, "check", check)
    (folder / "a.JPG").unlink()
    assert len(opened(folder, check="full")) == 2


def test_a_folder_without_any(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(MissingError, match="no image at") as caught:
        opened(tmp_path / "none")
    assert caught.value.why == "it is empty"
    put(tmp_path / "none/x.tar", b"x")
    with pytest.raises(MissingError) as caught:
        opened(tmp_path / "none")
    assert caught.value.why == "its files end in .tar (1)"
    assert caught.value.fix == f"give its shards: {tmp_path}/none/*.tar"
    with pytest.raises(MissingError, match="there is nothing at"):
        opened(tmp_path / "gone")


def test_other_modalities_need_a_manifest(folder: Path) -> None:
    with pytest.raises(UsageError, match="cannot tell which files hold smell") as caught:
        opened(folder, modality="smell")
    assert "[corpora.smell]" in caught.value.fix
    with pytest.raises(UsageError, match="cannot tell which files hold smell"):
        opened(folder / "b.png", modality="smell")


def test_mixed_kinds_are_refused(folder: Path) -> None:
    with pytest.raises(MissingError, match="cannot tell how to read image") as caught:
        opened(f"{folder}/*")
    assert "notes.txt" in caught.value.why
    (folder / "notes.txt").unlink()
    put_tar(folder / "x.tar", {"a.png": image_bytes()})
    with pytest.raises(MissingError, match="cannot tell how to read image") as caught:
        opened(f"{folder}/*")
    assert "mixes shards" in caught.value.why


# --- remembering ---


def test_files_are_read_once(folder: Path, tmp_path: Path, looks: list[str]) -> None:
    cache = tmp_path / "cache"
    first = opened(folder, cache=cache).digest
    assert len(looks) == 3
    assert opened(folder, cache=cache).digest == first
    assert len(looks) == 3
    put(folder / "new.png", image_bytes(8))
    put(folder / "b.png", image_bytes(1), when_s=1_600_000_009)
    assert opened(folder, cache=cache).digest != first
    assert sorted(looks[3:]) == ["b.png", "new.png"]


def test_contents_count_even_where_sizes_agree(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    before = opened(folder, cache=cache).digest
    data = bytearray((folder / "b.png").read_bytes())
    # A comment chunk's worth of difference, the same length: pixels differ, too.
    put(folder / "b.png", image_bytes(77)[: len(data)].ljust(len(data), b"\0"), 1_600_000_001)
    assert opened(folder, cache=cache, max_bad=1.0).digest != before


@pytest.mark.parametrize("check", ["header", "full"])
def test_a_scan_that_was_killed_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: list[str], check: str
) -> None:
    monkeypatch.setattr(files, "_BLOCK_ROWS", 2)
    counted = files.look_at_file

    def killed(entry, **options):
        if entry.name.endswith("c.webp"):
            raise KeyboardInterrupt
        return counted(entry, **options)

    monkeypatch.setattr(files, "look_at_file", killed)
    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        opened(folder, cache=cache, check=check)
    monkeypatch.setattr(files, "look_at_file", counted)
    assert len(opened(folder, cache=cache, check=check)) == 3
    assert looks == ["a.JPG", "b.png", "deep/er/c.webp"]
    assert not list(cache.glob("*.journal"))


def test_verdicts_are_remembered(folder: Path, tmp_path: Path, looks: list[str]) -> None:
    put(folder / "empty.png", b"")
    cache = tmp_path / "cache"
    opened(folder, cache=cache)
    put(folder / "new.png", image_bytes(8))
    corpus = opened(folder, cache=cache)
    assert [bad.id for bad in corpus.skipped.first] == ["empty.png"]
    assert looks.count("empty.png") == 1


def test_files_just_written_are_not_trusted(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (folder / "b.png").write_bytes(image_bytes(1))
    before = opened(folder, cache=cache).digest
    (folder / "b.png").write_bytes(image_bytes(2))
    assert opened(folder, cache=cache).digest != before


def test_a_file_that_cannot_be_read_is_a_bad_item(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.file_digest

    def refuse(path: Path) -> str:
        if path.name == "b.png":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(files, "file_digest", refuse)
    corpus = opened(folder)
    assert [(bad.id, bad.why) for bad in corpus.skipped.first] == [("b.png", "permission denied")]


def test_progress_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_BLOCK_ROWS", 2)
    reports: list[tuple[str, int, int]] = []
    source = Source(paths=(str(folder),))
    open_corpus(
        "x",
        "image",
        [source],
        tables=TableCache(),
        on_progress=lambda *report: reports.append(report),
    )
    assert reports == [("set", 0, 3), ("set", 2, 3), ("set", 3, 3)]


def test_links_to_files_are_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links/l.png").symlink_to(folder / "b.png")
    assert ids(opened(tmp_path / "links")) == ["l.png"]
