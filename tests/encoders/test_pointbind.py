"""PointBind beside a slow restatement of its published networks, and as a space."""

import importlib.util
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import imagebind_toy as toy
import numpy as np
import pointbind_toy as points
import pytest
import torch
from other_device import assert_same_on
from pickles import Code

from reactions.core.errors import DataError, MediaError, MissingError, UsageError
from reactions.core.hashing import file_digest
from reactions.core.types import Item, TrainableEncoder
from reactions.encoders import registry
from reactions.encoders.base import Unusable
from reactions.encoders.imagebind.checkpoint import read
from reactions.encoders.pointbind import adapter
from reactions.encoders.pointbind.networks import I2PMAE, PointBERT, Scale
from reactions.encoders.pointbind.tower import PointNetwork, n_imagebind_keys, xyz_of
from reactions.ops.points import farthest_points
from reactions.weights.locate import WeightLocator


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("points")
    toy.write(folder / "imagebind.safetensors")
    points.write(folder / "i2pmae.pt")
    return folder


@pytest.fixture(scope="module")
def spec(folder):
    return registry.resolve_uri(uri(folder))


@pytest.fixture(scope="module")
def encoder(spec):
    return registry.load(spec)


def uri(folder, name="i2pmae.pt", **options):
    query = "".join(f"&{key}={value}" for key, value in options.items())
    return f"pointbind:{folder / name}?imagebind={folder / 'imagebind.safetensors'}{query}"


def cloud(n, seed=0):
    """Points of a box and of a ball, some near the origin."""
    rng = np.random.default_rng(seed)
    ball = rng.normal(0, 1, (n, 3))
    ball /= np.maximum(1, np.linalg.norm(ball, axis=1, keepdims=True))
    ball[1] = 0.01
    return ball.astype(np.float32)


