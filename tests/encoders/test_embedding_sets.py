"""Embeddings as clip-retrieval and WebDataset write them."""

import io
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from embedding_folder import load, resolve
from media_files import image_bytes, put, put_tar

from reactions.core import file_digests as digests_module
from reactions.core.errors import DataError, DimensionMismatch, MissingError
from reactions.core.extras import install_extra
from reactions.core.file_digests import DigestCache
from reactions.core.types import Item
from reactions.data.sources import tar_index
from reactions.encoders.precomputed import corpora
from reactions.encoders.precomputed.layouts import Joined, find_sets

DIM = 4


def rows(seed: int, n: int, dim: int = DIM) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def npy(x: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, x)
    return stream.getvalue()


def embed(folder: Path, modality: str, ids: list[str]) -> np.ndarray:
    encoder = load(resolve(folder))
    return encoder.embed(modality, [Item(id, modality, None) for id in ids])


def ids(folder: Path, modality: str) -> list[str]:
    corpus = corpora.corpus(resolve(folder), modality)
    return [item.id for item in corpus.items(0, len(corpus))]


def clip_retrieval(folder: Path, sizes=(3, 2), names=("img_emb", "text_emb"), **columns) -> Path:
    """Numbered parts; metadata as the columns say, by default image_path and caption."""
    for seed, name in enumerate(names):
        for number, n in enumerate(sizes):
            put(folder / name / f"{name}_{number}.npy", npy(rows(10 * seed + number, n)))
    start = 0
    for number, n in enumerate(sizes):
        actual = {name: values[start : start + n] for name, values in columns.items()}
        if not columns:
            actual = {
                "image_path": [f"00000/{start + i:09d}" for i in range(n)],
                "caption": [f"caption {start + i}" for i in range(n)],
            }
        path = folder / "metadata" / f"metadata_{number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(actual), path)
        start += n
    return folder


# --- clip-retrieval ---


def test_what_clip_retrieval_writes_is_a_space(tmp_path: Path) -> None:
    spec = resolve(clip_retrieval(tmp_path / "clip"))
    assert (spec.name, spec.dim, spec.modalities) == ("clip", DIM, ("image", "text"))
    for seed, modality in enumerate(spec.modalities):
        expected = unit(np.concatenate([rows(10 * seed, 3), rows(10 * seed + 1, 2)]))
        names = [f"00000/{i:09d}" for i in range(5)]
        assert ids(tmp_path / "clip", modality) == names
        # float32 division and norm: a few units in the last place of values below 1.
        np.testing.assert_allclose(embed(tmp_path / "clip", modality, names), expected, atol=3e-7)
        order = [4, 0, 3, 2]
        np.testing.assert_allclose(
            embed(tmp_path / "clip", modality, [names[i] for i in order]),
            expected[order],
            atol=3e-7,
        )


def test_a_key_comes_before_a_path(tmp_path: Path) -> None:
    keys = [f"{i:05d}" for i in range(5)]
    clip_retrieval(tmp_path, image_path=["x"] * 5, key=keys)
    assert ids(tmp_path, "image") == keys


def test_parts_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    clip_retrieval(tmp_path, sizes=(1,) * 11, names=("img_emb",))
    expected = unit(np.concatenate([rows(number, 1) for number in range(11)]))
    names = [f"00000/{i:09d}" for i in range(11)]
    np.testing.assert_allclose(embed(tmp_path, "image", names), expected, atol=3e-7)


def test_without_metadata_rows_have_only_numbers(tmp_path: Path) -> None:
    clip_retrieval(tmp_path, names=("img_emb",))
    for path in (tmp_path / "metadata").iterdir():
        path.unlink()
    assert ids(tmp_path, "image") == ["0", "1", "2", "3", "4"]
    clip_retrieval(tmp_path / "b", caption=["a"] * 5)
    assert ids(tmp_path / "b", "text") == ["0", "1", "2", "3", "4"]


def test_a_file_of_ids_counts_instead_of_the_metadata(tmp_path: Path) -> None:
    clip_retrieval(tmp_path)
    put(tmp_path / "image.ids.txt", "a\nb\nc\nd\ne\n")
    assert ids(tmp_path, "image") == ["a", "b", "c", "d", "e"]
    assert ids(tmp_path, "text")[0] == "00000/000000000"


def test_a_changed_part_or_id_is_another_space(tmp_path: Path) -> None:
    digest = resolve(clip_retrieval(tmp_path)).weights_digest
    put(tmp_path / "img_emb/img_emb_1.npy", npy(rows(99, 2)))
    changed = resolve(tmp_path).weights_digest
    assert changed != digest
    clip_retrieval(tmp_path, image_path=list("abcde"))
    assert resolve(tmp_path).weights_digest not in (digest, changed)


