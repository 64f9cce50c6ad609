"""open_clip: parity with the package on tiny random models saved in its own formats."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import open_clip_tiny
import pytest
import torch
from open_clip_tiny import CONFIG, DIM, SQUASHED, snapshot
from other_device import assert_same_on
from PIL import Image
from safetensors.torch import save_file

from reactions.core.errors import DataError, MediaError, MissingError
from reactions.core.types import Item, StagedEncoder
from reactions.encoders import registry
from reactions.encoders.open_clip import adapter, model_names
from reactions.weights.locate import WeightLocator

ADAPTER = adapter.OpenClipAdapter()

open_clip = pytest.importorskip("open_clip")

pytestmark = pytest.mark.usefixtures("no_network")

CAPTIONS = ["a red square", "", "two dogs, barking; " * 9, "Ünïcode  and\ttabs &amp; more"]
EXACT = 2e-6  # single precision: the batch is the same, only the order of scaling differs


@pytest.fixture(scope="module", autouse=True)
def _tiny(tmp_path_factory):
    with open_clip_tiny.known(tmp_path_factory.mktemp("configs")):
        yield


@pytest.fixture(scope="module")
def state():
    return open_clip_tiny.state()


@pytest.fixture
def checkpoint(tmp_path, state):
    return open_clip_tiny.save(tmp_path / "epoch_9.pt", state)


@pytest.fixture
def pictures(tmp_path):
    """Real files: a wide JPEG, a tall PNG, a grey one, one with a palette."""
    rng = np.random.default_rng(3)
    paths = []
    for i, (height, width, mode, suffix) in enumerate(
        [(40, 71, "RGB", "jpg"), (90, 33, "RGB", "png"), (32, 32, "L", "png"), (50, 51, "P", "png")]
    ):
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        path = tmp_path / f"{i}.{suffix}"
        Image.fromarray(pixels).convert(mode).save(path)
        paths.append(path)
    return paths


def items(modality, values):
    return [Item(str(i), modality, value) for i, value in enumerate(values)]


def rgb(path):
    # Left to itself open_clip resizes a palette's numbers, not its colours.
    return Image.open(path).convert("RGB")


def unit(rows):
    return torch.nn.functional.normalize(rows, dim=-1).numpy()


@torch.no_grad()
def theirs(path, pictures, **settings):
    """The embeddings as open_clip's own calls make them."""
    model, _, transform = open_clip.create_model_and_transforms(
        "Tiny-16", pretrained=str(path), **settings
    )
    tokens = open_clip.get_tokenizer("Tiny-16")(CAPTIONS)
    images = torch.stack([transform(rgb(path)) for path in pictures])
    model.eval()
    return unit(model.encode_image(images)), unit(model.encode_text(tokens))


def ours(uri, pictures, device="cpu"):
    spec = registry.resolve_uri(uri)
    encoder = registry.load(spec, device)
    return encoder.embed("image", items("image", pictures)), encoder.embed(
        "text", items("text", CAPTIONS)
    )


