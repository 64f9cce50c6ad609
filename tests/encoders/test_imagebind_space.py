import subprocess
import sys
from dataclasses import replace

import imagebind_toy as toy
import pytest
import torch

from reactions.core.errors import DataError, MissingError
from reactions.core.hashing import file_digest
from reactions.encoders import registry
from reactions.encoders.imagebind import adapter as space
from reactions.encoders.imagebind.adapter import ImageBindAdapter
from reactions.encoders.imagebind.sizes import HUGE, flops
from reactions.encoders.imagebind.towers import ImageBind
from reactions.encoders.imagebind.variants import USUAL
from reactions.weights.locate import WeightLocator

ADAPTER = ImageBindAdapter()


@pytest.fixture
def nowhere(tmp_path):
    return WeightLocator(folders=(tmp_path / "weights",), hub=tmp_path / "hub")


class TestDescription:
    def test_it_is_what_loads(self, tmp_path):
        path = toy.write(tmp_path / "x.safetensors")
        spec = space.describe(path, modalities=["image", "audio"], digest=file_digest(path))
        assert (spec.name, spec.adapter, spec.dim) == ("ImageBind", "imagebind", 24)
        assert (spec.modalities, spec.hub) == (("audio", "image"), "image")
        assert spec.licence == "CC-BY-NC-SA-4.0"
        assert dict(spec.preprocessing) == {m: space.PREPROCESSING[m] for m in spec.modalities}
        assert all(value > 0 for _, value in spec.flops_per_item)
        assert ADAPTER.load(spec).spec is spec

    def test_no_hub_without_images(self, tmp_path):
        path = toy.write(tmp_path / "x.safetensors")
        assert space.describe(path, modalities=["audio"]).hub is None

    def test_a_folder_means_the_file_in_it(self, tmp_path):
        toy.write(tmp_path / "model.safetensors")
        spec = space.describe(tmp_path, modalities=["image"])
        assert spec.source == str(tmp_path / "model.safetensors")

    def test_nothing_is_guessed(self, tmp_path):
        with pytest.raises(MissingError):
            space.describe(tmp_path / "x.pth")
        with pytest.raises(DataError, match="does not embed smell"):
            space.describe(toy.write(tmp_path / "x.safetensors"), modalities=["smell"])

    def test_every_modality_has_a_tag(self):
        tags = [*space.PREPROCESSING.values(), USUAL.depth_tag, USUAL.thermal_tag]
        assert {*space.PREPROCESSING, "depth", "thermal"} == {*HUGE.towers, "video"}
        assert len(set(tags)) == len(tags)


class TestUris:
    def test_a_file(self, tmp_path):
        path = toy.write(tmp_path / "x.safetensors")
        spec = ADAPTER.resolve(f"imagebind:{path}")
        assert (spec.name, spec.adapter, spec.dim) == ("ImageBind", "imagebind", 24)
        assert spec.modalities == ("audio", "image", "text")
        assert spec.weights_digest == file_digest(path)
        assert ADAPTER.resolve(f"imagebind:{path}", name="IB") == replace(spec, name="IB")

    def test_precisions_do_not_share_results(self, tmp_path):
        path = toy.write(tmp_path / "x.safetensors")
        adapters = ["imagebind", "imagebind_float16", "imagebind_bfloat16"]
        specs = [registry.resolve_uri(f"{adapter}:{path}") for adapter in adapters]
        assert [spec.adapter for spec in specs] == adapters
        assert len({str(spec.identity("audio")) for spec in specs}) == 3

    def test_the_published_file_is_found_where_weights_lie(self, tmp_path, nowhere):
        folder = tmp_path / "weights" / "imagebind"
        folder.mkdir(parents=True)
        (folder / "imagebind_huge.pth").write_bytes(b"not opened")
        spec = ADAPTER.resolve("imagebind:imagebind_huge.pth", locator=nowhere)
        assert spec.source == str(folder / "imagebind_huge.pth")
        assert (spec.dim, spec.hub) == (1024, "image")
        assert dict(spec.flops_per_item)["image"] == flops("image")

    def test_an_override_wins(self, tmp_path, nowhere):
        path = toy.write(tmp_path / "mine.safetensors")
        overriding = replace(nowhere, overrides={"IB": path})
        spec = ADAPTER.resolve("imagebind:imagebind_huge.pth", name="IB", locator=overriding)
        assert (spec.source, spec.dim) == (str(path), 24)

    def test_an_override_wins_over_a_path(self, tmp_path, nowhere):
        path = toy.write(tmp_path / "mine.safetensors")
        other = toy.write(tmp_path / "other.safetensors")
        overriding = replace(nowhere, overrides={"ImageBind": path})
        assert ADAPTER.resolve(f"imagebind:{other}", locator=overriding).source == str(path)

    @pytest.mark.parametrize("name", ["imagebind_huge.pth", "other.pth", "a/imagebind_huge.pth"])
    def test_missing(self, nowhere, name):
        with pytest.raises(MissingError, match="no weights for space 'ImageBind'") as caught:
            ADAPTER.resolve(f"imagebind:{name}", locator=nowhere)
        assert caught.value.exit_code == 3

    def test_what_has_to_be_fetched(self, tmp_path):
        (file,) = ADAPTER.requirements("imagebind:imagebind_huge.pth")
        assert file.url.endswith("/imagebind_huge.pth")
        assert file.licence == "CC-BY-NC-SA-4.0"
        assert ADAPTER.requirements(f"imagebind:{tmp_path}/imagebind_huge.pth") == ()


class TestCheck:
    def test_what_is_there(self, tmp_path):
        ADAPTER.check(toy.spec(toy.write(tmp_path / "x.safetensors")))

    def test_what_is_missing(self, tmp_path, monkeypatch):
        with pytest.raises(MissingError, match="no weights"):
            ADAPTER.check(toy.spec(tmp_path / "x.pth"))
        path = toy.write(tmp_path / "x.safetensors")
        with pytest.raises(DataError, match="does not embed smell"):
            ADAPTER.check(toy.spec(path, "smell"))
        monkeypatch.setitem(sys.modules, "ftfy", None)
        with pytest.raises(MissingError, match="ftfy"):
            ADAPTER.check(toy.spec(path, "text"))

    def test_planning_needs_no_torch(self):
        code = "import sys, reactions.encoders.imagebind.adapter; sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], timeout=300).returncode == 0


class TestOperations:
    @pytest.mark.parametrize("modality", ["audio", "depth", "image", "thermal"])
    def test_they_are_those_of_the_matrices(self, modality):
        with torch.device("meta"):
            model = ImageBind(HUGE, (modality,))
        weights = sum(p.numel() for p in model.modality_trunks.parameters() if p.ndim == 2)
        tokens = next(model.modality_preprocessors.children()).pos_embedding_helper.pos_embed
        _, n, width = tokens.shape
        linear = 2 * weights * n  # a multiplication and an addition each
        products = 4 * n * n * width * HUGE.towers[modality].depth  # queries by keys, by values
        assert flops(modality) == (3 if modality == "audio" else 1) * (linear + products)
