import json
import os
import shlex

import command_line
import pytest
from twin_folders import ids, is_held, twins, write_space

from molspace_cli.quality import remarks
from molspace_cli.react import say_quality

N = 300


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twins")
    for name, rows in zip(("a", "b"), twins(N, noise=(1.8, 1.2), means=0.6), strict=True):
        write_space(folder / name, rows, ids(N))
    (folder / "molspace.toml").write_text(
        '[spaces.A]\npath = "a"\n[spaces.B]\npath = "b"\ncentre = true\n'
        "[reaction]\nholdout = 0.2\nhidden_dim = 32\n",
        encoding="utf-8",
    )
    return folder


def molspace(folder, *arguments, code=0):
    environment = {"MOLSPACE_CACHE": str(folder / "cache"), "XDG_DATA_HOME": str(folder / "data")}
    result = command_line.molspace(*arguments, cwd=folder, env={**os.environ, **environment})
    assert result.returncode == code, result.stderr
    return result


def test_a_product_worse_than_its_part_is_reported_with_better_factors(lab):
    n = sum(is_held(id, 0, 0.2) for id in ids(N))
    plan = molspace(lab, "plan", "A + Cr(B)", "--json")
    planned = json.loads(plan.stdout)
    assert planned["rows"] == [
        {"modality": m, "corpus": f"A/{m}", "rows": N - n, "held_out": n} for m in ("image", "text")
    ]
    single = planned["projectors"][0]
    assert (single["pair"], single["subset"], single["rows"]) == ("A + Cr(B)", "T", N - n)
    assert (single["hidden_dim"], single["chosen"]) == (32, ["batch_size", "cr_epochs"])
    reaction = molspace(lab, "react", "A + Cr(B)", "--lab", "molspace.toml")
    reported = reaction.stderr
    counts = f"{N - n} rows, {n} held back"
    assert f"trains on: image {counts} (A/image); text {counts} (A/text)" in reported
    assert f"A + Cr(B) on T, V: batch 64, epochs 40 for {N - n} rows" in reported
    (warning,) = [line for line in reported.splitlines() if line.startswith("warning: ")]
    assert "image-text: at its default factors the product is worse than B alone" in warning
    (fix,) = [line for line in reported.splitlines() if line.startswith("  fix: --sigma B:0.")]
    # The same is in the bundle, and told again by show.
    bundle_shown = molspace(lab, "show", reaction.stdout.strip())
    assert warning in bundle_shown.stdout
    assert fix.strip() in bundle_shown.stdout
    assert f"rows image\t{counts} (A/image)" in bundle_shown.stdout
    assert (
        "trained A + Cr(B)\tT, V: hidden width 32, batch 64, 40 epochs (chosen by"
        in bundle_shown.stdout
    )
    assert "space B\t64 dimensions, licence ?, less its modality means" in bundle_shown.stdout
    # The factors named are what eval and infer take.
    (option,) = {word for word in fix.split() if word.startswith("B:")}
    command = ["infer", "--space", reaction.stdout.strip(), "--sigma", option, "--out", "x.npy"]
    line = {"id": "item-00003", "text": "item-00003"}
    (lab / "in.jsonl").write_text(json.dumps(line), encoding="utf-8")
    molspace(lab, *command, "in.jsonl")
    quiet_run = molspace(lab, "react", "A + Cr(B)", "--json", "--quiet")
    assert quiet_run.stderr.splitlines() == [warning, fix]  # quiet as it may be
    record = json.loads(quiet_run.stdout)
    assert record["quality"]["cross"][0]["worse"]["part"] == "B"
    assert record["rows"] == planned["rows"]