class TestParity:
    def test_a_checkpoint_of_ones_own(self, checkpoint, pictures):
        for actual, reference in zip(
            ours(f"open_clip:Tiny-16/{checkpoint}", pictures),
            theirs(checkpoint, pictures),
            strict=True,
        ):
            np.testing.assert_allclose(actual, reference, atol=EXACT)

    def test_a_published_tag_with_its_own_preprocessing(self, state, pictures):
        folder = snapshot("maker/tiny-two", {"open_clip_model.safetensors": state})
        actual = ours("open_clip:Tiny-16/two-B", pictures)  # tags are spelt in two ways
        reference = theirs(
            folder / "open_clip_model.safetensors",
            pictures,
            image_mean=SQUASHED["mean"],
            image_std=SQUASHED["std"],
            image_interpolation="bilinear",
            image_resize_mode="squash",
        )
        for a, b in zip(actual, reference, strict=True):
            np.testing.assert_allclose(a, b, atol=EXACT)

    def test_a_repository_on_the_hub_and_a_folder(self, state, pictures, tmp_path):
        config = {"model_cfg": CONFIG, "preprocess_cfg": {**SQUASHED, "resize_mode": "longest"}}
        files = {
            "open_clip_config.json": json.dumps(config),
            "open_clip_pytorch_model.bin": state,
            "README.md": "---\nlicense: mit\n---\n",
        }
        folder = snapshot("maker/whole", files)
        model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        images = torch.stack([transform(rgb(path)) for path in pictures])
        with torch.no_grad():
            reference = unit(model.eval().encode_image(images))
        for uri in ("open_clip:hf-hub:maker/whole", f"open_clip:{folder}"):
            np.testing.assert_allclose(ours(uri, pictures)[0], reference, atol=EXACT)
        spec = registry.resolve_uri("open_clip:hf-hub:maker/whole")
        assert (spec.name, spec.licence, spec.revision) == ("whole", "mit", "c" * 40)
        assert spec.source == f"open_clip:hf-hub:maker/whole@{'c' * 40}"
        assert spec.weights_digest == registry.resolve_uri(f"open_clip:{folder}").weights_digest

    def test_a_person_may_name_another_folder(self, state, tmp_path):
        folders = []
        for name in ("one", "two"):
            folders.append(tmp_path / name)
            folders[-1].mkdir()
            config = {"model_cfg": CONFIG, "preprocess_cfg": SQUASHED}
            (folders[-1] / "open_clip_config.json").write_text(json.dumps(config))
            torch.save(state, folders[-1] / "open_clip_pytorch_model.bin")
        locator = WeightLocator(overrides={"X": folders[1]})
        spec = registry.resolve_uri(f"open_clip:{folders[0]}", name="X", locator=locator)
        assert spec.source == f"open_clip:{folders[1]}"
        locator = WeightLocator(overrides={"X": tmp_path / "nowhere"})
        with pytest.raises(MissingError, match="nowhere"):
            registry.resolve_uri(f"open_clip:{folders[0]}", name="X", locator=locator)

    def test_weights_trained_with_a_quick_gelu_get_one(self, state, pictures):
        folder = snapshot("maker/tiny-quick", {"weights.bin": state})
        model = open_clip.CLIP(**CONFIG, quick_gelu=True).eval()
        model.load_state_dict(state)
        tokens = open_clip.get_tokenizer("Tiny-16")(CAPTIONS)
        with torch.no_grad():
            reference = unit(model.encode_text(tokens))
        np.testing.assert_allclose(
            ours("open_clip:Tiny-16/quick", pictures)[1], reference, atol=EXACT
        )
        plain = registry.resolve_uri(f"open_clip:Tiny-16/{folder / 'weights.bin'}")
        quick = registry.resolve_uri(f"open_clip:Tiny-16/{folder / 'weights.bin'}?like=quick")
        assert plain.weights_digest != quick.weights_digest

    @pytest.mark.parametrize("resize", ["shortest", "longest", "squash"])
    @pytest.mark.parametrize("filter_name", ["bicubic", "bilinear"])
    @pytest.mark.parametrize("size", [32, 33, (24, 40)])
    def test_the_image_transform(self, resize, filter_name, size, pictures):
        settings = {
            "size": size,
            "mean": (0.1, 0.2, 0.3),
            "std": (0.4, 0.5, 0.6),
            "interpolation": filter_name,
            "resize_mode": resize,
            "fill_color": 7,
        }
        reference = open_clip.transform.image_transform_v2(
            open_clip.transform.PreprocessCfg(**settings), is_train=False
        )
        config = {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "image_size": size}}
        transform = adapter._transform(
            model_names.OpenClipModel("", "", config, preprocess=settings)
        )
        for path in pictures:
            image = Image.open(path).convert("RGB")
            fitted = torch.from_numpy(transform.fit(np.asarray(image)))
            actual = transform.normalise(fitted[None])[0]
            # One rounding of single precision.
            torch.testing.assert_close(actual, reference(image), atol=1e-6, rtol=0.0)


class TestDescription:
    def test_it_says_what_is_known_before_anything_is_loaded(self, checkpoint, monkeypatch):
        monkeypatch.setattr(adapter, "import_package", None)
        spec = registry.resolve_uri(f"open_clip:Tiny-16/{checkpoint}")
        assert (spec.name, spec.dim, spec.modalities) == (
            "Tiny-16-epoch_9",
            DIM,
            ("image", "text"),
        )
        assert (spec.adapter, spec.hub) == ("open_clip", None)
        assert spec.source == f"open_clip:Tiny-16/{checkpoint}"
        assert dict(spec.preprocessing)["text"] == "clip-bpe-truncate12-1"
        assert dict(spec.preprocessing)["image"].startswith("shortest-bicubic-32x32-")
        # 2 layers of width 32 on 4 patches and a class token: 24 w^2 + 4 w n operations a token.
        assert dict(spec.flops_per_item)["image"] == 2 * 5 * (24 * 32**2 + 4 * 32 * 5)

    def test_moving_or_naming_a_checkpoint_changes_nothing_that_counts(self, checkpoint, tmp_path):
        first = registry.resolve_uri(f"open_clip:Tiny-16/{checkpoint}")
        moved = tmp_path / "moved.pt"
        moved.write_bytes(checkpoint.read_bytes())
        second = ADAPTER.resolve(f"open_clip:Tiny-16/{moved}", name="mine")
        assert second.name == "mine"
        for modality in ("image", "text"):
            assert first.identity(modality) == second.identity(modality)

    def test_preprocessing_and_precision_are_part_of_the_identity(self, checkpoint):
        uri = f"open_clip:Tiny-16/{checkpoint}"
        plain, half, like = (
            registry.resolve_uri(uri + option)
            for option in ("?precision=fp32", "?precision=bf16", "?like=two_b")
        )
        assert plain == registry.resolve_uri(uri)
        for modality in ("image", "text"):
            assert half.identity(modality) != plain.identity(modality)
        assert like.identity("image") != plain.identity("image")
        assert like.identity("text") == plain.identity("text")

    def test_a_person_may_say_where_a_tags_weights_lie(self, checkpoint, pictures):
        locator = WeightLocator.of_environment({"Mine": checkpoint})
        spec = ADAPTER.resolve("open_clip:Tiny-16/two_b", name="Mine", locator=locator)
        assert spec.source == f"open_clip:Tiny-16/{checkpoint}?like=two_b"
        rows = registry.load(spec).embed("image", items("image", pictures))
        like = ours(f"open_clip:Tiny-16/{checkpoint}?like=two_b", pictures)[0]
        np.testing.assert_array_equal(rows, like)

    def test_what_has_to_be_fetched(self):
        (requirement,) = registry.requirements("open_clip:Tiny-16/two_b")
        assert requirement.repo == "maker/tiny-two"
        assert requirement.weights[0] == "open_clip_model.safetensors"
        (requirement,) = registry.requirements("open_clip:hf-hub:maker/whole@v2")
        assert (requirement.repo, requirement.revision) == ("maker/whole", "v2")
        (requirement,) = registry.requirements("open_clip:ViT-B-16-SigLIP/webli")
        assert requirement.repo == "timm/ViT-B-16-SigLIP"
        weights, tower = registry.requirements(
            "open_clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k"
        )
        assert "xlm-roberta" in weights.repo
        assert (tower.repo, tower.weights) == ("xlm-roberta-base", ())

    def test_the_tables_are_read_without_importing_the_package(self, monkeypatch):
        with monkeypatch.context() as forgetful:
            forgetful.delitem(sys.modules, "open_clip")
            first = model_names._tables("open_clip:x")
        assert "ViT-B-32" in first["configs"]

        def fail(*args):
            raise AssertionError("imported the package for its tables")

        monkeypatch.setattr(model_names, "import_package", fail)
        with monkeypatch.context() as forgetful:
            forgetful.delitem(sys.modules, "open_clip")
            reread = model_names._tables("open_clip:x")
        assert reread == json.loads(json.dumps(first))


