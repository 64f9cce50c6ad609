import inspect
import json
import shutil
import sys
from dataclasses import replace

import pytest
from fakes import CG, IB, VL, cr, dr
from hub_fake import Hub

from reactions.core.errors import BundleError, MissingError, StoreError, UsageError
from reactions.core.types import Leaf, leaves
from reactions.exchange.hub import CARD, CONFIG, check_repo, pull, push
from reactions.ops.projector import Projector
from reactions.products.bundles.bundle import (
    PROJECTORS,
    RECORD,
    describe,
    load_bundle,
    with_sources,
    write_bundle,
)
from reactions.products.tree import mixtures


def tensors_of(space):
    tensors = {}
    for index, (fusion, i) in enumerate(mixtures(space)):
        ends = (fusion.base.dim, fusion.experts[i].space.dim)
        head = Projector(*(ends if fusion.op == "dr" else ends[::-1]), 4, seed=index)
        tensors |= {f"{index}.TVA.{name}": value.numpy() for name, value in head.state().items()}
    return tensors


@pytest.fixture
def bundle(tmp_path):
    space = cr(dr(IB, VL), CG)
    record = describe(
        "ImageBind + Dr(InternVL) | Cr(CLAP_g)",
        space,
        lab={"name": "own", "label": "own", "seed": 3},
        subsets=[["TVA"], ["TVA"]],
        settings={},
        step_keys={},
        version="0.1.0",
    )
    return load_bundle(write_bundle(tmp_path / "made", record, tensors_of(space)))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    for name in ("MOLSPACE_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    fake_hub = Hub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake_hub)
    return fake_hub


# --- there and back ---


def test_what_is_pushed_is_pulled(bundle, hub, tmp_path):
    sent = push(bundle, "me/fused", private=True)
    assert sent.url == "https://hub.example/me/fused/commit/1"
    assert hub.calls == [
        ("create", "me/fused", True),
        ("upload", "me/fused", f"molspace: {bundle.expression}"),
    ]
    assert set(hub.list_repo_files("me/fused")) == {
        *(CARD, CONFIG, RECORD, PROJECTORS),
        ".gitattributes",
    }
    assert (hub.root / "me/fused/README.md").read_text(encoding="utf-8") == sent.card
    assert sent.files == {
        n: (hub.root / "me/fused" / n).stat().st_size for n in (CARD, CONFIG, RECORD, PROJECTORS)
    }

    pulled = pull("me/fused", out=tmp_path / "got")
    assert pulled.commit == "c" * 40
    assert hub.calls[-1] == ("download", "me/fused", "c" * 40)
    assert {path.name for path in (tmp_path / "got").iterdir()} == {RECORD, PROJECTORS}
    assert pulled.bundle.expression == bundle.expression
    assert pulled.bundle.record["files"] == bundle.record["files"]
    assert (tmp_path / "got").stat().st_mode & 0o777 == 0o755
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".share")]


def test_a_pulled_bundle_goes_to_a_place_of_its_own(bundle, hub):
    push(bundle, "me/fused")
    first = pull("me/fused").bundle
    assert first.path.name == f"fused-{first.digest[:12]}"
    assert pull("me/fused", revision="v1").bundle.path == first.path


def test_places_on_this_machine_are_not_published(bundle, hub):
    sources = {
        "ImageBind": "/home/someone/.cache/imagebind_huge.pth",
        "InternVL": "open_clip:ViT-B-32?pretrained=/home/someone/w.pt&precision=fp16",
        "CLAP_g": "hf:laion/clap",
    }
    with_local_paths = with_sources(bundle, sources)
    push(with_local_paths, "me/fused")
    text = (hub.root / "me/fused" / RECORD).read_text()
    assert "someone" not in text
    source_by_name = {spec["name"]: spec["source"] for spec in json.loads(text)["spaces"]}
    assert source_by_name == {
        "ImageBind": "imagebind_huge.pth",
        "InternVL": "open_clip:ViT-B-32?pretrained=w.pt&precision=fp16",
        "CLAP_g": "hf:laion/clap",
    }


