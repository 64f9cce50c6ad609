"""A product measured on what was held back, against the same written anew in numpy."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from twin_folders import ids, is_held, twins, unit, write_space

from reactions.core.types import Item
from reactions.labs.lab_file import load_lab
from reactions.products.bundles.bundle import load_bundle
from reactions.products.tree import Adjustment
from reactions.session import Session

N, SHARE = 400, 0.25
QUICK = f"""
[reaction]
hidden_dim = 32
batch_size = 64
dr_epochs = 6
cr_epochs = 6
holdout = {SHARE}
dtype = "float32"
"""


def folders(folder, *, noise, means=0.0, extra=""):
    spaces = twins(N, noise=noise, means=means)
    for name, embeddings in zip(("a", "b"), spaces, strict=True):
        write_space(folder / name, embeddings, ids(N))
    text = f'[spaces.A]\npath = "a"\n{extra}\n[spaces.B]\npath = "b"\n{extra}\n{QUICK}'
    (folder / "molspace.toml").write_text(text, encoding="utf-8")
    return spaces


def session_and_bundle(folder, reaction):
    session = Session(load_lab(str(folder / "molspace.toml")), device="cpu")
    return session, session.react(session.check(reaction))


def recall(scores):
    """R@1 and R@10 in per cent, the mean of both directions."""
    right = np.diagonal(scores)
    ranks = [1 + ((s >= r[:, None]).sum(1) - 1) for s, r in ((scores, right), (scores.T, right))]
    return {f"R@{k}": 100 * np.mean([(r <= k).mean() for r in ranks]) for k in (1, 10)}


def projected(bundle, x):
    """A mixture of the paper's projectors: Linear, BatchNorm, ReLU, Linear, BatchNorm, L2."""
    parts = bundle.parts().items()
    (mixture,) = (part for (_, index), part in parts if index is not None)
    outputs = []
    for head in mixture:
        w = {name: value.double().numpy() for name, value in head.state().items()}
        y = x @ w["0.weight"].T + w["0.bias"]
        for norm in ("1", "4"):
            scale = w[f"{norm}.weight"] / np.sqrt(w[f"{norm}.running_var"] + 1e-5)
            y = (y - w[f"{norm}.running_mean"]) * scale + w[f"{norm}.bias"]
            if norm == "1":
                y = np.maximum(y, 0) @ w["3.weight"].T + w["3.bias"]
        outputs.append(unit(y))
    return unit(np.mean(outputs, axis=0))


HELD = np.array([is_held(id, 0, SHARE) for id in ids(N)])


def rows_of(report, kind):
    (cross,) = report["cross"]
    return [row for row in cross["rows"] if row["row"] == kind]


@pytest.fixture(scope="module")
def combined(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cr")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOLSPACE_CACHE", str(folder / "cache"))
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        spaces = folders(folder, noise=(1.8, 1.4), means=0.6)
        session, bundle = session_and_bundle(folder, "A + Cr(B)")
    return session, bundle, spaces


def test_figures_are_those_of_an_independent_count(combined):
    _, bundle, (a, b) = combined
    report = bundle.record["quality"]
    a, b = ({m: x[HELD].astype(np.float64) for m, x in space.items()} for space in (a, b))
    for entry in report["found_again"]:
        modality = entry["modality"]
        scores = projected(bundle, b[modality]) @ a[modality].T
        assert (entry["expert"], entry["base"], entry["n"]) == ("B", "A", HELD.sum())
        for key, value in recall(scores).items():
            assert entry[key] == pytest.approx(value, abs=1e-6)
        rows_above = (scores > np.diagonal(scores)[:, None]).sum(1)
        assert entry["there"]["R@10"] == pytest.approx(100 * (rows_above < 10).mean())
    assert [entry["modality"] for entry in report["found_again"]] == ["image", "text"]

    def product(sigma):
        sides = [unit((1 - sigma) * a[m] + sigma * projected(bundle, b[m])) for m in a]
        return recall(sides[0] @ sides[1].T)

    expected = {
        "product": [product(0.1)],
        "part": [recall(s["image"] @ s["text"].T) for s in (a, b)],
    }
    for kind, figures in expected.items():
        for row, figure in zip(rows_of(report, kind), figures, strict=True):
            assert {k: row[k] for k in figure} == pytest.approx(figure, abs=1e-6)
    # The named factor is the best of the grid, by the mean of R@1 and R@10.
    grid = {step / 10: product(step / 10) for step in range(1, 10)}
    (better,) = rows_of(report, "better factors")
    sigma = better["factors"]["sigma"]["B"]["text"]
    best = max(sum(recalls.values()) for recalls in grid.values())
    assert sum(grid[sigma].values()) == pytest.approx(best)
    assert sigma > 0.1


