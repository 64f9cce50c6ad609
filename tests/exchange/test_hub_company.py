"""Repositories with more than a bundle: what others put there is neither needed nor touched."""

import sys

import numpy as np
import pytest
from hub_fake import Hub
from safetensors.numpy import load_file
from test_hub_sharing import bundle  # noqa: F401

from reactions.core.errors import BundleError, DataError
from reactions.exchange.hub import CARD, CONFIG, pull, push
from reactions.products.bundles.bundle import PROJECTORS, RECORD, load_bundle, write_bundle
from reactions.products.part_kinds import KINDS

COMPANY = [
    "LICENSE",
    "LICENSE.md",
    "NOTICE",
    "config.json",
    ".gitignore",
    ".eval_results/esc50.yaml",
    "images/plot.png",
    "results.csv",
    "tokenizer.json",
    "docs/a b/ü.md",
]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    for name in ("MOLSPACE_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    fake_hub = Hub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake_hub)
    return fake_hub


def add(hub, name, text="theirs"):
    path = hub.root / "me/fused" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", COMPANY)
def test_company_is_left_where_it_is(bundle, hub, tmp_path, name):  # noqa: F811
    hub.create_repo("me/fused")
    company = add(hub, name)
    push(bundle, "me/fused")
    push(bundle, "me/fused")
    assert company.read_text() == "theirs"
    pulled = pull("me/fused", out=tmp_path / "got")
    assert {path.name for path in (tmp_path / "got").iterdir()} == {RECORD, PROJECTORS}
    assert set(pulled.ignored) == {name} - {CONFIG, ".gitattributes"}
    assert set(hub.list_repo_files("me/fused")) == {
        CARD,
        CONFIG,
        RECORD,
        PROJECTORS,
        ".gitattributes",
        name,
    }


def test_all_files_of_a_bundle_go_there_and_back(bundle, hub, tmp_path, monkeypatch):  # noqa: F811
    class Kind:
        def shapes(self, node, about):
            return {"bias": (node.dim,)}

    monkeypatch.setitem(KINDS, "shift", Kind())
    described = [{"kind": "shift", "node": path, "about": {}} for path in ("", "base")]
    record = {key: bundle.record[key] for key in bundle.record if key not in ("digest", "files")}
    tensors = {f"part.{i}.bias": np.full(6, i, np.float32) for i in range(2)}
    bundle_path = write_bundle(
        tmp_path / "two",
        {**record, "format": 2, "parts": described},
        {**load_file(bundle.path / PROJECTORS), **tensors},
    )
    push(load_bundle(bundle_path), "me/fused")
    add(hub, "part-7.safetensors.txt")
    pulled = pull("me/fused", out=tmp_path / "got").bundle
    names = {RECORD, PROJECTORS, "part-0.safetensors", "part-1.safetensors"}
    assert {path.name for path in pulled.path.iterdir()} == names
    for name in names - {RECORD}:
        assert (pulled.path / name).read_bytes() == (bundle_path / name).read_bytes()
    push(bundle, "me/fused")  # one without such parts: pulled, it must not find those of before
    assert pull("me/fused", out=tmp_path / "again").bundle.files == (PROJECTORS,)


def test_weights_beside_a_bundle_do_not_stop_a_second_push(bundle, hub):  # noqa: F811
    push(bundle, "me/fused")
    company = add(hub, "extra.safetensors")
    push(bundle, "me/fused")
    assert company.read_text() == "theirs"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "onnx/model.onnx"])
def test_the_card_of_another_model_is_not_replaced(bundle, hub, name):  # noqa: F811
    hub.create_repo("me/fused")
    add(hub, name)
    card = add(hub, "README.md")
    with pytest.raises(BundleError, match="something other than a bundle"):
        push(bundle, "me/fused")
    assert card.read_text() == "theirs"


@pytest.mark.parametrize("sha", ["../../x", "main", "", None, "C" * 40])
def test_an_invalid_commit_is_not_filed(bundle, hub, tmp_path, sha, monkeypatch):  # noqa: F811
    push(bundle, "me/fused")
    real = hub.model_info

    def lie(*args, **options):
        info = real(*args, **options)
        info.sha = sha
        return info

    monkeypatch.setattr(hub, "model_info", lie)
    with pytest.raises(DataError, match="is not a commit"):
        pull("me/fused", out=tmp_path / "got")
    assert hub.calls[-1][0] == "upload"
