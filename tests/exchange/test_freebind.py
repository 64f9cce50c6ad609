import json
import shutil

import pytest
import torch
from published_heads import SPACES, WIDTHS, freebind_state, lab_file, write_freebind

from reactions.core.errors import (
    BundleError,
    DataError,
    DimensionMismatch,
    MissingError,
    UsageError,
)
from reactions.core.hashing import file_digest
from reactions.core.paths import data_root
from reactions.exchange.freebind_products import PRODUCTS, find_products
from reactions.exchange.import_freebind import import_freebind
from reactions.labs.lab_file import load_lab
from reactions.products.bundles.bundle import RECORD
from reactions.products.tree import mixtures

# All different, so that a projector in the wrong place cannot fit.
DIMS = {"ImageBind": 8, "InternVL": 6, "CLAP_m": 4, "CLAP_g": 5}
PLAIN = [part for part in WIDTHS if "FTPP" not in part]


@pytest.fixture
def lab(tmp_path):
    return load_lab(str(lab_file(tmp_path, DIMS)))


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return write_freebind(tmp_path_factory.mktemp("all"), DIMS, *WIDTHS)


@pytest.fixture
def published(tmp_path, release):
    return shutil.copytree(release, tmp_path / "published")


def damage(path, change):
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


# --- what comes out ---


def test_a_record_says_where_it_came_from(published, lab):
    (imported,) = import_freebind(published, lab, name="IB_PP")
    record = json.loads((imported.bundle.path / RECORD).read_text())
    files = record["imported"]["files"]
    assert record["imported"]["from"] == "freebind"
    assert len(files) == 14
    assert files["IB_PP_G_Proj/mix/best.pt"] == file_digest(
        published / "IB_PP_G_Proj" / "mix" / "best.pt"
    )
    assert record["lab"] == {"name": "published", "label": "published", "seed": None}
    assert record["steps"] == {}
    assert record["settings"] == {"hidden_dim": 4}
    assert str(published) not in json.dumps(record)
    assert [m["subsets"] for m in record["mixtures"]] == [
        ["T", "V", "A", "TV", "TA", "VA", "TVA"]
    ] * 2


def test_subsets_keep_their_projectors(published, lab):
    (imported,) = import_freebind(published, lab, name="InternVL_IB")
    ((_, heads),) = imported.bundle.parts().items()
    names = imported.bundle.record["mixtures"][0]["subsets"]
    ours = {"TVA": "mix", "TA": "AT", "VA": "AV"}
    for name, head in zip(names, heads, strict=True):
        path = published / "InternVL_IB_Proj" / ours.get(name, name) / "best.pt"
        state = torch.load(path, weights_only=True)
        assert torch.equal(head.state()["0.weight"], state["Head2.mlps.0.weight"])
        assert torch.equal(head.state()["4.running_var"], state["Head2.mlps.4.running_var"])


def test_importing_again_gives_the_same_bundle(published, lab):
    first = [entry.bundle for entry in import_freebind(published, lab)]
    imported_again = [entry.bundle for entry in import_freebind(published, lab)]
    assert [(b.path, b.digest) for b in first] == [(b.path, b.digest) for b in imported_again]
    assert len({b.path for b in first}) == len(first) == 3
    damage(
        published / "InternVL_IB_Proj" / "T" / "best.pt",
        lambda state: state["Head2.mlps.0.bias"].add_(1),
    )
    assert import_freebind(published, lab, name="InternVL_IB")[0].bundle.path != first[1].path


def test_published_widths_fit(tmp_path):
    dims = {name: dim for name, (dim, _) in SPACES.items()}
    lab = load_lab(str(lab_file(tmp_path, dims)))
    published = write_freebind(tmp_path / "published", dims, *PLAIN)
    imported = import_freebind(published, lab)
    assert {entry.product.name: entry.bundle.space.dim for entry in imported} == {
        "IB_PP": 1024,
        "InternVL_IB": 768,
        "InternVL_IB_PP": 768,
    }