def test_sums_that_need_no_training(combined):
    _, bundle, spaces = combined
    report = bundle.record["quality"]
    held_back = [{m: x[HELD].astype(np.float64) for m, x in space.items()} for space in spaces]
    bare = [
        {m: unit(held_rows[m] - x[~HELD].mean(axis=0)) for m, x in space.items()}
        for space, held_rows in zip(spaces, held_back, strict=True)
    ]
    for kind, sides in (("sum", held_back), ("centred sum", bare)):
        (row,) = rows_of(report, kind)
        scores = [
            sum(
                w * s["image"] @ s["text"].T for w, s in zip((1 - share, share), sides, strict=True)
            )
            for share in np.arange(1, 10) / 10
        ]
        merits = [sum(recall(cosines).values()) for cosines in scores]
        assert row["R@1"] + row["R@10"] == pytest.approx(max(merits), abs=1e-6)
        assert sum(row["weights"].values()) == pytest.approx(1)
        assert set(row["weights"]) == {"A", "B"}


def test_what_is_held_back_is_in_no_row_that_trains(combined):
    session, bundle, _ = combined
    planned = session.plan(session.check("A + Cr(B)"))
    trained, measured = set(), set()
    for step in planned.steps():
        if step.corpus is None:
            continue
        ids_used = {item.id for item in step.corpus.items(0, len(step.corpus))}
        (measured if step.label.endswith("held back") else trained).update(ids_used)
        if not step.label.endswith("held back"):
            assert step.n_rows == (~HELD).sum()
    assert measured == {id for id, is_held_back in zip(ids(N), HELD, strict=True) if is_held_back}
    assert trained == set(ids(N)) - measured
    # What collects and trains stands on those embeddings, and on no other.
    for step in planned.steps():
        if step.kind in ("collect", "train"):
            assert not any(child.label.endswith("held back") for _, child in step.inputs)
            assert step.n_rows in (None, (~HELD).sum())
    assert [c.to_json() for c in planned.rows] == bundle.record["rows"]
    assert {c["held_out"] for c in bundle.record["rows"]} == {HELD.sum()}


def test_a_product_worse_than_a_part_is_recorded_with_its_interval(combined):
    _, bundle, _ = combined
    (cross,) = bundle.record["quality"]["cross"]
    worse = cross["worse"]
    assert (worse["part"], worse["metric"]) == ("B", "R@10")
    assert worse["low"] <= worse["mean"] <= worse["high"] < 0
    product, best = (rows_of(bundle.record["quality"], kind)[-1] for kind in ("product", "part"))
    assert worse["mean"] == pytest.approx(product["R@10"] - best["R@10"])


def test_the_better_factors_do_at_inference_what_the_report_says(combined):
    session, bundle, (a, _) = combined
    better = bundle.record["quality"]["cross"][0]["better"]
    target = session.target(bundle.path)
    embedder = session.embedder(target, Adjustment(sigma=better["sigma"]))
    held_ids = [id for id, is_out in zip(ids(N), HELD, strict=True) if is_out]
    sides = [embedder.embed(m, [Item(id, m, None) for id in held_ids]) for m in a]
    (row,) = rows_of(bundle.record["quality"], "better factors")
    recalls = recall(sides[0].astype(np.float64) @ sides[1].T.astype(np.float64))
    assert recalls == pytest.approx({k: row[k] for k in recalls}, abs=1e-6)


def test_better_factors_of_experts_whose_mean_is_rescaled(tmp_path):
    a, _ = folders(tmp_path, noise=(2.5, 1.4))
    _, c = twins(N, noise=(1.8, 1.4), seed=1)
    write_space(tmp_path / "c", c, ids(N))
    lab = tmp_path / "molspace.toml"
    text = lab.read_text() + '[spaces.C]\npath = "c"\n[factors]\nmean = "unit"\n'
    lab.write_text(text, encoding="utf-8")
    session, bundle = session_and_bundle(tmp_path, "A + Cr(B) & Cr(C)")
    better = bundle.record["quality"]["cross"][0]["better"]
    embedder = session.embedder(session.target(bundle.path), Adjustment(sigma=better["sigma"]))
    held_ids = [id for id, is_out in zip(ids(N), HELD, strict=True) if is_out]
    sides = [embedder.embed(m, [Item(id, m, None) for id in held_ids]) for m in a]
    (row,) = rows_of(bundle.record["quality"], "better factors")
    recalls = recall(sides[0].astype(np.float64) @ sides[1].T.astype(np.float64))
    assert recalls == pytest.approx({k: row[k] for k in recalls}, abs=1e-6)


def test_displacement_into_a_weaker_space(tmp_path):
    folders(tmp_path, noise=(1.0, 2.2))
    _, bundle = session_and_bundle(tmp_path, "A + Dr(B)")
    (cross,) = bundle.record["quality"]["cross"]
    assert cross["worse"]["part"] == "A"
    assert cross["better"]["lambda"]["B"]["image"] < 0.9
    assert {e["op"] for e in bundle.record["quality"]["found_again"]} == {"dr"}