class TestNetworks:
    def test_i2p_mae_is_the_published_one(self):
        scales = (Scale(40, 8, 12, 0.5, 2), Scale(16, 5, 18, 0.8, 1), Scale(6, 4, 24, 1.4, 2))
        network = points.filled(I2PMAE(scales))
        clouds = np.stack([cloud(90, seed) for seed in range(2)])
        with torch.inference_mode():
            actual = network(torch.from_numpy(clouds)).numpy()
        expected = np.stack([points.i2p_mae(network, xyz) for xyz in clouds])
        np.testing.assert_allclose(actual, expected, rtol=2e-4, atol=2e-4)

    def test_point_bert_is_the_published_one(self):
        network = points.filled(PointBERT(depth=2, groups=10, neighbours=6))
        clouds = np.stack([cloud(60, seed) for seed in range(2)])
        with torch.inference_mode():
            actual = network(torch.from_numpy(clouds)).numpy()
        expected = np.stack([points.point_bert(network, xyz, 2) for xyz in clouds])
        np.testing.assert_allclose(actual, expected, rtol=2e-4, atol=2e-4)

    def test_every_key_and_shape_of_the_published_i2p_mae(self):
        expected = {"pc_projection": (384, 512), "head.0.weight": (512,), "head.0.bias": (512,)}
        expected["head.2.weight"] = (1024, 512)
        widths = (96, 192, 384)
        encoder = {"norm.weight": (384,), "norm.bias": (384,)}
        for i, (before, width) in enumerate(zip((3, *widths), widths, strict=False)):
            convolutions = (
                [(128, 3), (256, 128), (512, 512), (width, 512)]
                if i == 0
                else [(before, before), (before, before), (width, 2 * before), (width, width)]
            )
            for n, (out, inside) in enumerate(convolutions):
                conv = f"{('first', 'second')[n // 2]}_conv"
                at = f"h_encoder.token_embed.{i}.{conv}"
                layer = f"{at}.{3 * (n % 2)}"
                encoder |= {f"{layer}.weight": (out, inside, 1), f"{layer}.bias": (out,)}
                if n % 2 == 0:
                    names = ("weight", "bias", "running_mean", "running_var")
                    encoder |= {f"{at}.1.{name}": (out,) for name in names}
            place = f"h_encoder.encoder_pos_embeds.{i}"
            encoder |= {f"{place}.0.weight": (width, 3), f"{place}.0.bias": (width,)}
            encoder |= {f"{place}.2.weight": (width, width), f"{place}.2.bias": (width,)}
            for j in range(5):
                at = f"h_encoder.encoder_blocks.{i}.blocks.{j}"
                for norm in ("norm1", "norm2"):
                    encoder |= {f"{at}.{norm}.weight": (width,), f"{at}.{norm}.bias": (width,)}
                encoder |= {
                    f"{at}.attn.qkv.weight": (3 * width, width),
                    f"{at}.attn.proj.weight": (width, width),
                    f"{at}.attn.proj.bias": (width,),
                    f"{at}.mlp.fc1.weight": (4 * width, width),
                    f"{at}.mlp.fc1.bias": (4 * width,),
                    f"{at}.mlp.fc2.weight": (width, 4 * width),
                    f"{at}.mlp.fc2.bias": (width,),
                }
        expected |= {f"point_encoder.{key}": shape for key, shape in encoder.items()}
        with torch.device("meta"):
            state = PointNetwork(I2PMAE(), 1024).state_dict()
        actual = {
            key: tuple(value.shape)
            for key, value in state.items()
            if not key.endswith("num_batches_tracked")
        }
        assert actual == expected

    def test_sizes_of_the_published_pointbert(self):
        with torch.device("meta"):
            state = PointNetwork(PointBERT(), 1024).state_dict()
        shapes = {key: tuple(value.shape) for key, value in state.items()}
        assert shapes["pc_projection"] == (768, 512)
        assert shapes["point_encoder.encoder.second_conv.3.weight"] == (256, 512, 1)
        assert shapes["point_encoder.reduce_dim.weight"] == (384, 256)
        assert shapes["point_encoder.pos_embed.0.weight"] == (128, 3)
        blocks = Counter(key.split(".")[3] for key in shapes if "blocks.blocks" in key)
        assert len(blocks) == 12

    def test_masked_tokens_are_left_out(self):
        # A far part of the cloud changes what near tokens are only through the pooling.
        scales = (Scale(8, 3, 12, 0.1, 1),)
        network = points.filled(I2PMAE(scales))
        near = cloud(30)
        with torch.inference_mode():
            tokens = network.h_encoder(torch.from_numpy(near)[None])
            wide = (Scale(8, 3, 12, 10.0, 1),)
            network.h_encoder.scales = wide
            other = network.h_encoder(torch.from_numpy(near)[None])
        assert (tokens - other).abs().max() > 1e-3

    def test_points_far_apart_are_those_of_the_kernel(self):
        # The pure-torch form of the kernel in the package ebind.
        package = importlib.util.find_spec("ebind")
        if package is None or not package.submodule_search_locations:
            pytest.skip("could not import 'ebind'")
        file = Path(package.submodule_search_locations[0]) / (
            "models/uni3d/pointnet2_ops/pointnet2_utils.py"
        )
        kernel_spec = importlib.util.spec_from_file_location("pointnet2_ops.pointnet2_utils", file)
        module = importlib.util.module_from_spec(kernel_spec)
        kernel_spec.loader.exec_module(module)
        clouds = torch.from_numpy(np.stack([cloud(700, seed) for seed in range(3)]))
        expected = module._furthest_point_sample_pytorch(clouds, 300)
        torch.testing.assert_close(farthest_points(clouds, 300, skip_small=True), expected)


class TestInputs:
    def test_a_cloud_of_the_right_size_is_taken_whole(self):
        xyz = cloud(8192) * 3 + 5
        actual = xyz_of(xyz)
        assert (actual.shape, actual.dtype) == ((8192, 3), np.float32)
        np.testing.assert_allclose(actual.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(actual, axis=1).max(), 1, rtol=1e-6)
        order = np.argsort(xyz[:, 0])
        np.testing.assert_array_equal(np.argsort(actual[:, 0])[:50], order[:50])

    def test_colours_are_left_aside(self):
        plain = cloud(8192)
        coloured = np.concatenate([plain, np.full_like(plain, 0.5)], axis=1)
        np.testing.assert_array_equal(xyz_of(coloured), xyz_of(plain))

    def test_more_points_are_sampled_alike_every_time(self):
        large_cloud = cloud(9000)
        first = xyz_of(large_cloud)
        np.testing.assert_array_equal(first, xyz_of(large_cloud))
        assert len(np.unique(first, axis=0)) == 8192

    def test_farthest(self):
        large_cloud = cloud(8200)
        assert len(np.unique(xyz_of(large_cloud, "farthest"), axis=0)) == 8192

    def test_fewer_are_repeated(self):
        sampled = xyz_of(cloud(100))
        np.testing.assert_array_equal(sampled[:100], sampled[100:200])

    @pytest.mark.parametrize(
        "value", [np.zeros((9, 3), np.float32), np.zeros((9, 2), np.float32), "a chair", None]
    )
    def test_unusable(self, value):
        with pytest.raises(Unusable, match="cannot embed point"):
            xyz_of(value)


