"""Products for sentence-transformers: loaded without molspace, they embed as the product does."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from bundles import record_of, tensors_of
from fakes import CM, IB, VL, changed, cr, dr, unit_rows

from reactions.core.errors import MissingError, StepError, UsageError
from reactions.core.types import Item, Leaf
from reactions.encoders.transformers import sentence as modules
from reactions.exchange.exporting.sentence import export_sentence
from reactions.inference.embedder import Embedder
from reactions.products.bundles.bundle import load_bundle, write_bundle
from reactions.products.target import Target
from reactions.products.tree import Adjustment
from reactions.session import load_encoder

pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers, while it loads

import hf_tiny  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402

ALONE = Adjustment(lambda_={"": 0.0})
"""What is displaced, without what displaces it."""

LOAD = """
import sys
from importlib.util import find_spec
from pathlib import Path
sys.path = [place for place in sys.path if place and not (Path(place) / "reactions").exists()]
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
import numpy as np
from PIL import Image
from sentence_transformers import SentenceTransformer
assert find_spec("reactions") is None
model = SentenceTransformer(sys.argv[1], device="cpu", local_files_only=True)
texts = Path("texts.txt").read_text(encoding="utf-8").split("\\n")
np.save("text.npy", model.encode(texts, show_progress_bar=False))
np.save("image.npy", model.encode([Image.open("a.png")], show_progress_bar=False))
"""


def model_at(folder, family="clip"):
    getattr(hf_tiny, f"save_{family}")(folder)
    return Leaf(hf_tiny.registry.resolve_uri(f"hf:{folder}"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return model_at(tmp_path_factory.mktemp("models") / "clip")


def target_of(folder, space, subsets=("TVA",), **more):
    """A bundle of a product with one projector a mixture."""
    tensors = {**tensors_of(space, subsets), **more}
    return Target.of_bundle(load_bundle(write_bundle(folder, record_of(space, subsets), tensors)))


def embedder_of(target, adjustment):
    return Embedder(target, load_encoder=load_encoder, device="cpu", adjustment=adjustment)


def export(target, out, adjustment=ALONE, **options):
    return export_sentence(target, out, partial(embedder_of, target), adjustment, **options)


def test_without_molspace_it_embeds_as_the_product_does(tmp_path, clip):
    target = target_of(tmp_path / "bundle", dr(clip, VL))
    exported = export(target, tmp_path / "out")
    assert set(exported.config["modalities"]) == {"image", "text"}
    texts = ["a red square", "two dogs barking " * 9, "Ünïcode", "a"]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    pixels = np.random.default_rng(1).integers(0, 256, (50, 61, 3), np.uint8)
    hf_tiny.Image.fromarray(pixels).save(tmp_path / "a.png")
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    embedder = embedder_of(target, ALONE)
    for modality, values in (("text", texts), ("image", [pixels])):
        expected = embedder.embed(
            modality, [Item(str(i), modality, v) for i, v in enumerate(values)]
        )
        np.testing.assert_allclose(np.load(tmp_path / f"{modality}.npy"), expected, atol=1e-5)
    modules = json.loads((tmp_path / "out" / "modules.json").read_text())
    assert {module["type"].split(".")[0] for module in modules} == {"sentence_transformers"}
    assert not list((tmp_path / "out").rglob("*.py"))


@pytest.mark.parametrize(
    ("family", "expected_modalities"), [("siglip", {"image", "text"}), ("siglip2", {"text"})]
)
def test_other_families(tmp_path, family, expected_modalities):
    space = dr(model_at(tmp_path / "model", family), VL)
    exported = export(target_of(tmp_path / "bundle", space), tmp_path / "out")
    assert set(exported.config["modalities"]) == expected_modalities
    assert set(exported.left_out) == {"image", "text"} - expected_modalities
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu", local_files_only=True)
    picture = hf_tiny.Image.fromarray(np.zeros((32, 32, 3), np.uint8))
    if "image" in expected_modalities:
        assert model.encode([picture]).shape == (1, VL.dim)
    else:
        with pytest.raises(ValueError, match="image"):
            model.encode([picture])


def test_means_of_modalities_are_routed(tmp_path, clip):
    centred = Leaf(replace(clip.spec, centre=True))
    means = {
        f"mean.{clip.spec.name}.{modality}": 0.3 * unit_rows(1, 24, seed)[0]
        for seed, modality in enumerate(("image", "text"))
    }
    target = target_of(tmp_path / "bundle", dr(centred, VL), **means)
    exported = export(target, tmp_path / "out")
    assert set(exported.config["modalities"]) == {"image", "text"}
    modules = json.loads((tmp_path / "out" / "modules.json").read_text())
    assert [module["type"].rpartition(".")[2] for module in modules] == ["Router"]
    weights = list((tmp_path / "out").rglob("model.safetensors"))
    assert len([path for path in weights if path.stat().st_size > 20_000]) == 1


def test_what_other_encoders_embed_is_left_out_and_named(tmp_path, clip):
    target = target_of(tmp_path / "bundle", cr(IB, clip))
    exported = export(target, tmp_path / "out", Adjustment(sigma={"": 1.0}))
    assert set(exported.config["modalities"]) == {"image", "text"}
    assert "ImageBind is a model of fake" in exported.left_out["audio"]
    assert "audio is left out" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("make", "adjustment", "why"),
    [
        (lambda clip: dr(clip, VL), Adjustment(), "an average over clip and InternVL"),
        (lambda clip: dr(IB, VL), ALONE, "ImageBind is a model of fake"),
        (lambda clip: cr(VL, CM), Adjustment(sigma={"": 0.0}), "audio: CLAP_m is a model"),
        (
            lambda clip: dr(changed(clip, source=clip.spec.source + "?precision=bf16"), VL),
            ALONE,
            "computes in bf16",
        ),
    ],
)
def test_what_stands_in_the_way_is_named(tmp_path, clip, make, adjustment, why):
    target = target_of(tmp_path / "bundle", make(clip))
    with pytest.raises(UsageError, match="cannot be written for sentence-transformers") as refused:
        export(target, tmp_path / "out", adjustment)
    assert why in refused.value.why
    assert "--to torch" in refused.value.fix
    assert not (tmp_path / "out").exists()


def test_a_mixture_of_projectors_is_refused(tmp_path, clip):
    target = target_of(tmp_path / "bundle", dr(clip, VL), ("T", "TVA"))
    with pytest.raises(UsageError) as refused:
        export(target, tmp_path / "out")
    assert "Dr(InternVL) averages 2 projectors" in refused.value.why


def test_what_embeds_otherwise_is_not_kept(tmp_path, clip, monkeypatch):
    target = target_of(tmp_path / "bundle", dr(clip, VL))
    monkeypatch.setattr(modules, "pin_processor", lambda folder: None)
    with pytest.raises(StepError, match="the exported image differs by"):
        export(target, tmp_path / "out")
    assert not [path for path in tmp_path.iterdir() if path.name not in ("bundle", "cache")]


def test_only_an_export_is_replaced(tmp_path, clip):
    target = target_of(tmp_path / "bundle", dr(clip, VL))
    out = tmp_path / "out"
    export(target, out)
    with pytest.raises(UsageError, match="already exists"):
        export(target, out)
    export(target, out, overwrite=True)
    (out / "1_Normalize" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="something other than an export"):
        export(target, out, overwrite=True)
    with pytest.raises(UsageError, match="something other than an export"):
        export(target, Path(clip.spec.source.partition(":")[2]), overwrite=True)


def test_without_the_package_the_fix_installs_it(tmp_path, clip, monkeypatch):
    target = target_of(tmp_path / "bundle", dr(clip, VL))
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingError) as refused:
        export(target, tmp_path / "out")
    assert "sentence-transformers" in refused.value.fix
