"""Modalities that an image tower embeds: events as pictures, videos as means of frames."""

import json
from dataclasses import replace

import numpy as np
import pytest
from other_device import assert_same_on
from PIL import Image

from reactions.core.errors import MissingError, UsageError
from reactions.core.types import Item
from reactions.encoders import registry
from reactions.encoders.derived import derive, native, split_derived
from reactions.encoders.precomputed.adapter import PrecomputedAdapter
from reactions.labs.lab_file import load_lab
from reactions.modalities.events.pictures import STYLES, event_picture
from reactions.modalities.events.values import Events
from reactions.modalities.videos.frames import Frames
from reactions.products.bundles.fields import spec_record
from reactions.products.bundles.record import read_spec

HOW = {"event": "unibind", "video": "frames-4"}


@pytest.fixture(scope="module")
def plain():
    return load_lab("mini").catalogue.by_name("InternVL")


@pytest.fixture(scope="module")
def spec(plain):
    return derive(plain, HOW)


@pytest.fixture(scope="module")
def encoder(spec):
    return registry.load(spec)


def recording(seed=0, n=500, size=(40, 50)):
    rng = np.random.default_rng(seed)
    return Events(
        rng.integers(5, size[1] - 7, n).astype(np.uint16),
        rng.integers(3, size[0] - 4, n).astype(np.uint16),
        np.sort(rng.integers(0, 300_000, n)).astype(np.int64),
        rng.integers(0, 2, n).astype(np.uint8),
        size,
    )


def film(n, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (n, 36, 48, 3), dtype=np.uint8)
    return Frames(pixels, np.arange(n) / 10)


class TestSpec:
    def test_nothing_else_changes(self, plain, spec):
        assert spec.modalities == ("event", "image", "text", "video")
        for modality in plain.modalities:
            assert spec.identity(modality) == plain.identity(modality)
        assert native(spec) == plain
        assert native(plain) is plain

    def test_tags_and_costs_say_how(self, plain, spec):
        tags, flops = dict(spec.preprocessing), dict(spec.flops_per_item)
        assert tags["event"] == f"event-unibind-1 {tags['image']}"
        assert tags["video"] == f"video-frames-4-1 {tags['image']}"
        assert flops["video"] == 4 * flops["event"] == 4 * flops["image"]

    def test_how_stands_in_the_keys(self, plain, spec):
        others = [derive(plain, {"event": style}) for style in STYLES]
        assert len({str(other.identity("event")) for other in others}) == len(STYLES)
        assert spec.identity("event") == others[0].identity("event")
        weights = replace(spec, weights_digest="e" * 64)
        assert weights.identity("video") != spec.identity("video")
        moved = replace(spec, tower_digests=(("image", "f" * 64),))
        assert moved.identity("video")["weights"] == "f" * 64

    def test_bundles_keep_it(self, spec):
        assert read_spec(json.loads(json.dumps(spec_record(spec)))) == spec

    @pytest.mark.parametrize(
        ("how_derived", "why"),
        [
            ({"event": "unibnd"}, "no style of event pictures is called 'unibnd'"),
            ({"video": "frames"}, "cannot embed videos by 'frames'"),
            ({"video": "frames-0"}, "cannot embed videos by 'frames-0'"),
            ({"video": "frames-257"}, "cannot embed videos by 'frames-257'"),
        ],
    )
    def test_mistakes(self, plain, how_derived, why):
        with pytest.raises(UsageError, match=why):
            derive(plain, how_derived)

    @pytest.mark.parametrize(
        "changes",
        [
            {"derived": (("smell", "x"),)},
            {"derived": (("image", "x"),)},
            {"derived": (("event", "x"),)},
            {"derived": (("video", "x"),)},
            {"modalities": ("event", "text", "video")},
        ],
    )
    def test_a_record_that_says_anything(self, spec, changes):
        for use in (registry.check, registry.load):
            with pytest.raises(UsageError):
                use(replace(spec, **changes))

    def test_without_images(self):
        sounds = load_lab("mini").catalogue.by_name("CLAP_m")
        with pytest.raises(UsageError, match="cannot embed event by an image tower") as caught:
            derive(sounds, {"event": "unibind"})
        assert "audio, text" in caught.value.why

    def test_of_its_own(self, spec):
        with pytest.raises(UsageError, match="embeds event by a tower of its own"):
            derive(spec, {"event": "eclip"})

    def test_folders_of_embeddings_have_no_towers(self, tmp_path):
        np.save(tmp_path / "image.npy", np.eye(4, dtype=np.float32))
        folder = PrecomputedAdapter().resolve(f"precomputed:{tmp_path}")
        with pytest.raises(UsageError, match="cannot embed") as caught:
            derive(folder, {"event": "unibind"})
        assert "in files" in caught.value.why