class TestSpace:
    def test_it_is_imagebind_and_points(self, folder, spec):
        assert (spec.name, spec.adapter, spec.dim) == ("PointBind", "imagebind", points.DIM)
        assert spec.modalities == ("audio", "image", "point", "text")
        assert spec.hub == "image"
        assert spec.tower_digests == (("point", file_digest(folder / "i2pmae.pt")),)
        registry.check(spec)

    def test_keys_of_other_modalities_are_imagebinds(self, folder, spec):
        alone = registry.resolve_uri(f"imagebind:{folder / 'imagebind.safetensors'}")
        for modality in alone.modalities:
            assert spec.identity(modality) == alone.identity(modality)
        assert spec.identity("point")["weights"] == file_digest(folder / "i2pmae.pt")

    def test_an_embedding_is_that_of_the_network(self, encoder):
        network = PointNetwork(I2PMAE(), points.DIM).eval()
        state = points.state("i2pmae")
        network.load_state_dict(
            {
                key: state[key.replace("head.", "bind.modality_head_point.", 1)]
                if key.startswith("head.")
                else state[key]
                for key in network.state_dict()
            }
        )
        clouds = [cloud(300, seed) for seed in range(2)]
        with torch.inference_mode():
            inputs = torch.from_numpy(np.stack([xyz_of(xyz) for xyz in clouds]))
            expected = torch.nn.functional.normalize(network(inputs), dim=-1).numpy()
        items = [Item(str(i), "point", xyz) for i, xyz in enumerate(clouds)]
        np.testing.assert_allclose(encoder.embed("point", items), expected, atol=1e-5)

    def test_files(self, encoder, tmp_path):
        np.save(tmp_path / "x.npy", cloud(50))
        rows = encoder.embed("point", [Item("x", "point", tmp_path / "x.npy")])
        np.testing.assert_allclose(
            rows, encoder.embed("point", [Item("x", "point", cloud(50))]), atol=1e-6
        )
        (tmp_path / "y.npy").write_bytes(b"nothing")
        with pytest.raises(MediaError):
            encoder.embed("point", [Item("y", "point", tmp_path / "y.npy")])

    def test_other_modalities_are_imagebinds(self, folder, encoder):
        alone = registry.load(registry.resolve_uri(f"imagebind:{folder / 'imagebind.safetensors'}"))
        pictures = [Item("x", "image", np.full((30, 40, 3), 90, np.uint8))]
        np.testing.assert_array_equal(
            encoder.embed("image", pictures), alone.embed("image", pictures)
        )

    def test_pointbert(self, folder):
        points.write(folder / "pointbert.pt", "pointbert", imagebind=False)
        encoder = registry.load(registry.resolve_uri(uri(folder, "pointbert.pt")))
        rows = encoder.embed("point", [Item("x", "point", cloud(40))])
        assert rows.shape == (1, points.DIM)

    def test_it_can_be_tuned(self, encoder):
        assert isinstance(encoder, TrainableEncoder)
        tower = encoder.tower("point").eval()
        assert {name.partition(".")[0] for name, _ in tower.named_parameters()} == {
            "head",
            "pc_projection",
            "point_encoder",
        }

    def test_with_options_of_imagebind(self, folder):
        spec = registry.resolve_uri(
            uri(folder, modalities="image,thermal,video", thermal="unibind", sampling="farthest")
        )
        assert spec.modalities == ("image", "point", "thermal", "video")
        tags = dict(spec.preprocessing)
        assert tags["point"].startswith("farthest-8192")
        assert "unibind" in tags["thermal"]
        derived = registry.resolve_uri(uri(folder, event="unibind"))
        assert derived.modalities == ("audio", "event", "image", "point", "text")