@pytest.mark.parametrize(
    ("source", "published"),
    [
        ("C:\\Users\\me\\clap.pt", "clap.pt"),
        ("hf:~/models/clip", "hf:clip"),
        ("file:/home/me/x", "file:x"),
        ("https://host/a/b.pt", "https://host/a/b.pt"),
        ("hf:org/name?text=file:/home/me/t", "hf:org/name?text=t"),
        ("hf:OpenGVLab/InternVL-14B-224px", "hf:OpenGVLab/InternVL-14B-224px"),
    ],
)
def test_sources_lose_folders_and_nothing_else(bundle, hub, source, published):
    push(with_sources(bundle, {"CLAP_g": source}), "me/fused")
    specs = load_bundle(hub.root / "me/fused").record["spaces"]
    assert [spec["source"] for spec in specs if spec["name"] == "CLAP_g"] == [published]


def test_a_second_push_replaces_the_first(bundle, hub):
    push(bundle, "me/fused")
    push(bundle, "me/fused")
    assert [call[0] for call in hub.calls] == ["create", "upload", "upload"]


def test_a_dry_run_needs_no_network(bundle, monkeypatch, tmp_path):
    monkeypatch.setenv("MOLSPACE_OFFLINE", "1")
    rehearsal = push(bundle, "me/fused", datasets=["org/sounds", "org/sounds"], dry_run=True)
    assert rehearsal.url == ""
    assert list(rehearsal.files) == [CARD, CONFIG, RECORD, PROJECTORS]
    assert "\ndatasets:\n- org/sounds\nli" in rehearsal.card


# --- what is refused ---


@pytest.mark.parametrize("name", ["me", "me/a/b", "me/fu sed", "../fused", "me/..", "/x", ""])
def test_an_invalid_repository_name_is_refused(name):
    with pytest.raises(UsageError, match="names no repository"):
        check_repo(name)


@pytest.mark.parametrize("address", ["me/fused/tree/main", "datasets/me/fused"])
def test_an_address_gets_its_name_as_fix(address):
    with pytest.raises(UsageError, match=r"fix: give me/fused$"):
        check_repo(f"https://huggingface.co/{address}")


def test_data_sets_are_named_as_repositories_are(bundle):
    with pytest.raises(UsageError, match=r"'esc 50' names no repository\n.*then the data set"):
        push(bundle, "me/fused", datasets=["esc 50"], dry_run=True)


def test_a_repository_of_something_else_is_not_overwritten(bundle, hub):
    hub.create_repo("me/fused")
    (hub.root / "me/fused/model.bin").write_text("precious")
    with pytest.raises(BundleError, match=r"there is model\.bin"):
        push(bundle, "me/fused")
    assert [call[0] for call in hub.calls] == ["create"]


@pytest.mark.parametrize("name", ["heads.pkl", "pytorch_model.bin", "code/modeling.py", "x.pt"])
def test_more_than_a_bundle_is_not_pulled(bundle, hub, name, tmp_path):
    push(bundle, "me/fused")
    (hub.root / "me/fused" / name).parent.mkdir(exist_ok=True)
    (hub.root / "me/fused" / name).write_text("x")
    with pytest.raises(BundleError, match=f"there is {name}"):
        pull("me/fused", out=tmp_path / "got")
    assert hub.calls[-1][0] == "upload", "nothing is downloaded"
    assert not (tmp_path / "got").exists()


def test_a_repository_without_a_bundle_is_not_pulled(hub, tmp_path):
    hub.create_repo("me/fused")
    with pytest.raises(BundleError, match=r"holds no bundle\n.*no bundle\.json"):
        pull("me/fused", out=tmp_path / "got")


def test_a_damaged_bundle_is_not_put_in_its_place(bundle, hub, tmp_path):
    push(bundle, "me/fused")
    out = tmp_path / "got"
    pull("me/fused", out=out)
    before = load_bundle(out).digest
    path = hub.root / "me/fused" / PROJECTORS
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(BundleError, match=r"SHA-256|bytes"):
        pull("me/fused", out=out)
    assert load_bundle(out).digest == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".share")]


def test_a_folder_of_something_else_is_not_replaced(bundle, hub, tmp_path):
    push(bundle, "me/fused")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"there is a\.txt"):
        pull("me/fused", out=tmp_path / "notes")
    assert hub.calls[-1][0] == "upload"


def test_a_folder_that_cannot_be_written_to_is_reported(bundle, hub, tmp_path):
    push(bundle, "me/fused")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write to"):
        pull("me/fused", out=tmp_path / "file" / "got")