class TestEncoder:
    def test_it_works_in_stages(self, checkpoint, pictures):
        encoder = registry.load(registry.resolve_uri(f"open_clip:Tiny-16/{checkpoint}"))
        assert isinstance(encoder, StagedEncoder)
        for modality, values in (("image", pictures), ("text", CAPTIONS)):
            with ThreadPoolExecutor(4) as pool:
                work = items(modality, values * 5)
                ready = list(pool.map(lambda i, m=modality: encoder.preprocess(m, i), work))
            rows = encoder.forward(modality, ready)
            assert (rows.shape, rows.dtype) == ((len(work), DIM), np.float32)
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
            # The same item among others: sums in another order.
            np.testing.assert_allclose(rows[:4], encoder.embed(modality, work[:4]), atol=1e-6)
            np.testing.assert_array_equal(rows[:4], rows[4:8])
        assert encoder.forward("text", []).shape == (0, DIM)

    def test_half_precision_is_near(self, checkpoint, pictures):
        exact = ours(f"open_clip:Tiny-16/{checkpoint}", pictures)
        half = ours(f"open_clip:Tiny-16/{checkpoint}?precision=bf16", pictures)
        for a, b in zip(exact, half, strict=True):
            assert not np.array_equal(a, b)
            assert ((a * b).sum(axis=1) > 0.999).all()  # eight bits of mantissa, four layers

    def test_bad_items_are_named(self, checkpoint, tmp_path, pictures):
        encoder = registry.load(registry.resolve_uri(f"open_clip:Tiny-16/{checkpoint}"))
        cut = tmp_path / "cut.png"
        cut.write_bytes(pictures[1].read_bytes()[:300])
        bad = [
            ("image", cut, "cannot decode"),
            ("image", np.zeros((4, 4), np.uint8), "uint8 pixels"),
            ("image", np.zeros((0, 4, 3), np.uint8), "uint8 pixels"),
            ("image", np.zeros((400_000, 1, 3), np.uint8), "narrow"),
            ("text", "lone \ud800 surrogate", "Unicode"),
            ("text", 3, "string"),
        ]
        for modality, value, message in bad:
            with pytest.raises(MediaError, match=message) as caught:
                encoder.embed(modality, [Item("the-one", modality, value)])
            assert caught.value.fields["id"] == "the-one"
        with pytest.raises(DataError, match="does not embed audio"):
            encoder.embed("audio", [])

    def test_weights_that_are_not_finite_are_reported(self, state, tmp_path):
        broken = {k: v.clone() for k, v in state.items()}
        broken["visual.proj"][0, 0] = float("nan")
        path = tmp_path / "nan.safetensors"
        save_file(broken, path)
        encoder = registry.load(registry.resolve_uri(f"open_clip:Tiny-16/{path}"))
        with pytest.raises(DataError, match="1 of 1 are zero or not finite"):
            encoder.embed("image", items("image", [np.zeros((9, 9, 3), np.uint8)]))


def test_cuda_gives_the_same(cuda, checkpoint, pictures):
    encoder = registry.load(registry.resolve_uri(f"open_clip:Tiny-16/{checkpoint}"))
    photos, captions = items("image", pictures), items("text", CAPTIONS)
    assert_same_on(cuda, encoder, {"image": photos, "text": captions})