def test_each_product_lists_its_folders_in_the_order_of_its_mixtures(lab):
    from reactions.dsl.check import check
    from reactions.dsl.parser import parse

    for product in PRODUCTS:
        checked = check(parse(product.expression), lab.catalogue, factors=lab.factors)
        assert checked.expression == product.expression
        for (fusion, i), part in zip(mixtures(checked.space), product.folders, strict=True):
            expert = fusion.experts[i].label
            assert expert in WIDTHS[part]
            assert (fusion.op == "dr") == (part == "InternVL_IB_Proj")


# --- what there is ---


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        (PLAIN, ["IB_PP", "InternVL_IB", "InternVL_IB_PP"]),
        (["IB_PP_G_Proj"], ["IB_PP_G"]),
        (["IB_PP_M_Proj"], ["IB_PP_M"]),
        (["InternVL_IB_Proj", "InternVL_IB_PP_M_Proj"], ["InternVL_IB", "InternVL_IB_PP_M"]),
        (["IB_PP_M_Proj", "InternVL_IB_PP_G_Proj"], ["IB_PP_M"]),
    ],
)
def test_products_follow_from_the_folders(tmp_path, parts, names):
    for part in parts:
        (tmp_path / part).mkdir()
    assert [product.name for product in find_products(tmp_path)[0]] == names


def test_what_is_left_out_is_reported(published):
    _, left_out = find_products(published)
    assert [remark.split()[0] for remark in left_out] == [
        "InternVL_IB_FTPP_M_Proj",
        "InternVL_IB_FTPP_G_Proj",
    ]
    shutil.rmtree(published / "InternVL_IB_Proj")
    _, left_out = find_products(published)
    needs = "it needs InternVL_IB_Proj, which is not there"
    assert f"InternVL_IB_PP_G_Proj is left out: {needs}" in left_out


@pytest.mark.parametrize("name", ["ImageBind++", "imagebind++", "IB++", "IB_PP"])
def test_a_product_has_several_names(published, name):
    assert [product.name for product in find_products(published, name)[0]] == ["IB_PP"]


@pytest.mark.parametrize("name", ["InternVL_IB_FTPP_G", "internvl_ib-dagger", None])
def test_without_the_tuned_encoder_they_are_refused_rather_than_made_wrong(tmp_path, lab, name):
    published = write_freebind(tmp_path / "tuned", DIMS, "InternVL_IB_FTPP_G_Proj")
    (published / "InternVL_IB_Proj").mkdir()
    if name is None:
        (published / "InternVL_IB_Proj").rmdir()
    with pytest.raises(MissingError, match="tuned audio encoder"):
        import_freebind(published, lab, name=name)
    assert not (data_root() / "bundles").exists()


def test_mistakes_in_names_get_their_fix(published, lab, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'InternVL_IB'"):
        find_products(published, "InternVLIB")
    with pytest.raises(MissingError, match="did you mean 'published'"):
        find_products(tmp_path / "publishd")
    with pytest.raises(MissingError, match=f"import freebind {tmp_path}"):
        find_products(published / "IB_PP_G_Proj")
    with pytest.raises(MissingError, match=f"molspace import freebind {published}"):
        find_products(tmp_path)
    with pytest.raises(MissingError, match="it is a file"):
        find_products(lab.path)
    shutil.rmtree(published / "IB_PP_G_Proj")
    with pytest.raises(MissingError, match="there is no IB_PP_G_Proj"):
        find_products(published, "IB_PP")


# --- what is damaged ---


def _code(path):
    class Attack:
        def __reduce__(self):
            return (print, ("owned",))

    torch.save({"Head2.mlps.0.weight": Attack()}, path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("Head2.mlps.3.bias"), "1 missing: Head2.mlps.3.bias"),
        (lambda s: s.update(extra=torch.zeros(1)), "1 unexpected: extra"),
        (
            lambda s: s.update({"Head2.mlps.1.weight": torch.zeros(3)}),
            r"Head2.mlps.1.weight is \(3\), not \(4\)",
        ),
        (
            lambda s: s.update({"Head2.mlps.0.weight": torch.zeros(4)}),
            r"Head2.mlps.0.weight is \(4\), not \(4, in\)",
        ),
        (lambda s: s["Head2.mlps.3.weight"].fill_(float("nan")), "mlps.3.weight is not finite"),
        (lambda s: s["Head2.mlps.4.running_var"].fill_(-1), "running_var is negative"),
        (
            lambda s: s.update({"Head2.mlps.0.bias": torch.zeros(4, dtype=torch.int64)}),
            "mlps.0.bias is int64",
        ),
    ],
)
def test_a_damaged_projector_is_named_and_nothing_written(published, lab, change, words):
    # The last file that is read: nothing may have been written before.
    path = published / "InternVL_IB_PP_G_Proj" / "mix" / "best.pt"
    damage(path, change)
    with pytest.raises(DataError, match=words) as caught:
        import_freebind(published, lab)
    assert str(path) in str(caught.value)
    assert not (data_root() / "bundles").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-300]), "cannot read the checkpoint"),
        (lambda path: path.write_bytes(b""), "cannot read the checkpoint"),
        (_code, "it holds more than tensors"),
        (lambda path: torch.save([1, 2], path), "no dictionary of tensors"),
    ],
)
def test_what_is_not_a_checkpoint_is_refused(published, lab, change, words, capsys):
    path = published / "IB_PP_M_Proj" / "AV" / "best.pt"
    change(path)
    with pytest.raises(DataError, match=words) as caught:
        import_freebind(published, lab)
    assert str(path) in str(caught.value)
    assert "owned" not in capsys.readouterr().out
    assert not (data_root() / "bundles").exists()


