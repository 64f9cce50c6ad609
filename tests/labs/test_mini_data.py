import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import DataError, MissingError
from reactions.core.types import Waveform
from reactions.eval.registry import built_in_names
from reactions.eval.task_data import ClassificationData, MultilabelData, RetrievalData
from reactions.labs import mini
from reactions.labs.mini import sample_senses
from reactions.labs.mini.benchmarks import TASKS
from reactions.labs.mini.corpora import Other, WorldCorpus
from reactions.labs.mini.sample_items import SENSES
from reactions.labs.mini.views import VIEWS
from reactions.labs.mini.world import SceneStream
from reactions.modalities import registry
from reactions.modalities.audio import load_audio
from reactions.modalities.image import load_image

MODALITIES = ("audio", "image", "text")


def same(a, b):
    if isinstance(a.value, Waveform):
        equal = np.array_equal(a.value.samples, b.value.samples)
        return equal and a.value.rate_hz == b.value.rate_hz and a.id == b.id
    return np.array_equal(a.value, b.value) and a.id == b.id


class TestCorpus:
    @pytest.mark.parametrize("modality", MODALITIES)
    def test_items(self, modality):
        items = mini.corpus(modality, n=12, seed=0).items(0, 12)
        assert [item.id for item in items] == [f"mini-{modality}/{i}" for i in range(12)]
        assert {item.modality for item in items} == {modality}

    def test_values(self):
        image, sound, text = (
            mini.corpus(m, n=1, seed=0).items(0, 1)[0].value for m in ("image", "audio", "text")
        )
        assert (image.shape, image.dtype) == ((32, 32, 3), np.uint8)
        assert sound.rate_hz == 8000
        assert (sound.samples.shape, sound.samples.dtype) == ((4000,), np.float32)
        assert np.abs(sound.samples).max() <= 1
        assert isinstance(text, str)

    @given(st.sampled_from(MODALITIES), st.integers(0, 40), st.integers(0, 40))
    def test_random_access_equals_bulk(self, modality, a, b):
        start, stop = sorted((a, b))
        corpus = mini.corpus(modality, n=40, seed=3)
        part, bulk = corpus.items(start, stop), corpus.items(0, 40)[start:stop]
        assert len(part) == stop - start
        assert all(map(same, part, bulk))

    def test_rows_past_the_end_are_left_out(self):
        corpus = mini.corpus("text", n=5, seed=0)
        assert len(corpus.items(3, 99)) == 2

    def test_digest_names_the_content(self):
        base = mini.corpus("text", n=10, seed=0).digest
        assert re.fullmatch("[0-9a-f]{64}", base)
        assert base == mini.corpus("text", n=10, seed=0).digest
        others = [
            mini.corpus("text", n=11, seed=0).digest,
            mini.corpus("text", n=10, seed=1).digest,
            mini.corpus("image", n=10, seed=0).digest,
        ]
        assert len({base, *others}) == 4

    def test_the_name_is_in_the_ids_and_so_in_the_digest(self):
        first, two = (WorldCorpus(name, "image", SceneStream("s"), 3) for name in ("one", "two"))
        assert first.items(0, 1)[0].id != two.items(0, 1)[0].id
        assert first.digest != two.digest

    def test_corpora_are_unpaired(self):
        streams = [mini.corpus(m, n=500, seed=0).stream for m in MODALITIES]
        identities = np.concatenate([stream.scenes(0, 500).identity for stream in streams])
        assert len(np.unique(identities)) == 1500

    def test_texts_speak_of_sights_and_sounds(self):
        texts = [item.value for item in mini.corpus("text", n=400, seed=0).items(0, 400)]
        n_sights = sum(bool(re.search(r"red|crimson|yellow|purple|white|black", t)) for t in texts)
        n_heard = sum(bool(re.search(r"deep|bass|mellow|high|bright|shrill", t)) for t in texts)
        assert n_sights > 60
        assert n_heard > 60

    @pytest.mark.parametrize("n", [0, -1])
    def test_empty(self, n):
        with pytest.raises(DataError, match="empty"):
            mini.corpus("text", n=n, seed=0)

    def test_unknown_modality(self):
        with pytest.raises(DataError, match="no smell"):
            mini.corpus("smell", n=1, seed=0)