def report(n, *, worse=None, better=None, part=50.0):
    """A report of one pair of modalities, as bundles hold it."""
    figures = {"there": {"R@1": 1.0, "R@10": 2.0}, "back": {"R@1": 3.0, "R@10": 4.0}}
    row = {"R@1": 20.0, "R@10": 40.0, **figures}
    rows = [{"row": "product", **row}, {"row": "part", "name": "B", **row, "R@10": part}]
    if better:
        rows.append({"row": "better factors", "factors": better, **row, "R@10": 60.0})
    entry = {"base": "A", "expert": "B", "op": "cr", "modality": "text", "n": n, **row}
    cross = {"modalities": ["image", "text"], "n": n, "rows": rows, "worse": worse}
    return {
        "found_again": [entry],
        "cross": [{**cross, "better": better}],
        "cross_reason": "",
    }


def test_where_nothing_is_held_back_one_line_says_so(capsys):
    say_quality(None)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("nothing was held back")


def test_few_held_out_items_mean_little():
    assert any("n = 29 these figures mean little" in line for line in remarks(report(29)))
    assert not any("mean little" in line for line in remarks(report(30)))
    assert any("R@10 is always 100" in line for line in remarks(report(9)))


def test_a_warning_that_may_be_chance_says_so():
    worse = {"part": "B", "metric": "R@10", "mean": -10.0, "low": -21.0, "high": 1.0}
    lines = list(remarks(report(40, worse=worse)))
    assert lines[0].startswith("warning: image-text: at its default factors the product is worse")
    assert lines[0].endswith("R@10 40.0 against 50.0, -10.0 [-21.0, +1.0], which may be chance")
    assert lines[1].startswith("  fix: no factor that was tried gains")
    certain = list(remarks(report(40, worse={**worse, "high": -1.0})))
    assert "chance" not in certain[0]


@pytest.mark.parametrize(
    ("metric", "part", "advised"),
    [
        ("R@10", 50.0, "  fix: --sigma B:0.3 gives R@1 20.0, R@10 60.0, at eval"),
        ("R@10", 70.0, "at eval and infer, without training; still less than B alone"),
        ("R@1", 50.0, "  fix: try other spaces, or more rows; --sigma B:0.3 gives R@1 20.0, R@10"),
        ("R@1", 50.0, "at eval and infer, without training, which does not raise R@1"),
    ],
)
def test_factors_that_do_not_raise_what_is_worse_are_no_fix_of_it(metric, part, advised):
    worse = {"part": "B", "metric": metric, "mean": -9.0, "low": -21.0, "high": -1.0}
    better = {"sigma": {"B": {"image": 0.3, "text": 0.3}}}
    (fix,) = [
        line
        for line in remarks(report(40, worse=worse, better=better, part=part))
        if line.startswith("  fix: ")
    ]
    assert advised in fix
    assert ("still less" in fix) == (part == 70.0)


@pytest.mark.parametrize(
    ("better", "suggestion"),
    [
        ({"sigma": {"B": {"image": 0.3, "text": 0.3}}}, "--sigma B:0.3"),
        ({"lambda": {"B": {"image": 0.5, "text": 0.4}}}, "--lambda B:image=0.5,text=0.4"),
        ({"sigma": {"B": {"text": 0.3}, "C": {"text": 0.2}}}, "--sigma B:0.3 --sigma C:0.2"),
        ({"sigma": {"my folder": {"text": 0.3}}}, "--sigma 'my folder:0.3'"),
    ],
)
def test_factors_are_named_as_eval_and_infer_take_them(better, suggestion):
    lines = [line for line in remarks(report(40, better=better)) if suggestion in line]
    assert lines
    from molspace_cli.factors import adjustment

    words = shlex.split(suggestion)
    factors = adjustment(
        [w for o, w in zip(words[::2], words[1::2], strict=True) if o == "--sigma"],
        [w for o, w in zip(words[::2], words[1::2], strict=True) if o == "--lambda"],
        None,
    )
    assert set(factors.sigma or factors.lambda_) == set(next(iter(better.values())))


def test_a_share_that_cannot_be(lab):
    text = (lab / "molspace.toml").read_text(encoding="utf-8").replace("0.2", "0.9")
    (lab / "bad.toml").write_text(text, encoding="utf-8")
    refused = molspace(lab, "plan", "A + Cr(B)", "--lab", "bad.toml", code=2)
    assert "reaction.holdout is 0.9" in refused.stderr