def test_an_incomplete_mixture_is_refused(published, lab):
    (published / "IB_PP_M_Proj" / "AV" / "best.pt").unlink()
    with pytest.raises(MissingError, match=r"no AV/best\.pt"):
        import_freebind(published, lab)


def test_projectors_of_other_widths_name_both_numbers(published, tmp_path):
    other = load_lab(str(lab_file(tmp_path, {**DIMS, "CLAP_g": 7})))
    with pytest.raises(
        DimensionMismatch, match="from 5 to 8 dimensions; CLAP_g has 7, ImageBind has 8"
    ):
        import_freebind(published, other, name="IB_PP")
    assert not (data_root() / "bundles").exists()


def test_a_lab_without_the_spaces_is_refused(published, tmp_path):
    path = tmp_path / "bare.toml"
    path.write_text('[lab]\nname = "bare"\n')
    with pytest.raises(MissingError, match="lab 'bare' has no space 'ImageBind'"):
        import_freebind(published, load_lab(str(path)))


def test_weights_that_are_missing_are_named(published, monkeypatch, tmp_path):
    monkeypatch.setenv("MOLSPACE_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingError, match="no weights for space 'ImageBind'"):
        import_freebind(published, load_lab("paper"))


def test_out_is_the_bundle_or_holds_them_all(published, lab, tmp_path):
    (imported,) = import_freebind(published, lab, name="IB_PP", out=tmp_path / "one")
    assert imported.bundle.path == tmp_path / "one"
    imported = import_freebind(published, lab, out=tmp_path / "all")
    assert [entry.bundle.path.name for entry in imported] == [
        "IB_PP",
        "InternVL_IB",
        "InternVL_IB_PP",
    ]
    with pytest.raises(BundleError, match="something other than a bundle"):
        import_freebind(published, lab, name="IB_PP", out=published)
    shutil.rmtree(tmp_path / "all" / "IB_PP")
    (tmp_path / "all" / "InternVL_IB_PP" / "notes").write_text("mine")
    with pytest.raises(BundleError, match="there is notes"):
        import_freebind(published, lab, out=tmp_path / "all")
    assert not (tmp_path / "all" / "IB_PP").exists()


def test_half_precision_and_wrapped_states_are_read(published, lab):
    path = published / "InternVL_IB_Proj" / "T" / "best.pt"
    state = freebind_state(8, 6, seed=1)
    half = {
        f"module.{name}": value.half() if value.is_floating_point() else value
        for name, value in state.items()
    }
    torch.save({"state_dict": half}, path)
    (imported,) = import_freebind(published, lab, name="InternVL_IB")
    (heads,) = imported.bundle.parts().values()
    weight = heads[0].state()["0.weight"]
    assert weight.dtype == torch.float32
    assert torch.equal(weight, state["Head2.mlps.0.weight"].half().float())