def test_incomplete_copies_are_refused(tmp_path: Path) -> None:
    clip_retrieval(tmp_path)
    (tmp_path / "img_emb/img_emb_0.npy").unlink()
    with pytest.raises(DataError, match="do not match") as caught:
        resolve(tmp_path)
    assert "metadata has the numbers 0, 1, img_emb has 1" in caught.value.why
    put(tmp_path / "img_emb/img_emb_0.npy", npy(rows(0, 2)))
    with pytest.raises(DataError, match=r"'metadata_0.parquet' has 3 for 2 embeddings"):
        ids(tmp_path, "image")


def test_parts_of_different_widths(tmp_path: Path) -> None:
    clip_retrieval(tmp_path, names=("img_emb",))
    put(tmp_path / "img_emb/img_emb_1.npy", npy(rows(0, 2, dim=5)))
    with pytest.raises(DimensionMismatch, match="differ in width") as caught:
        resolve(tmp_path)
    assert "img_emb_0.npy has 4 dimensions, img_emb_1.npy has 5" in caught.value.why


def test_damaged_parts_and_metadata(tmp_path: Path) -> None:
    clip_retrieval(tmp_path)
    path = tmp_path / "metadata/metadata_1.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="cannot read"):
        ids(tmp_path, "image")
    path = tmp_path / "text_emb/text_emb_1.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="cannot read the embeddings"):
        resolve(tmp_path)


def test_metadata_need_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip_retrieval(tmp_path)
    spec = resolve(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingError, match="cannot read") as caught:
        corpora.corpus(spec, "image")
    assert install_extra("parquet") in caught.value.fix


def test_rows_of_joined_tables(tmp_path: Path) -> None:
    clip_retrieval(tmp_path, sizes=(2, 1, 3), names=("img_emb",))
    table = find_sets(tmp_path)["image"].open(DigestCache())
    assert isinstance(table, Joined)
    joined = np.concatenate([rows(0, 2), rows(1, 1), rows(2, 3)])
    for chosen in ([0, 1], [5, 0, 2], [2], [], [3, 4, 5], [5, 5, 1]):
        np.testing.assert_array_equal(table.read(np.array(chosen, np.int64)), joined[chosen])
    assert table.shape == (6, DIM)


# --- tars ---


def tar_set(folder: Path, layout: str, n: int = 3) -> Path:
    vectors = {f"{i:04d}": rows(i, 2) for i in range(n)}
    if layout == "members":
        for shard in range(2):
            members = {}
            for i in range(n):
                key = f"{shard}{i:03d}"
                members[f"{key}.image.npy"] = npy(rows(100 * shard + i, 1))
                members[f"{key}.text_emb.npy"] = npy(rows(100 * shard + i + 50, 1)[0])
                members[f"{key}.json"] = "{}"
            put_tar(folder / f"{shard:04d}.tar", members)
        return folder
    for seed, modality in enumerate(("image", "text")):
        name = f"{modality}-0000.tar" if layout == "names" else f"{modality}/0000.tar"
        put_tar(folder / name, {f"{key}.npy": npy(x[seed]) for key, x in vectors.items()})
    return folder


@pytest.mark.parametrize("layout", ["names", "folders"])
def test_tars_by_name_or_by_folder(layout: str, tmp_path: Path) -> None:
    spec = resolve(tar_set(tmp_path / "set", layout))
    assert (spec.dim, spec.modalities) == (DIM, ("image", "text"))
    keys = ["0000", "0001", "0002"]
    for seed, modality in enumerate(spec.modalities):
        assert ids(tmp_path / "set", modality) == keys
        expected = unit(np.stack([rows(i, 2)[seed] for i in range(3)]))
        np.testing.assert_allclose(
            embed(tmp_path / "set", modality, keys[::-1]), expected[::-1], atol=3e-7
        )


def test_tars_whose_members_name_the_modality(tmp_path: Path) -> None:
    tar_set(tmp_path, "members")
    keys = ["0000", "0001", "0002", "1000", "1001", "1002"]
    assert ids(tmp_path, "image") == ids(tmp_path, "text") == keys
    seeds = [0, 1, 2, 100, 101, 102]
    np.testing.assert_allclose(
        embed(tmp_path, "text", keys),
        unit(np.stack([rows(seed + 50, 1)[0] for seed in seeds])),
        atol=3e-7,
    )


def test_vectors_beside_others_in_a_tar(tmp_path: Path) -> None:
    members = {"a.npy": npy(rows(1, 1)), "a.text.npy": npy(rows(2, 1)), "a.jpg": image_bytes()}
    put_tar(tmp_path / "image-0.tar", members)
    assert list(find_sets(tmp_path)) == ["text"]
    np.testing.assert_allclose(embed(tmp_path, "text", ["a"]), unit(rows(2, 1)), atol=3e-7)


