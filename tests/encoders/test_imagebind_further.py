"""ImageBind's videos, thermal and depth pictures and readings of inertial units."""

import imagebind_toy as toy
import numpy as np
import pytest
import torch

from reactions.core.errors import DataError, MediaError, UsageError
from reactions.core.types import Item
from reactions.encoders import registry
from reactions.encoders.base import Unusable
from reactions.encoders.imagebind import images, imu, video
from reactions.encoders.imagebind.adapter import ALL, ImageBindAdapter
from reactions.encoders.imagebind.sizes import HUGE, flops
from reactions.encoders.imagebind.towers import ImageBind
from reactions.encoders.imagebind.variants import USUAL, Variants, variants_of
from reactions.modalities.videos.frames import Frames


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return toy.write(tmp_path_factory.mktemp("toy") / "toy.safetensors")


def film(n=60, height=40, width=50, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    return Frames(pixels, np.arange(n) / 6)


def uri(path, **options):
    query = "&".join(f"{key}={value}" for key, value in options.items())
    return f"imagebind:{path}?{query}"


class TestVideo:
    def test_what_is_taken(self):
        video_of_ten_seconds = film(60)
        frames = video.scaled_frames(video_of_ten_seconds)
        assert (frames.shape, frames.dtype) == ((10, 3, 224, 280), np.float32)
        views = video.views(torch.from_numpy(frames))
        assert views.shape == (15, 3, 2, 224, 224)
        # Clips begin at 0, 2, 4, 6 and 8 seconds: their first and last frames of twelve.
        first = frames[2]
        pixels = torch.from_numpy(video_of_ten_seconds.pixels[12]).permute(2, 0, 1)[None].float()
        scaled = torch.nn.functional.interpolate(
            pixels / 255, (224, 280), mode="bilinear", align_corners=False
        )[0]
        mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
        std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
        torch.testing.assert_close(torch.from_numpy(first), (scaled - mean) / std)
        np.testing.assert_array_equal(views[3, :, 0], first[:, :, :224])
        np.testing.assert_array_equal(views[4, :, 0], first[:, :, 28:252])
        np.testing.assert_array_equal(views[5, :, 1], frames[3][:, :, 56:])

    def test_upright_videos_are_cropped_from_top_to_bottom(self):
        frames = torch.arange(10 * 3 * 225 * 224).float().view(10, 3, 225, 224)
        views = video.views(frames)
        assert [int(view[0, 0, 0, 0]) // 224 for view in views[:3]] == [0, 1, 1]

    def test_an_embedding_is_the_mean_of_its_views(self, path):
        encoder = registry.load(registry.resolve_uri(uri(path, modalities="video")))
        item = Item("x", "video", film())
        (row,) = encoder.embed("video", [item])
        network = ImageBind(toy.SIZES, ("image",))
        network.load_state_dict({k: v for k, v in toy.state().items() if k in network.state_dict()})
        with torch.inference_mode():
            views = video.views(torch.from_numpy(video.scaled_frames(item.value)))
            rows = torch.cat([network("image", view[None]) for view in views])
        mean = rows.mean(dim=0).numpy()
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-5)

    def test_a_still_video_is_its_picture(self):
        network = ImageBind(toy.SIZES, ("image",)).eval()
        state = toy.state()
        network.load_state_dict({k: state[k] for k in network.state_dict()})
        pictures = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            film_rows = network("image", pictures[:, :, None].expand(-1, -1, 2, -1, -1))
            torch.testing.assert_close(film_rows, network("image", pictures), atol=1e-5, rtol=1e-4)

    def test_videos_share_the_weights_of_images(self, path):
        spec = registry.resolve_uri(uri(path, modalities="image,video"))
        encoder = registry.load(spec)
        weights = [
            {p.data_ptr() for p in encoder.tower(m).parameters()} for m in ("image", "video")
        ]
        assert weights[0] == weights[1]

    def test_too_narrow(self):
        narrow = Frames(np.zeros((1, 1, 3000, 3), np.uint8), np.zeros(1))
        with pytest.raises(Unusable, match="cannot embed video") as caught:
            video.scaled_frames(narrow)
        assert "narrow" in caught.value.why
        with pytest.raises(Unusable, match="cannot embed video"):
            video.scaled_frames(np.zeros((2, 4, 4, 3), np.uint8))


class TestThermal:
    def test_eight_bits_are_scaled_as_such(self):
        levels = np.random.default_rng(0).integers(0, 256, (300, 250)).astype(np.uint8)
        (actual,) = images.grey(levels.astype(np.float32) / np.float32(255))
        expected = images._MIDDLE.resized(levels)
        np.testing.assert_array_equal(actual, expected.astype(np.float32) / np.float32(255))

    def test_radiometric_ones_are_not_rounded(self):
        fine = np.linspace(0, 1, 300 * 250, dtype=np.float32).reshape(300, 250)
        actual = images.grey(fine)
        assert 0 <= actual.min() < actual.max() <= 1
        assert np.unique(actual).size > 1000

    def test_unibind(self):
        values = np.full((224, 224), 0.75, np.float32)
        np.testing.assert_allclose(images.grey(values), 0.75, atol=2e-3)
        np.testing.assert_allclose(images.grey(values, Variants(thermal="unibind")), 0.5, atol=4e-3)


class TestDepth:
    def test_sunrgbd_disparity(self):
        metres = np.full((240, 320), 2.0, np.float32)
        metres[:, 160:] = 20.0  # beyond eight metres
        (actual,) = images.disparity(metres, Variants(depth="sunrgbd-disparity"))
        shares = [0.075 * 518.857901 / distance_m / 75 for distance_m in (2.0, 8.0)]
        expected = [(share - 0.0418) / 0.0295 for share in shares]
        np.testing.assert_allclose([actual[0, 0], actual[0, -1]], expected, rtol=1e-4)

    def test_omnivore_took_eight_times_as_much(self):
        metres = np.full((224, 224), 2.0, np.float32)
        ways = Variants(depth="omnivore-disparity", baseline_m=0.095, focal_px=525.0)
        expected = (0.095 * 525 / 16 / 75 - 0.0418) / 0.0295
        np.testing.assert_allclose(images.disparity(metres, ways), expected, rtol=1e-4)

    def test_holes_are_taken_for_the_nearest(self):
        hole = np.zeros((224, 224), np.float32)
        (actual,) = images.disparity(hole, Variants(depth="sunrgbd-disparity"))
        np.testing.assert_allclose(actual, (1 - 0.0418) / 0.0295, rtol=1e-5)

    def test_a_picture_holds_no_standardised_disparities(self, path, tmp_path):
        from PIL import Image

        millimetres = np.full((64, 64), 2000, np.uint16)
        Image.fromarray(millimetres).save(tmp_path / "x.png")
        np.save(tmp_path / "x.npy", np.zeros((64, 64), np.float32) + 0.3)
        usual = registry.load(registry.resolve_uri(uri(path, modalities="depth")))
        with pytest.raises(MediaError, match="cannot embed the depth map") as caught:
            usual.embed("depth", [Item("x", "depth", tmp_path / "x.png")])
        assert "sunrgbd-disparity" in caught.value.fix
        assert usual.embed("depth", [Item("x", "depth", tmp_path / "x.npy")]).shape == (1, 24)
        ways = {"modalities": "depth", "depth": "sunrgbd-disparity"}
        other = registry.load(registry.resolve_uri(uri(path, **ways)))
        metres = Item("x", "depth", np.full((64, 64), 2.0, np.float32))
        np.testing.assert_allclose(
            other.embed("depth", [Item("x", "depth", tmp_path / "x.png")]),
            other.embed("depth", [metres]),
            atol=1e-6,
        )


class TestImu:
    def test_windows(self, path, tmp_path):
        encoder = registry.load(registry.resolve_uri(uri(path, modalities="imu")))
        window = np.random.default_rng(0).normal(0, 1, (6, 2000)).astype(np.float32)
        np.save(tmp_path / "x.npy", window)
        rows = encoder.embed(
            "imu", [Item("x", "imu", window), Item("y", "imu", tmp_path / "x.npy")]
        )
        np.testing.assert_array_equal(rows[0], rows[1])
        assert "unproven" in dict(encoder.spec.preprocessing)["imu"]

    @pytest.mark.parametrize("shape", [(6, 1999), (3, 2000), (2000, 6)])
    def test_other_shapes(self, shape):
        with pytest.raises(Unusable, match="cannot embed imu"):
            imu.readings(np.zeros(shape, np.float32))

    def test_not_finite(self):
        with pytest.raises(Unusable, match="cannot embed imu"):
            imu.readings(np.full((6, 2000), np.inf, np.float32))

    def test_files_that_are_none(self, path, tmp_path):
        (tmp_path / "x.npy").write_bytes(b"\x93NUMPY nonsense")
        encoder = registry.load(registry.resolve_uri(uri(path, modalities="imu")))
        with pytest.raises(MediaError, match="cannot read the readings"):
            encoder.embed("imu", [Item("x", "imu", tmp_path / "x.npy")])


class TestNames:
    def test_without_options_all_is_as_before(self, path):
        spec = registry.resolve_uri(f"imagebind:{path}")
        assert spec.modalities == ("audio", "image", "text")
        assert spec.source == str(path)
        with_all = registry.resolve_uri(uri(path, modalities="all"))
        assert with_all.modalities == ALL == ("audio", "depth", "image", "text", "thermal", "video")
        for modality in spec.modalities:
            assert with_all.identity(modality) == spec.identity(modality)
        registry.check(with_all)

    def test_variants_stand_in_the_tags_of_their_own_modality(self, path):
        usual = registry.resolve_uri(uri(path, modalities="all"))
        other = registry.resolve_uri(
            uri(path, modalities="all", thermal="unibind", depth="omnivore-disparity", focal=525)
        )
        changed = {m for m in ALL if usual.identity(m) != other.identity(m)}
        assert changed == {"thermal", "depth"}
        assert "focal525.0" in dict(other.preprocessing)["depth"]
        # What was described is what is opened.
        item = Item("x", "thermal", np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64))
        rows = [registry.load(s).embed("thermal", [item]) for s in (usual, other)]
        assert np.abs(rows[0] - rows[1]).max() > 1e-3

    def test_a_half_has_them_too(self, path):
        spec = registry.resolve_uri(f"imagebind_float16:{path}?modalities=thermal&thermal=unibind")
        assert spec.adapter == "imagebind_float16"
        item = Item("x", "thermal", np.full((64, 64), 0.9, np.float32))
        assert registry.load(spec).embed("thermal", [item]).shape == (1, 24)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"modalities": "image,vidio"}, DataError, "does not embed vidio"),
            ({"thermal": "unibind"}, UsageError, "none are embedded"),
            ({"modalities": "thermal", "thermal": "unibnd"}, UsageError, "thermal='unibnd'"),
            ({"modalities": "thermal", "radiometric": "x"}, UsageError, "radiometric='x'"),
            ({"modalities": "depth", "focal": "525"}, UsageError, "changes nothing"),
            ({"modalities": "depth", "stored": "sunrgbd"}, UsageError, "changes nothing"),
            ({"sampling": "random"}, UsageError, "none are embedded"),
        ],
    )
    def test_mistakes(self, path, options, error, message):
        with pytest.raises(error, match=message):
            registry.resolve_uri(uri(path, **options))

    @pytest.mark.parametrize("text", ["0", "-1", "nan", "x", "1e9"])
    def test_cameras_that_are_none(self, text):
        with pytest.raises(UsageError, match="not a number of pixels above 0"):
            variants_of({"depth": "sunrgbd-disparity", "focal": text})

    def test_usual(self):
        assert variants_of({}) == USUAL


def test_the_copy_without_a_pickle_is_pinned(tmp_path):
    (needed,) = ImageBindAdapter().requirements("imagebind:model.safetensors")
    assert needed.repo == "nielsr/imagebind-huge"
    assert len(needed.revision) == 40


def test_costs():
    assert flops("video") == pytest.approx(15 * flops("image"))
    assert 0 < flops("imu") < flops("image")
    assert HUGE.towers["imu"].depth == 6