def test_stages_search_factors_within_too(tmp_path):
    folders(tmp_path, noise=(1.8, 1.4))
    _, b = twins(N, noise=(1.8, 1.6), seed=1)
    write_space(tmp_path / "c", {"text": b["text"]}, ids(N))
    lab = tmp_path / "molspace.toml"
    lab.write_text(lab.read_text() + '[spaces.C]\npath = "c"\n', encoding="utf-8")
    _, bundle = session_and_bundle(tmp_path, "A + Dr(B) | Cr(C)")
    report = bundle.record["quality"]
    assert [(e["base"], e["expert"]) for e in report["found_again"]] == [
        ("A", "B"),
        ("A", "B"),
        ("(A + Dr(B))", "C"),
    ]
    assert [row["name"] for row in rows_of(report, "part")] == ["A", "B"]  # C has no images
    json.dumps(bundle.record)  # plain numbers, all of them
    assert load_bundle(bundle.path).record == bundle.record


def test_unpaired_items_have_no_cross_modal_figures(tmp_path):
    (a, b) = twins(N, noise=(1.0, 1.0))
    for name, space in (("a", a), ("b", b)):
        write_space(tmp_path / name, {"image": space["image"]}, [f"i{k}" for k in range(N)])
        write_space(tmp_path / f"{name}t", {"text": space["text"]}, [f"t{k}" for k in range(N)])
        for file in (tmp_path / f"{name}t").iterdir():
            file.rename(tmp_path / name / file.name)
    (tmp_path / "molspace.toml").write_text(
        f'[spaces.A]\npath = "a"\n[spaces.B]\npath = "b"\n{QUICK}', encoding="utf-8"
    )
    _, bundle = session_and_bundle(tmp_path, "A + Cr(B)")
    report = bundle.record["quality"]
    assert (report["cross"], len(report["found_again"])) == ([], 2)
    assert report["cross_reason"] == "no id that was held back is in two modalities"


def test_folders_alone_go_by_the_rows_even_in_the_mini_lab(tmp_path):
    folders(tmp_path, noise=(1.0, 1.0))
    session = Session(load_lab("mini"), device="cpu")
    planned = session.plan(session.check(f'"{tmp_path}/a" + Cr("{tmp_path}/b")'))
    assert all(count.held_out for count in planned.rows)
    assert {projector.training.chosen for projector in planned.projectors} == {
        ("hidden_dim", "batch_size", "cr_epochs")
    }
    assert any("chosen by n rows" in notice for notice in planned.notices)
    plan = session.plan(session.check("ImageBind + Dr(InternVL)"))
    assert not any(count.held_out for count in plan.rows)
    assert {projector.training.chosen for projector in plan.projectors} == {()}
    assert not any("rows" in notice for notice in plan.notices)


def test_a_handful_of_rows_is_trained_on_whole(tmp_path):
    for name, rows in zip(("a", "b"), twins(7, noise=(1.0, 1.0)), strict=True):
        write_space(tmp_path / name, rows, ids(7))
    session = Session(load_lab("mini"), device="cpu")
    planned = session.plan(session.check(f'"{tmp_path}/a" + Cr("{tmp_path}/b")'))
    assert {(count.rows, count.held_out) for count in planned.rows} == {(7, 0)}
    notice = "nothing is held back: 5% of 7 image rows are too few to measure with"
    assert notice in planned.notices
    assert not any(step.kind == "quality" for step in planned.steps())


# --- centred spaces ---


@pytest.fixture(scope="module")
def centred(tmp_path_factory):
    folder = tmp_path_factory.mktemp("centred")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOLSPACE_CACHE", str(folder / "cache"))
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        spaces = folders(folder, noise=(1.8, 1.4), means=0.6, extra="centre = true")
        session, bundle = session_and_bundle(folder, "A + Cr(B)")
        yield session, bundle, spaces


def test_means_are_those_of_the_training_rows(centred):
    _, bundle, spaces = centred
    parts = bundle.parts().items()
    means = {
        (node, m): mean
        for (node, index), part in parts
        if index is None
        for m, mean in part.means.items()
    }
    assert {(leaf.label, m) for leaf, m in means} == {(s, m) for s in "AB" for m in spaces[0]}
    for (leaf, modality), mean in means.items():
        rows = unit(spaces["AB".index(leaf.label)][modality])
        np.testing.assert_allclose(mean.numpy(), rows[~HELD].mean(axis=0), atol=1e-6)
    assert [spec["centre"] for spec in bundle.record["spaces"]] == [True, True]