def test_a_changed_tar_is_another_space(tmp_path: Path) -> None:
    digest = resolve(tar_set(tmp_path, "names")).weights_digest
    put_tar(tmp_path / "image-0000.tar", {f"000{i}.npy": npy(rows(i + 7, 1)) for i in range(3)})
    assert resolve(tmp_path).weights_digest != digest


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"junk", "no embedding for 'b'"),
        (npy(np.ones((2, 4), np.float32)), "not one vector"),
        (npy(np.ones(4, np.int64)), "no floats"),
        (npy(np.ones(0, np.float32)), "not one vector"),
        (npy(np.ones(5, np.float32)), "'b' is 5 wide, the first is 4 wide"),
    ],
)
def test_bad_vectors_are_named(data: bytes, words: str, tmp_path: Path) -> None:
    put_tar(tmp_path / "text.tar", {"a.npy": npy(rows(0, 1)), "b.npy": data})
    with pytest.raises(DataError) as caught:
        embed(tmp_path, "text", ["b"])
    assert words in f"{caught.value.what}: {caught.value.why}"


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    class Boom:
        def __reduce__(self):
            return os.system, ("false",)

    stream = io.BytesIO()
    np.save(stream, np.array([Boom()], object), allow_pickle=True)
    put_tar(tmp_path / "text.tar", {"a.npy": stream.getvalue()})
    with pytest.raises(DataError):
        resolve(tmp_path)
    put_tar(tmp_path / "text.tar", {"a.npy": pickle.dumps(Boom())})
    with pytest.raises(DataError):
        resolve(tmp_path)


def test_tars_of_no_vectors(tmp_path: Path) -> None:
    put_tar(tmp_path / "image-0.tar", {"a.jpg": image_bytes()})
    with pytest.raises(DataError, match="no embeddings in") as caught:
        resolve(tmp_path)
    assert "KEY.npy" in caught.value.fix
    assert caught.value.fields["path"] == str(tmp_path / "image-0.tar")
    (tmp_path / "image-0.tar").unlink()
    put_tar(tmp_path / "0000.tar", {"a.npy": npy(rows(0, 1))})
    with pytest.raises(DataError, match="cannot tell the modality") as caught:
        resolve(tmp_path)
    assert "<key>.<modality>.npy" in caught.value.fix
    (tmp_path / "0000.tar").write_bytes(b"x" * 600)
    with pytest.raises(DataError, match="damaged") as caught:
        resolve(tmp_path)
    assert caught.value.fix


def test_keys_that_tars_repeat_are_refused(tmp_path: Path) -> None:
    for name in ("text-0.tar", "text-1.tar"):
        put_tar(tmp_path / name, {"a.npy": npy(rows(0, 1))})
    with pytest.raises(DataError, match="repeats 1 of its text ids"):
        ids(tmp_path, "text")


def test_one_modality_in_two_ways_is_refused(tmp_path: Path) -> None:
    clip_retrieval(tmp_path)
    put(tmp_path / "image.npy", npy(rows(0, 3)))
    with pytest.raises(DataError, match="two files of image embeddings") as caught:
        resolve(tmp_path)
    assert caught.value.why == "image.npy and img_emb/img_emb_0.npy"


# --- remembering ---


def test_loading_does_not_hash_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tar_set(tmp_path / "set", "names")
    put(folder / "audio.npy", npy(rows(0, 3)))
    spec = resolve(folder)
    encoder = load(spec)  # fills the user's cache
    item = Item("0001", "image", None)
    first = encoder.embed("image", [item])
    monkeypatch.setattr(digests_module, "file_digest", lambda path: pytest.fail("hashed again"))
    monkeypatch.setattr(tar_index, "_index", lambda *args: pytest.fail("indexed again"))
    np.testing.assert_array_equal(load(spec).embed("image", [item]), first)


def test_loading_still_finds_what_changed(tmp_path: Path) -> None:
    folder = clip_retrieval(tmp_path / "set")
    spec = resolve(folder)
    load(spec)
    put(folder / "img_emb/img_emb_0.npy", npy(rows(5, 3)), when_s=1_600_000_009)
    with pytest.raises(DataError, match="changed"):
        load(spec)


def test_a_description_goes_with_any_layout(tmp_path: Path) -> None:
    clip_retrieval(tmp_path)
    put(tmp_path / "space.json", json.dumps({"name": "CLIP", "hub": "image"}))
    spec = resolve(tmp_path)
    assert (spec.name, spec.hub) == ("CLIP", "image")