class TestBenchmarks:
    def test_every_set_has_a_miniature(self):
        assert sorted(TASKS) == list(built_in_names())

    def test_unknown(self):
        with pytest.raises(MissingError, match="no task 'esc51'") as caught:
            mini.benchmark("esc51", seed=0)
        assert "esc50" in caught.value.fix

    def test_esc50(self):
        data = mini.benchmark("esc50", seed=0)
        assert isinstance(data, ClassificationData)
        assert len(data.queries) == len(data.labels) == data.expected == 2000
        assert data.queries.modality == "audio"
        assert data.labels.dtype == np.int64
        # As published: 50 classes of 40 clips, 8 of each in each of five folds.
        for fold in range(5):
            assert np.bincount(data.labels[data.folds == fold]).tolist() == [8] * 50
        np.testing.assert_array_equal(data.queries.stream.scenes(0, 2000).kind, data.labels)

    def test_imagenet(self):
        data = mini.benchmark("imagenet", seed=0)
        assert (data.queries.modality, len(data.queries), data.folds) == ("image", 2000, None)
        assert np.bincount(data.labels).tolist() == [40] * 50
        np.testing.assert_array_equal(data.queries.stream.scenes(0, 2000).kind, data.labels)

    def test_audioset(self):
        data = mini.benchmark("audioset", seed=0)
        assert isinstance(data, MultilabelData)
        assert data.targets.shape == (len(data.queries), len(data.classes)) == (1000, 50)
        assert data.targets.dtype == bool
        per_clip = data.targets.sum(axis=1)
        assert set(per_clip) == {1, 2, 3}
        assert data.targets.any(axis=0).all()

    def test_audioset_clips_hold_the_sources_they_are_labelled_with(self):
        stream, second = SceneStream("first"), SceneStream("second")
        mixed = WorldCorpus("m", "audio", stream, 30, others=(Other(second, 4, percent=50),))
        plain = WorldCorpus("p", "audio", stream, 30)
        _, is_audible = mixed.others[0].scenes(np.arange(30, dtype=np.uint64))
        changed = [
            not np.array_equal(a.value.samples, b.value.samples)
            for a, b in zip(mixed.items(0, 30), plain.items(0, 30), strict=True)
        ]
        assert changed == is_audible.tolist()
        assert 0 < is_audible.sum() < 30

    @pytest.mark.parametrize(
        ("task", "modality"),
        [("audiocaps", "audio"), ("clotho", "audio"), ("coco", "image"), ("flickr30k", "image")],
    )
    def test_captioned(self, task, modality):
        data = mini.benchmark(task, seed=1)
        assert isinstance(data, RetrievalData)
        assert (data.left.modality, data.right.modality) == (modality, "text")
        assert (len(data.left), len(data.right)) == (1000, 5000)
        assert np.bincount(data.owner).tolist() == [5] * 1000
        captions = [item.value for item in data.right.items(0, 5)]
        assert len(set(captions)) > 1

    @pytest.mark.parametrize("task", ["vggss", "flickrnet"])
    def test_pairs(self, task):
        data = mini.benchmark(task, seed=1)
        assert (data.left.modality, data.right.modality) == ("audio", "image")
        assert len(data.left) == len(data.right) == 1000
        np.testing.assert_array_equal(data.owner, np.arange(1000))
        assert data.left.stream == data.right.stream

    def test_sets_of_a_family_differ(self):
        def words(task):
            texts = [item.value for item in mini.benchmark(task, seed=0).right.items(0, 1000)]
            return np.mean([len(text.split()) for text in texts])

        assert words("clotho") > words("audiocaps")
        assert words("flickr30k") > words("coco")
        first, other = (mini.benchmark(t, seed=0).left for t in ("vggss", "flickrnet"))
        assert first.others != other.others

    def test_sets_and_corpora_share_no_scene(self):
        streams = {mini.corpus(m, n=1, seed=0).stream for m in MODALITIES}
        for task in TASKS:
            data = mini.benchmark(task, seed=0)
            streams.add(
                data.left.stream if isinstance(data, RetrievalData) else data.queries.stream
            )
        # Caltech-101's scenes are shown three times: as pictures, as events, and as both.
        assert len(streams) == len(MODALITIES) + len(TASKS) - 2
        identities = np.concatenate([stream.scenes(0, 2000).identity for stream in streams])
        assert len(np.unique(identities)) == len(identities)

    @pytest.mark.parametrize("task", TASKS)
    def test_seeds_differ(self, task):
        first, two = (mini.benchmark(task, seed=seed) for seed in (0, 1))
        name = "left" if isinstance(first, RetrievalData) else "queries"
        assert getattr(first, name).digest != getattr(two, name).digest