def test_what_the_hub_says_is_reported(bundle, hub):
    with pytest.raises(MissingError, match=r"RepositoryNotFoundError: 404 Client Error\."):
        pull("me/fussed")
    push(bundle, "me/fused")
    with pytest.raises(MissingError, match="Revision Not Found: v2"):
        pull("me/fused", revision="v2")
    with pytest.raises(UsageError, match="is not a revision"):
        pull("me/fused", revision="../v1")


def test_the_library_is_asked_for(bundle, monkeypatch, hub):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for action in (
        lambda: push(bundle, "me/fused"),
        lambda: push(bundle, "me/fused", dry_run=True),
        lambda: pull("me/fused"),
    ):
        with pytest.raises(MissingError, match="pip install 'huggingface_hub"):
            action()


def test_offline_mode_is_honoured(bundle, hub, monkeypatch, tmp_path):
    push(bundle, "me/fused")
    monkeypatch.setenv("MOLSPACE_OFFLINE", "1")
    calls = list(hub.calls)
    with pytest.raises(MissingError, match=r"MOLSPACE_OFFLINE=1.*\n.*--dry-run"):
        push(bundle, "me/fused")
    with pytest.raises(MissingError, match="MOLSPACE_OFFLINE=1"):
        pull("me/fused")
    assert hub.calls == calls
    monkeypatch.delenv("MOLSPACE_OFFLINE")
    online = pull("me/fused").bundle
    shutil.rmtree(online.path)
    monkeypatch.setenv("MOLSPACE_OFFLINE", "1")
    assert pull("me/fused", revision="c" * 40).bundle == online


# --- on another machine ---


def test_a_bundle_finds_its_weights_where_the_lab_has_them(bundle, hub, tmp_path):
    from reactions.labs.lab_file import load_lab
    from reactions.session import Session
    from reactions.store import Store

    push(bundle, "me/fused")
    pulled = pull("me/fused").bundle
    weights = {}
    lines = ['[lab]\nname = "theirs"\n']
    for leaf in leaves(bundle.space):
        spec = leaf.spec
        weights[spec.name] = tmp_path / f"{spec.name}.bin"
        weights[spec.name].write_text("x")
        # CLAP_g of this lab is another.
        digest = "f" * 64 if spec.name == "CLAP_g" else spec.weights_digest
        tags = ", ".join(f'{m} = "{tag}"' for m, tag in spec.preprocessing)
        lines.append(
            f'[spaces.{spec.name}]\nadapter = "fake"\nsource = "{spec.name}.bin"\n'
            f'dim = {spec.dim}\nmodalities = {list(spec.modalities)}\ndigest = "{digest}"\n'
            f"preprocessing = {{{tags}}}\n"
        )
    path = tmp_path / "theirs.toml"
    path.write_text("\n".join(lines))
    session = Session(load_lab(str(path)), Store(tmp_path / "store"))
    target = session.target(str(pulled.path))
    assert target.bundle.digest == pulled.digest
    assert {leaf.spec.name: leaf.spec.source for leaf in leaves(target.space)} == {
        "ImageBind": str(weights["ImageBind"]),
        "InternVL": str(weights["InternVL"]),
        "CLAP_g": "CLAP_g",
    }
    assert list(target.parts("cpu")) == list(mixtures(target.space))


def test_other_sources_change_nothing_else(bundle):
    moved = with_sources(bundle, {"ImageBind": "/elsewhere"})
    assert Leaf(replace(IB.spec, source="/elsewhere")) in leaves(moved.space)
    assert with_sources(moved, {"ImageBind": IB.spec.source}) == bundle
    assert (moved.digest, moved.path) == (bundle.digest, bundle.path)


def test_the_library_has_the_calls_we_make():
    hub = pytest.importorskip("huggingface_hub")
    api = hub.HfApi()
    for function, names in (
        (api.repo_exists, ()),
        (api.list_repo_files, ()),
        (api.create_repo, ("private", "exist_ok")),
        (api.model_info, ("revision",)),
        (hub.snapshot_download, ("revision", "cache_dir", "allow_patterns")),
    ):
        inspect.signature(function).bind("me/fused", **dict.fromkeys(names))
    inspect.signature(api.upload_folder).bind(
        repo_id="", folder_path="", allow_patterns=[], commit_message=""
    )
