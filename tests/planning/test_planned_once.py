"""A command makes its plan once, and opens no corpus and no evaluation set twice."""

from collections import Counter

import published_sets as published
import pytest
from media_files import image_bytes, put, sound_bytes
from typer.testing import CliRunner

from molspace_cli.app import app
from reactions.core.file_digests import DigestCache
from reactions.data.sources import corpus as corpora
from reactions.eval.published import PublishedSet
from reactions.planning.planner import Planner

LAB = """
[lab]
extends = "mini"
[reaction]
hidden_dim = 8
batch_size = 8
dr_epochs = 1
cr_epochs = 1
[corpora.text]
path = "captions.txt"
[corpora.image]
path = "photos"
[corpora.audio]
path = "sounds"
[data]
root = "sets"
"""


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """What was planned and opened, and how often; in a folder with a lab of files."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "molspace.toml", LAB)
    put(tmp_path / "captions.txt", "".join(f"a sound {i}\n" for i in range(12)))
    for i in range(12):
        put(tmp_path / f"photos/{i:02d}.png", image_bytes(i))
        put(tmp_path / f"sounds/{i:02d}.flac", sound_bytes(i, "FLAC"))
    for name in ("audiocaps", "vggss", "esc50"):
        published.ALL[name](tmp_path / "sets" / name)
    counts: Counter[str] = Counter()
    react, read_set, open_corpus = Planner.react, PublishedSet.read, corpora.open_corpus

    def count(kind, name, real, *arguments, **options):
        counts[f"{kind} {name}"] += 1
        return real(*arguments, **options)

    monkeypatch.setattr(
        Planner, "react", lambda self, text, space: count("plan", text, react, self, text, space)
    )
    monkeypatch.setattr(
        PublishedSet, "read", lambda self: count("set", self.task.name, read_set, self)
    )
    monkeypatch.setattr(
        corpora,
        "open_corpus",
        lambda name, modality, sources, **options: count(
            "corpus", modality, open_corpus, name, modality, sources, **options
        ),
    )
    return counts


CORPORA = {"corpus audio", "corpus image", "corpus text"}
BOTH = "ImageBind + Cr(CLAP_m) & Cr(CLAP_g)"
DISPLACED = "ImageBind + Dr(InternVL)"


def run(*arguments):
    result = CliRunner().invoke(app, [*arguments, "--device", "cpu"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_react(opened):
    run("react", BOTH)
    assert opened == Counter({f"plan {BOTH}": 1, **dict.fromkeys(CORPORA, 1)})
    opened.clear()
    run("react", BOTH, "--quiet")  # from the store
    assert opened == Counter({f"plan {BOTH}": 1, **dict.fromkeys(CORPORA, 1)})


def test_plan_and_explain(opened):
    for command in (["plan"], ["cache", "explain"]):
        opened.clear()
        result = CliRunner().invoke(app, [*command, BOTH], catch_exceptions=False)
        assert result.exit_code == 0
        assert opened == Counter({f"plan {BOTH}": 1, **dict.fromkeys(CORPORA, 1)})


def test_eval_of_all_tasks(opened):
    run("eval", "--task", "all", "--space", BOTH)
    sets = {"set audiocaps": 1, "set vggss": 1, "set esc50": 1}
    assert opened == Counter({f"plan {BOTH}": 1, **dict.fromkeys(CORPORA, 1), **sets})


def test_reproduce_table4(opened):
    run("reproduce", "table4", "--rows", "ImageBind,InternVL_IB,ImageBind++")
    sets = {"set audiocaps": 1, "set vggss": 1}
    plans = {f"plan {BOTH}": 1, f"plan {DISPLACED}": 1}
    assert opened == Counter({**plans, **dict.fromkeys(CORPORA, 1), **sets})


def test_an_inventory_and_its_check(opened):
    result = CliRunner().invoke(app, ["data", "list"], catch_exceptions=False)
    assert result.exit_code == 0
    assert opened == Counter(
        {**dict.fromkeys(CORPORA, 1), "set audiocaps": 1, "set vggss": 1, "set esc50": 1}
    )
    opened.clear()
    result = CliRunner().invoke(app, ["data", "check"], catch_exceptions=False)
    assert result.exit_code == 0
    assert opened == Counter(dict.fromkeys(CORPORA, 1))


def test_reproducing_findings_plans_each_reaction_once(monkeypatch, tmp_path):
    from reactions.experiments.findings import measure
    from reactions.experiments.findings.contrasts import SPACES
    from reactions.labs.lab_file import load_lab
    from reactions.session import Session
    from reactions.store import Store

    session = Session(load_lab("mini", digests=DigestCache()), Store(tmp_path), "cpu")
    planned: Counter[str] = Counter()
    real = Planner.react

    def react(self, text, space):
        planned[text] += 1
        return real(self, text, space)

    monkeypatch.setattr(Planner, "react", react)
    prospects = list(measure._prospects(measure._with_own_space(session), list(SPACES)))
    assert [prospect.space for prospect in prospects] == list(SPACES)
    assert set(planned.values()) == {1}
    assert {p.reaction for p in prospects if p.plan} == set(planned)
    assert all(p.plan.checked.expression == p.reaction for p in prospects if p.plan)
