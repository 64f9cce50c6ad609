"""transformers: parity with the package on tiny random models saved in its own formats."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import hf_tiny
import numpy as np
import pytest
import torch
from hf_tiny import CAPTIONS, COMMIT, FAMILIES, cached, items, opened
from other_device import assert_same_on
from PIL import Image
from safetensors.torch import load_file, save_file

from reactions.core.errors import DataError, MediaError, MissingError
from reactions.core.types import Item, StagedEncoder
from reactions.encoders import registry
from reactions.encoders.preprocessing.image_transform import ImageTransform
from reactions.encoders.transformers import clip, image_processor, repository
from reactions.weights.locate import WeightLocator

ADAPTER = clip.HfAdapter()

transformers = pytest.importorskip("transformers")

EXACT = 1e-6  # single precision, summed in another order


pytestmark = pytest.mark.usefixtures("no_network")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return hf_tiny.save_pictures(tmp_path_factory.mktemp("pictures"))


@torch.no_grad()
def features(model, **inputs):
    kind = "text" if "input_ids" in inputs else "image"
    actual = getattr(model, f"get_{kind}_features")(**inputs)
    return torch.nn.functional.normalize(getattr(actual, "pooler_output", actual), dim=-1).numpy()


def processor_of(folder, **options):
    with repository.quiet():
        return transformers.AutoImageProcessor.from_pretrained(str(folder), **options)


def by_pillow(folder):
    """Their image processor, made to resize with Pillow."""
    version = int(transformers.__version__.split(".")[0])
    return processor_of(folder, **({"backend": "pil"} if version >= 5 else {"use_fast": False}))


class TestParity:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_pictures(self, family, hf_saved, pictures):
        folder, model = hf_saved[family]
        images = [Image.open(path).convert("RGB") for path in pictures]
        reference = features(model, **by_pillow(folder)(images=images, return_tensors="pt"))
        actual = opened(f"hf:{folder}").embed("image", items("image", pictures))
        np.testing.assert_allclose(actual, reference, atol=EXACT)

    @pytest.mark.parametrize("family", ["clip", "siglip"])
    def test_pixels_are_those_of_the_default_processor_too(self, family, hf_saved, pictures):
        folder, _ = hf_saved[family]
        encoder = opened(f"hf:{folder}")
        transform = clip._images(ADAPTER.locate(ADAPTER.request(f"hf:{folder}")))
        processor = processor_of(folder)
        for path in pictures:
            pixels = torch.from_numpy(encoder.preprocess("image", Item("x", "image", path)))
            reference = processor(images=Image.open(path).convert("RGB"), return_tensors="pt")
            gap = (transform.normalise(pixels[None]) - reference["pixel_values"]).abs()
            # It resizes tensors: no rounding to bytes between rows and columns, which on noise
            # like this overshoots here and there. Pillow's bytes are what models were trained on.
            levels = gap * torch.tensor(transform.std)[:, None, None] * 255
            assert levels.mean() < 0.5
            assert levels.median() <= 1.001

    @pytest.mark.parametrize("family", FAMILIES)
    def test_captions(self, family, hf_saved):
        folder, model = hf_saved[family]
        context = 12 if family == "clip" else 9
        with repository.quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
        ids = tokenizer(
            CAPTIONS, padding="max_length", truncation=True, max_length=context, return_tensors="pt"
        )
        reference = features(model, input_ids=ids["input_ids"])
        actual = opened(f"hf:{folder}").embed("text", items("text", CAPTIONS))
        np.testing.assert_allclose(actual, reference, atol=EXACT)
        assert np.abs(actual[0] - actual[2]).max() > 0.01

    def test_the_whole_processor_as_its_authors_call_it(self, hf_saved, pictures):
        folder, model = hf_saved["clip"]
        with repository.quiet():
            processor = transformers.CLIPProcessor.from_pretrained(str(folder))
        inputs = processor(
            text=CAPTIONS, return_tensors="pt", padding=True, truncation=True, max_length=12
        )
        reference = features(model, **inputs)  # with its attention mask, which changes nothing
        actual = opened(f"hf:{folder}").embed("text", items("text", CAPTIONS))
        np.testing.assert_allclose(actual, reference, atol=EXACT)

    def test_siglips_own_sentencepiece_tokeniser(self, tmp_path):
        pieces = pytest.importorskip("sentencepiece")
        folder = tmp_path / "spm"
        with repository.quiet():
            model = hf_tiny.save_siglip(folder, words=False)
        (tmp_path / "words.txt").write_text("a red square\ntwo dogs barking\nand tabs more\n" * 9)
        pieces.SentencePieceTrainer.train(
            input=str(tmp_path / "words.txt"),
            model_prefix=str(folder / "spiece"),
            vocab_size=24,
            model_type="unigram",
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            minloglevel=9,
        )
        config = {"tokenizer_class": "SiglipTokenizer", "model_input_names": ["input_ids"]}
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        with repository.quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
        assert type(tokenizer).__name__ == "SiglipTokenizer"
        ids = tokenizer(
            CAPTIONS, padding="max_length", truncation=True, max_length=9, return_tensors="pt"
        )
        actual = opened(f"hf:{folder}").embed("text", items("text", CAPTIONS))
        np.testing.assert_allclose(actual, features(model, input_ids=ids["input_ids"]), atol=EXACT)

    @pytest.mark.parametrize("shape", [(1, 1), (7, 300), (300, 7), (64, 64), (33, 65), (100, 99)])
    @pytest.mark.parametrize("most_patches", [4, 20, 256])
    def test_native_shapes_are_cut_into_the_same_grid(self, shape, most_patches):
        module = pytest.importorskip("transformers.models.siglip2.image_processing_siglip2")
        transform = ImageTransform((1, 1), "squash", (1, 1))
        rows, columns = image_processor.Patches(transform, 16, most_patches).grid(*shape)
        reference = module.get_image_size_for_max_num_patches(*shape, 16, most_patches)
        assert (rows * 16, columns * 16) == tuple(reference)


class TestDescription:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_it_says_what_is_known_before_anything_is_loaded(self, family, hf_saved, monkeypatch):
        monkeypatch.setattr(clip, "import_package", None)
        monkeypatch.setattr(repository, "import_package", None)
        folder, _ = hf_saved[family]
        spec = registry.resolve_uri(f"hf:{folder}")
        assert (spec.name, spec.dim) == (family, 24 if family == "clip" else 32)
        assert (spec.modalities, spec.adapter) == (("image", "text"), "hf")
        assert spec.source == f"hf:{folder}"
        tags = dict(spec.preprocessing)
        assert f"-truncate{12 if family == 'clip' else 9}-1" in tags["text"]
        start = {"clip": "shortest-bicubic", "siglip": "squash-bicubic", "siglip2": "patches-8x20"}
        assert tags["image"].startswith(start[family])
        tokens = {"clip": 17, "siglip": 16, "siglip2": 20}[family]
        # 2 layers of width 32, inner width 64: 16 w^2 + 4 w n operations a token and layer.
        flops = 2 * tokens * (16 * 32**2 + 4 * 32 * tokens)
        assert dict(spec.flops_per_item)["image"] == flops
        registry.check(spec)

    def test_a_repository_is_pinned_to_the_commit_found(self, hf_saved):
        snapshot = cached("maker/clip-tiny", hf_saved["clip"][0])
        (snapshot / "README.md").write_text("---\nlicense: mit\n---\n")
        for uri in (
            "hf:maker/clip-tiny",
            "hf:maker/clip-tiny@main",
            f"hf:maker/clip-tiny@{COMMIT}",
        ):
            spec = registry.resolve_uri(uri)
            assert spec.source == f"hf:maker/clip-tiny@{COMMIT}"
            assert (spec.name, spec.revision, spec.licence) == ("clip-tiny", COMMIT, "mit")
        folder = registry.resolve_uri(f"hf:{hf_saved['clip'][0]}")
        for modality in spec.modalities:  # the same files elsewhere are the same space
            assert spec.identity(modality) == folder.identity(modality)
        rows = registry.load(spec).embed("text", items("text", CAPTIONS))
        assert rows.shape == (4, 24)

    def test_a_person_may_name_another_folder(self, hf_saved, hf_copied, tmp_path):
        uri, other = f"hf:{hf_copied('clip')}", hf_saved["siglip"][0]
        spec = registry.resolve_uri(uri, name="X", locator=WeightLocator(overrides={"X": other}))
        assert spec.source == f"hf:{other}"
        locator = WeightLocator(overrides={"X": tmp_path / "nowhere"})
        with pytest.raises(MissingError, match="nowhere"):
            registry.resolve_uri(uri, name="X", locator=locator)

    def test_folders_are_written_as_paths(self, hf_saved, monkeypatch, hf_copied):
        folder = hf_copied()
        monkeypatch.chdir(folder.parent)
        assert registry.resolve_uri("hf:./my-clip").source == f"hf:{folder}"
        (folder.parent / "maker").mkdir()
        folder.rename(folder.parent / "maker" / "mine")
        with pytest.raises(MissingError, match=r"hf:\./maker/mine"):
            registry.resolve_uri("hf:maker/mine")

    def test_what_decides_the_outputs_is_in_the_identity(self, hf_copied):
        folder = hf_copied()
        before = registry.resolve_uri(f"hf:{folder}")
        half = registry.resolve_uri(f"hf:{folder}?precision=bf16")
        assert half.source == f"hf:{folder}?precision=bf16"
        config = json.loads((folder / "config.json").read_text())
        config["text_config"]["hidden_act"] = "gelu"
        (folder / "config.json").write_text(json.dumps(config))
        other = registry.resolve_uri(f"hf:{folder}")
        words = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps({**words, "x": 1}))
        reverted = registry.resolve_uri(f"hf:{folder}")
        assert before.weights_digest != other.weights_digest == reverted.weights_digest
        assert reverted.identity("text") != other.identity("text")
        assert reverted.identity("image") == other.identity("image")
        assert half.identity("image") != before.identity("image")

    def test_what_has_to_be_fetched(self):
        (requirement,) = registry.requirements("hf:maker/clip-tiny@v2")
        assert (requirement.repo, requirement.revision) == ("maker/clip-tiny", "v2")
        assert requirement.weights[0] == "model*.safetensors"
        assert registry.requirements("hf:./folder") == ()


class TestEncoder:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_it_works_in_stages(self, family, hf_saved, pictures):
        encoder = opened(f"hf:{hf_saved[family][0]}")
        assert isinstance(encoder, StagedEncoder)
        for modality, values in (("image", pictures), ("text", CAPTIONS)):
            work = items(modality, values * 4)
            with ThreadPoolExecutor(4) as pool:
                ready = list(pool.map(lambda i, m=modality: encoder.preprocess(m, i), work))
            rows = encoder.forward(modality, ready)
            assert (rows.shape, rows.dtype) == ((16, encoder.spec.dim), np.float32)
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
            # Alone or among others, padded more or less: sums in another order.
            alone = np.concatenate([encoder.embed(modality, [item]) for item in work[:4]])
            np.testing.assert_allclose(rows[:4], alone, atol=1e-6)
            np.testing.assert_array_equal(
                encoder.embed(modality, work), encoder.embed(modality, work)
            )

    @pytest.mark.parametrize("family", FAMILIES)
    def test_half_precision_is_near(self, family, hf_saved, pictures):
        folder, _ = hf_saved[family]
        for modality, values in (("image", pictures), ("text", CAPTIONS)):
            work = items(modality, values)
            exact = opened(f"hf:{folder}").embed(modality, work)
            half = opened(f"hf:{folder}?precision=bf16").embed(modality, work)
            assert not np.array_equal(exact, half)
            assert ((exact * half).sum(axis=1) > 0.995).all()  # eight bits of mantissa

    def test_bad_items_are_named(self, hf_saved, pictures, tmp_path):
        encoder = opened(f"hf:{hf_saved['clip'][0]}")
        cut = tmp_path / "cut.jpg"
        cut.write_bytes(pictures[0].read_bytes()[:200])
        for modality, value in (("image", cut), ("text", "\udcff"), ("text", None)):
            with pytest.raises(MediaError) as caught:
                encoder.embed(modality, [Item("the-one", modality, value)])
            assert caught.value.fields["id"] == "the-one"

    def test_nothing_is_printed(self, hf_saved, capfd):
        opened(f"hf:{hf_saved['siglip'][0]}")
        assert capfd.readouterr() == ("", "")

    def test_pickled_and_split_weights_serve_as_well(self, hf_saved, hf_copied, tmp_path):
        folder, model = hf_saved["clip"]
        expected = opened(f"hf:{folder}").embed("text", items("text", CAPTIONS))
        pickled = hf_copied()
        torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
        (pickled / "model.safetensors").unlink()
        split = tmp_path / "split"
        shutil.copytree(pickled, split)
        (split / "pytorch_model.bin").unlink()
        with repository.quiet():
            model.save_pretrained(split, max_shard_size="20KB")
        assert len(list(split.glob("model-*.safetensors"))) > 1
        for place in (pickled, split):
            actual = opened(f"hf:{place}").embed("text", items("text", CAPTIONS))
            np.testing.assert_array_equal(actual, expected)
        next(split.glob("model-00002*")).unlink()
        with pytest.raises(MissingError, match="weights files of space 'split' are missing"):
            registry.resolve_uri(f"hf:{split}")
        (split / "model.safetensors.index.json").write_text('{"weight_map": 3}')
        with pytest.raises(DataError, match=r"index\.json"):
            registry.resolve_uri(f"hf:{split}")

    def test_position_numbers_of_older_versions_are_accepted(self, hf_copied):
        folder = hf_copied()
        state = load_file(folder / "model.safetensors")
        state["text_model.embeddings.position_ids"] = torch.arange(12)[None]
        save_file(state, folder / "model.safetensors", {"format": "pt"})
        opened(f"hf:{folder}")
        actual = ADAPTER.locate(ADAPTER.request(f"hf:{folder}"))
        reported = {
            "unexpected_keys": {"a.position_ids"},
            "missing_keys": (),
            "mismatched_keys": (),
        }
        repository.refuse_unfit(actual, reported)  # as versions that do not ignore it tell it


@pytest.mark.parametrize("family", FAMILIES)
def test_cuda_gives_the_same(cuda, family, hf_saved, pictures):
    encoder = opened(f"hf:{hf_saved[family][0]}")
    photos, captions = items("image", pictures), items("text", CAPTIONS)
    assert_same_on(cuda, encoder, {"image": photos, "text": captions})