class TestDamage:
    def test_another_imagebind(self, folder, tmp_path):
        contents = points.state("i2pmae")
        key = "bind.modality_heads.vision.2.weight"
        contents[key] = contents[key] + 0.01
        torch.save(contents, folder / "other.pt")
        spec = registry.resolve_uri(uri(folder, "other.pt"))
        with pytest.raises(DataError, match="belong to another ImageBind") as caught:
            registry.load(spec)
        assert key in caught.value.why
        # A tower that is not used is not compared.
        sounds = registry.resolve_uri(uri(folder, "other.pt", modalities="audio,text"))
        registry.load(sounds)

    def test_an_imagebind_is_recognised(self, folder):
        assert n_imagebind_keys(read(folder / "i2pmae.pt")) == len(toy.state())
        points.write(folder / "alone.pt", imagebind=False)
        assert n_imagebind_keys(read(folder / "alone.pt")) == 0

    def test_a_file_that_changed(self, folder, spec):
        path = folder / "changing.pt"
        points.write(path, imagebind=False)
        before = registry.resolve_uri(uri(folder, "changing.pt"))
        contents = points.state("i2pmae", imagebind=False)
        contents["pc_projection"] = contents["pc_projection"] + 1
        torch.save(contents, path)
        with pytest.raises(DataError, match="changed") as caught:
            registry.load(before)
        assert caught.value.fields["path"] == str(path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"pc_projection": None}, "is not a checkpoint of PointBind"),
            ({"pc_projection": torch.zeros(1280, 512)}, "is not a checkpoint of PointBind"),
            ({"point_encoder.norm.bias": None}, "do not fit"),
            ({"point_encoder.norm.bias": torch.zeros(3)}, "do not fit"),
            ({"point_encoder.extra": torch.zeros(3)}, "do not fit"),
        ],
    )
    def test_other_files(self, folder, change, message):
        contents = points.state("i2pmae", imagebind=False)
        for key, value in change.items():
            if value is None:
                del contents[key]
            else:
                contents[key] = value
        torch.save(contents, folder / "odd.pt")
        with pytest.raises(DataError, match=message):
            registry.load(registry.resolve_uri(uri(folder, "odd.pt")))

    def test_code_is_refused(self, folder, capsys):
        torch.save({"pc_projection": Code()}, folder / "code.pt")
        with pytest.raises(DataError):
            registry.load(registry.resolve_uri(uri(folder, "code.pt")))
        assert "ran" not in capsys.readouterr().out

    def test_a_missing_file_says_where_it_is_to_be_had(self, folder):
        with pytest.raises(MissingError, match="no weights for space 'PointBind'") as caught:
            registry.resolve_uri(uri(folder, "none.pt"))
        assert "Google Drive" in caught.value.fix

    def test_a_file_that_went_away(self, folder):
        path = points.write(folder / "going.pt", imagebind=False)
        spec = registry.resolve_uri(uri(folder, "going.pt"))
        path.unlink()
        with pytest.raises(MissingError, match="points of space 'PointBind'"):
            registry.check(spec)

    def test_a_record_that_names_no_file(self, folder, spec):
        plain = str(folder / "imagebind.safetensors")
        for changes in ({"source": plain}, {"source": plain, "tower_digests": ()}):
            for use in (registry.check, registry.load):
                with pytest.raises(MissingError, match="names no file for its point tower"):
                    use(replace(spec, **changes))
        other = replace(spec, tower_digests=(("image", "f" * 64),))
        with pytest.raises(MissingError, match="names no file for its image tower"):
            registry.load(other)

    def test_no_way_to_choose(self, folder):
        with pytest.raises(UsageError, match="no way 'fathest'"):
            registry.resolve_uri(uri(folder, sampling="fathest"))

    def test_the_published_names_are_looked_for_where_weights_lie(self, folder, tmp_path):
        folder_looked_in = tmp_path / "pointbind"
        folder_looked_in.mkdir()
        points.write(folder_looked_in / "pointbind_i2pmae.pt", imagebind=False)
        locator = WeightLocator(folders=(tmp_path,), hub=tmp_path)
        spec = adapter.PointBindAdapter().resolve(
            f"pointbind:pointbind_i2pmae.pt?imagebind={folder / 'imagebind.safetensors'}",
            locator=locator,
        )
        assert str(folder_looked_in) in spec.source

    def test_what_is_to_be_fetched_is_imagebind(self, folder):
        (needed,) = registry.requirements("pointbind:pointbind_i2pmae.pt")
        assert needed.filename == "imagebind_huge.pth"
        assert registry.requirements(uri(folder)) == ()
        assert math.isfinite(dict(registry.resolve_uri(uri(folder)).flops_per_item)["point"])


def test_cuda_gives_the_same(cuda, encoder):
    items = [Item("x", "point", cloud(3000))]
    assert_same_on(cuda, encoder, {"point": items})