class TestEncoder:
    @pytest.mark.parametrize("style", STYLES)
    def test_an_event_is_its_picture(self, plain, style):
        encoder = registry.load(derive(plain, {"event": style}))
        items = [Item(str(i), "event", recording(i)) for i in range(3)]
        pictures = [Item(i.id, "image", event_picture(i.value, style)) for i in items]
        np.testing.assert_array_equal(
            encoder.embed("event", items), encoder.embed("image", pictures)
        )

    def test_an_event_that_is_a_picture_is_taken_as_it_is(self, encoder, tmp_path):
        pixels = event_picture(recording(), "eclip")
        Image.fromarray(pixels).save(tmp_path / "x.png")
        first = encoder.embed("event", [Item("x", "event", tmp_path / "x.png")])
        np.testing.assert_array_equal(first, encoder.embed("image", [Item("x", "image", pixels)]))

    def test_a_video_is_the_mean_of_its_frames(self, encoder):
        video = film(9)
        (row,) = encoder.embed("video", [Item("x", "video", video)])
        # The middles of four parts of 0.9 seconds lie at 0.1125, 0.3375, 0.5625 and 0.7875.
        frames = [Item(str(i), "image", video.pixels[i]) for i in (1, 3, 5, 7)]
        rows = encoder.embed("image", frames).astype(np.float64)
        mean = rows.mean(axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)

    def test_a_short_video_repeats_frames(self, encoder):
        video = film(1)
        (row,) = encoder.embed("video", [Item("x", "video", video)])
        (frame,) = encoder.embed("image", [Item("x", "image", video.pixels[0])])
        np.testing.assert_allclose(row, frame, atol=1e-6)

    def test_many_videos_at_once_and_alone(self, encoder):
        items = [Item(str(i), "video", film(5 + i, i)) for i in range(70)]
        prepared = [encoder.preprocess("video", item) for item in items]
        together = encoder.forward("video", prepared)
        alone = np.concatenate([encoder.embed("video", [item]) for item in items[:3]])
        np.testing.assert_allclose(together[:3], alone, atol=1e-6)

    def test_it_can_be_trained(self, encoder):
        tower = encoder.tower("video")
        prepared = [encoder.preprocess("video", Item(str(i), "video", film(6, i))) for i in (0, 1)]
        tower(prepared)[0, 0].backward()
        assert all(parameter.grad is not None for parameter in tower.parameters())

    def test_other_modalities_are_as_before(self, plain, encoder):
        before = registry.load(plain)
        items = [Item("x", "text", "a cat"), Item("y", "text", "rain")]
        np.testing.assert_array_equal(encoder.embed("text", items), before.embed("text", items))

    def test_encoders_without_towers(self, spec, monkeypatch):
        class Whole:
            def load(self, spec, device):
                return object()

        monkeypatch.setattr(registry, "_adapter", lambda name: Whole())
        with pytest.raises(MissingError, match="opens it without towers"):
            registry.load(spec)


class TestNames:
    def test_a_lab_file(self, tmp_path, plain):
        source = registry.ADAPTERS  # any lab may name a mini space
        assert "mini" in source
        path = tmp_path / "molspace.toml"
        path.write_text(
            '[lab]\nextends = "mini"\n[spaces.Seer]\nadapter = "mini"\n'
            f'source = "InternVL.safetensors"\ndim = 96\nmodalities = ["image", "text"]\n'
            f'digest = "{plain.weights_digest}"\nevent = "unibind"\nvideo = "frames-4"\n'
            f'preprocessing = {{ image = "{dict(plain.preprocessing)["image"]}" }}\n'
        )
        spec = load_lab(path).catalogue.by_name("Seer")
        assert spec.derived == (("event", "unibind"), ("video", "frames-4"))
        assert spec.modalities == ("event", "image", "text", "video")

    def test_a_uri(self, tmp_path):
        import imagebind_toy as toy

        path = toy.write(tmp_path / "toy.safetensors")
        spec = registry.resolve_uri(f"imagebind:{path}?event=unibind&video=frames-2")
        assert spec.derived == (("event", "unibind"), ("video", "frames-2"))
        assert spec.source == str(path)
        rows = registry.load(spec).embed("event", [Item("x", "event", recording())])
        assert rows.shape == (1, toy.SIZES.dim)

    def test_other_options_stay(self):
        assert split_derived("hf:a/b?precision=bf16&event=eclip") == (
            "hf:a/b?precision=bf16",
            {"event": "eclip"},
        )
        assert split_derived("hf:a/b?precision=bf16") == ("hf:a/b?precision=bf16", {})

    def test_a_slip_of_the_keyboard(self):
        with pytest.raises(MissingError, match="unknown option 'evnt'") as caught:
            registry.resolve_uri("hf:a/b?evnt=unibind")
        assert "'event'" in caught.value.fix


def test_cuda_gives_the_same(cuda, encoder):
    values = {"event": recording(), "video": film(9)}
    items = {modality: [Item("x", modality, value)] for modality, value in values.items()}
    assert_same_on(cuda, encoder, items)