def test_training_and_inference_take_the_mean_out_alike(centred):
    session, bundle, (a, b) = centred
    bare = [
        {m: unit(x[HELD] - x[~HELD].mean(axis=0)) for m, x in space.items()} for space in (a, b)
    ]
    sides = {
        m: unit(0.9 * bare[0][m] + 0.1 * projected(bundle, bare[1][m].astype(np.float64)))
        for m in a
    }
    row = rows_of(bundle.record["quality"], "product")[0]
    recalls = recall(sides["image"] @ sides["text"].T)
    assert recalls == pytest.approx({k: row[k] for k in recalls}, abs=1e-6)
    held_ids = [id for id, is_out in zip(ids(N), HELD, strict=True) if is_out]
    embedder = session.embedder(session.target(bundle.path))
    embedded = embedder.embed("text", [Item(id, "text", None) for id in held_ids])
    np.testing.assert_allclose(embedded, sides["text"], atol=1e-5)


def test_centring_helps_where_modalities_lie_apart(combined, centred):
    before, after = (
        rows_of(bundle.record["quality"], "product")[0] for _, bundle, _ in (combined, centred)
    )
    assert after["R@10"] > before["R@10"] + 5


def test_stages_of_centred_spaces_train_on_what_inference_gives(tmp_path):
    folders(tmp_path, noise=(1.4, 1.4), means=0.6, extra="centre = true")
    (_, c) = twins(N, noise=(1.8, 1.6), means=0.6, seed=1)
    write_space(tmp_path / "c", c, ids(N))
    lab = tmp_path / "molspace.toml"
    lab.write_text(lab.read_text() + '[spaces.C]\npath = "c"\ncentre = true\n', encoding="utf-8")
    session, bundle = session_and_bundle(tmp_path, "A + Dr(B) | Cr(C)")
    planned = session.plan(session.check("A + Dr(B) | Cr(C)"))
    (step,) = [s for s in planned.steps() if s.label == "embed (A + Dr(B)) text"]
    stored = session.run([step])[step.key].arrays["embeddings"][:]
    training_ids = [id for id, is_out in zip(ids(N), HELD, strict=True) if not is_out]
    inner = replace(session.target(bundle.path), space=bundle.space.base)
    embedded = session.embedder(inner).embed(
        "text", [Item(id, "text", None) for id in training_ids]
    )
    np.testing.assert_allclose(embedded, stored, atol=1e-5)


def test_centring_makes_other_keys_and_shares_the_encoders_rows(combined, centred):
    def keys(session):
        planned = session.plan(session.check("A + Cr(B)"))
        return {kind: {s.key for s in planned.steps() if s.kind == kind} for kind in KINDS}

    KINDS = ("embed", "collect", "train")
    plain, bare = keys(combined[0]), keys(centred[0])
    assert plain["embed"] < bare["embed"]
    assert not plain["collect"] & bare["collect"]
    assert not plain["train"] & bare["train"]


def test_a_centred_space_alone_is_taken_as_it_is_and_says_so(centred):
    session, _, (a, _) = centred
    target = session.target("A")
    assert "not centred" in target.notices[0]
    embedded = session.embedder(target).embed("text", [Item("item-00003", "text", None)])
    np.testing.assert_allclose(embedded[0], unit(a["text"][3]), atol=1e-6)


def test_means_are_checked_when_a_bundle_is_read(centred, tmp_path):
    from safetensors.torch import load_file, save_file

    from reactions.core.errors import BundleError
    from reactions.products.bundles.fields import load_means

    _, bundle, _ = centred
    tensors = load_file(bundle.path / "projectors.safetensors")
    for name, bad in (
        ("mean.A.text", torch.zeros(3)),
        ("mean.A.text", tensors["mean.A.text"] * float("nan")),
        ("mean.A.text", tensors["mean.A.text"] * 1e6),
    ):
        save_file({**tensors, name: bad}, tmp_path / "x.safetensors")
        with pytest.raises(BundleError, match=r"mean\.A\.text is not a mean"):
            load_means(tmp_path / "x.safetensors", bundle.space, "cpu")
    save_file({n: t for n, t in tensors.items() if "mean.B" not in n}, tmp_path / "y.safetensors")
    with pytest.raises(BundleError, match="lacks the means of space 'B'"):
        load_means(tmp_path / "y.safetensors", bundle.space, "cpu")
    assert replace(bundle.space.base.spec, centre=False).identity("text") == (
        bundle.space.base.spec.identity("text")
    )


def test_a_collapsed_tower_cannot_be_centred(tmp_path):
    from reactions.core.errors import DataError

    folders(tmp_path, noise=(1.0, 1.0), extra="centre = true")
    np.save(tmp_path / "b" / "text.npy", np.ones((N, 64), np.float32))
    with pytest.raises(DataError, match="'B' cannot be centred"):
        session_and_bundle(tmp_path, "A + Cr(B)")