class TestSample:
    def test_items_are_triples(self):
        items = mini.sample_items()
        ids = {m: [item.id for item in items if item.modality == m] for m in MODALITIES}
        assert ids["audio"] == ids["image"] == ids["text"]
        assert len(set(ids["text"])) == 6

    def test_files_hold_the_items(self, tmp_path):
        manifest = mini.write_sample(tmp_path / "new" / "folder")
        assert manifest == tmp_path / "new" / "folder" / "manifest.jsonl"
        items = {(item.modality, item.id): item.value for item in mini.sample_items()}
        lines = [json.loads(line) for line in manifest.read_text().splitlines()]
        assert len(lines) == len(items) == 18
        for line in lines:
            (modality,) = line.keys() - {"id"}
            value = items[modality, line["id"]]
            if modality == "text":
                assert line["text"] == value
                path = manifest.parent / "text" / f"{line['id']}.txt"
                assert path.read_text() == value + "\n"
            elif modality == "image":
                np.testing.assert_array_equal(load_image(manifest.parent / line["image"]), value)
            else:
                sound = load_audio(manifest.parent / line["audio"])
                np.testing.assert_array_equal(sound.samples, value.samples)
                assert sound.rate_hz == value.rate_hz

    def test_writing_twice_gives_the_same_bytes(self, tmp_path):
        folders = [mini.write_sample(tmp_path / name).parent for name in "ab"]
        files = [sorted(p for p in f.rglob("*") if p.is_file()) for f in folders]
        assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]
        # Two manifests; six scenes as sound, picture and text, and to five further senses.
        assert len(files[0]) == 2 + 6 * 8

    def test_the_files_of_other_senses_hold_the_scenes(self, tmp_path):
        pytest.importorskip("av")
        folder = mini.write_sample(tmp_path).parent
        lines = [json.loads(line) for line in (folder / SENSES).read_text().splitlines()]
        assert len(lines) == 6 * 5
        scenes = SceneStream("sample").scenes(0, 6)
        rendered = {m: VIEWS[m](scenes, False) for m in VIEWS}
        for row, line in enumerate(lines):
            (modality,) = line.keys() - {"id"}
            value = registry.get(modality).load(folder / line[modality])
            expected = rendered[modality][row % 6]
            if modality == "event":
                assert value.size == (32, 32)
                for column in ("x", "y", "t_us", "p"):
                    np.testing.assert_array_equal(getattr(value, column), getattr(expected, column))
            elif modality == "video":
                np.testing.assert_array_equal(value.pixels, expected.pixels)
                np.testing.assert_allclose(value.seconds, expected.seconds, atol=1e-3)  # Matroska
            else:
                np.testing.assert_array_equal(value, expected)

    def test_without_pyav_there_are_no_videos(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sample_senses, "can_write_videos", lambda: False)
        folder = mini.write_sample(tmp_path).parent
        assert not (folder / "video").exists()
        assert '"video"' not in (folder / SENSES).read_text()
        assert (folder / "thermal").is_dir()
