"""``recipe=procrustes`` from the reaction to the bundle that is evaluated."""

import numpy as np
import pytest
from safetensors.numpy import load_file
from twin_folders import unit
from twin_lab import HELD, N, twin_session

from reactions.core.errors import BundleError
from reactions.eval.baselines import PROCRUSTES
from reactions.eval.registry import parse_tasks
from reactions.products.bundles.bundle import load_bundle, write_bundle
from reactions.products.bundles.folder import PROJECTORS

TASKS = parse_tasks("coco")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twins")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOLSPACE_CACHE", str(folder / "cache"))
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        yield folder


@pytest.fixture(scope="module")
def session_bundle_and_rows(root):
    session, spaces = twin_session(root)
    checked = session.check("A + Cr(B, sigma=0.4, recipe=procrustes)")
    assert checked.expression == "A + Cr(B, sigma=0.4, recipe=procrustes)"
    return session, session.react(checked), spaces


def test_the_map_is_that_of_the_collected_pairs(session_bundle_and_rows):
    """Solved again in numpy, from what the plan's own columns hold."""
    session, bundle, _ = session_bundle_and_rows
    plan = session.plan(session.check("A + Cr(B, sigma=0.4, recipe=procrustes)"))
    (step,) = [step for step in plan.steps() if step.kind == "fit"]
    artifacts = session.run([child for _, child in step.inputs])
    rows = {
        name: unit(np.asarray(artifacts[child.key].arrays["embeddings"][slice(None)], np.float64))
        for name, child in step.inputs
    }
    x, y = (
        {
            m: np.concatenate([rows[f"{anchor}.{side}.{m}"] for anchor in ("image", "text")])
            for m in ("image", "text")
        }
        for side in ("expert", "base")
    )
    cross = sum((x[m] - x[m].mean(0)).T @ (y[m] - y[m].mean(0)) for m in x)
    u, _, vt = np.linalg.svd(cross, full_matrices=False)
    stored = load_file(bundle.path / PROJECTORS)
    np.testing.assert_allclose(stored["0.TV.map.matrix"], u @ vt, atol=1e-5)
    for i, modality in enumerate(("image", "text")):
        np.testing.assert_allclose(stored["0.TV.map.source"][i], x[modality].mean(0), atol=1e-6)
        np.testing.assert_allclose(stored["0.TV.map.target"][i], y[modality].mean(0), atol=1e-6)
    assert bundle.record["ranks"] == {"0.TV": 48}
    assert bundle.record["losses"] == {"0.TV": []}
    assert bundle.record["projectors"] == [
        {"pair": "A + Cr(B)", "subset": "TV", "rows": 2 * int(N - HELD.sum())}
    ]


def test_a_bundle_of_it_is_evaluated_as_by_hand(session_bundle_and_rows):
    session, bundle, (a, b) = session_bundle_and_rows
    (result,) = session.evaluate(session.target(str(bundle.path)), TASKS)
    stored = {k: v.astype(np.float64) for k, v in load_file(bundle.path / PROJECTORS).items()}
    sides = []
    for i, modality in enumerate(("image", "text")):
        mapped = (b[modality][HELD] - stored["0.TV.map.source"][i]) @ stored["0.TV.map.matrix"]
        mapped = unit(mapped + stored["0.TV.map.target"][i])
        sides.append(unit(0.6 * a[modality][HELD] + 0.4 * mapped))
    scores = sides[0] @ sides[1].T
    right = np.diagonal(scores)
    ranks = [(s >= right[:, None]).sum(1) for s in (scores, scores.T)]
    assert result.record["metrics"][result.record["main"]] == pytest.approx(
        100 * np.mean([(rank == 1).mean() for rank in ranks])
    )


def test_the_row_is_the_reaction_by_this_recipe(session_bundle_and_rows):
    session, bundle, _ = session_bundle_and_rows
    (alone,) = session.evaluate(session.target(str(bundle.path)), TASKS)
    papers = session.target("A + Cr(B, sigma=0.4)")
    rows = {row.name: row for row in session.baselines(papers, TASKS)}
    record = rows[PROCRUSTES].results["coco"].record
    assert record["metrics"] == alone.record["metrics"]
    assert record["space"] == PROCRUSTES
    assert rows[PROCRUSTES].lacks == {}


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("0.TV.map.matrix", lambda rows: rows[:-1], "map.matrix is"),
        ("0.TV.map.source", lambda rows: rows[:1], "map.source is"),
        ("0.TV.map.known", None, "map.known is absent"),
        ("0.TV.0.weight", lambda rows: np.zeros((2, 2), np.float32), "0.weight is"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(session_bundle_and_rows, tmp_path, name, change, words):
    _, bundle, _ = session_bundle_and_rows
    tensors = load_file(bundle.path / PROJECTORS)
    if change is None:
        del tensors[name]
    else:
        tensors[name] = change(tensors.get(name)).copy()
    record = {k: v for k, v in bundle.record.items() if k not in ("files", "digest")}
    write_bundle(tmp_path / "changed", record, tensors)
    with pytest.raises(BundleError) as caught:
        load_bundle(tmp_path / "changed")
    assert words in str(caught.value)


def test_several_maps_where_one_is_solved_for_are_refused(session_bundle_and_rows, tmp_path):
    _, bundle, _ = session_bundle_and_rows
    tensors = load_file(bundle.path / PROJECTORS)
    tensors |= {k.replace(".TV.", ".T."): v for k, v in tensors.items() if k.startswith("0.")}
    record = {k: v for k, v in bundle.record.items() if k not in ("files", "digest")}
    record["mixtures"] = [{**record["mixtures"][0], "subsets": ["T", "TV"]}]
    write_bundle(tmp_path / "changed", record, tensors)
    with pytest.raises(BundleError, match="incoherent"):
        load_bundle(tmp_path / "changed")
