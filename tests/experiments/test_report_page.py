"""The page: whole without its cache or lab, and safe with names of anyone."""

import base64
import hashlib
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from report_lab import HEADLINE, HOSTILE, hostile_report, report_of, tiny_session, use_fakes

from reactions.core.errors import MissingError, StoreError, UsageError
from reactions.core.extras import install_extra
from reactions.core.factor_defaults import FactorDefaults
from reactions.experiments.paper.spaces import TUNED_BOTH
from reactions.experiments.report import page
from reactions.experiments.report.page import check_place, render, script_json, write


class Elements(HTMLParser):
    """Tags with their attributes, and the texts of scripts."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.scripts, self.text, self.within = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.within.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        if tag in self.within:
            while self.within.pop() != tag:
                pass

    def handle_data(self, data):
        if self.within and self.within[-1] == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif not self.within or self.within[-1] != "style":
            self.text.append(data)

    @property
    def data(self):
        return json.loads(next(text for attrs, text in self.scripts if attrs.get("id") == "data"))

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    with hostile_report(tmp_path_factory.mktemp("report")) as (report, session):
        yield report, render(report), session


def test_everything_is_there(rendered):
    report, html, _ = rendered
    elements = Elements(html)
    assert {attrs["id"] for tag, attrs in elements.tags if tag == "section" and "id" in attrs} == {
        *page.SECTIONS
    }
    assert [score.task.name for score in report.scores] == [
        *("esc50", "imagenet", "audiocaps", "vggss", "coco")
    ]
    assert len(report.hops) == len({(h.hop.step.key) for h in report.hops}) >= 12
    assert len(elements.data["losses"]) == 3
    assert [len(group["curves"]) for group in elements.data["losses"]] == [7, 7, 7]
    assert [panel["title"] for panel in elements.data["map"]["panels"]] == [
        "ImageBind",
        "the product",
    ]
    assert set(report.gaps) == {
        ("audiocaps", "audio-text"),
        ("vggss", "audio-image"),
        ("coco", "image-text"),
    }
    assert [entry["option"] for entry in elements.data["surfaces"]] == ["sigma", "lambda"]
    assert all(cost.seconds is not None for cost in report.costs)
    assert "lab: mini (tiny)" in elements.words


def test_numbers_on_the_page_are_those_of_eval(rendered):
    report, html, session = rendered
    words = Elements(html).words
    target = session.target(report.bundle.path)
    for score in report.scores:
        (result,) = session.evaluate(target, [score.task])
        assert result.record["metrics"] == score.record["metrics"]
        assert f"{score.main.mean:.2f}" in words


def test_a_surface_has_the_products_own_score_at_its_defaults(rendered):
    report, *_ = rendered
    for surface in report.surfaces:
        places = [axis.values.index(axis.default) for axis in surface.axes]
        for score in report.scores:
            table = surface.tables[score.task.name][score.task.main_score]
            at = places[0] * len(surface.axes[1].values) + places[1]
            assert table[at] == pytest.approx(score.main.mean, abs=1e-6)


# --- safety --------------------------------------------------------------------------


def test_hostile_names_stay_names(rendered):
    _, html, _ = rendered
    elements = Elements(html)
    assert HOSTILE in elements.words
    assert not [tag for tag, _ in elements.tags if tag in ("img", "iframe", "object", "base")]
    assert len(elements.scripts) == 3
    assert not [attrs for _, attrs in elements.tags if any(name[:2] == "on" for name in attrs)]
    assert HOSTILE in elements.data["map"]["panels"][0]["class"]


def test_the_policy_forbids_the_network_and_all_scripts_but_two(rendered):
    _, html, _ = rendered
    elements = Elements(html)
    (policy,) = (
        attrs["content"]
        for tag, attrs in elements.tags
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    digests = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for attrs, text in elements.scripts
        if "type" not in attrs
    ]
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    addresses = [
        value
        for tag, attrs in elements.tags
        for name, value in attrs.items()
        if name in ("src", "href", "action", "data", "srcset", "poster")
    ]
    assert all(value.startswith("#") or value == "data:," for value in addresses)
    assert not re.search(
        r"@import|url\(", page.files(page.__package__).joinpath("templates/report.css").read_text()
    )


def test_json_in_a_script_cannot_end_it():
    text = script_json({"a": "</script><!--&\u2028", "b": [1.5]})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!--&\u2028", "b": [1.5]}
    with pytest.raises(ValueError, match="JSON"):
        script_json({"a": float("nan")})


def test_what_turns_text_around_is_spelled_out(rendered):
    report, *_ = rendered
    report.notices.append("a\u202eb")
    try:
        assert "a\\u202eb" in Elements(render(report)).words
    finally:
        report.notices.pop()


# --- what is missing -----------------------------------------------------------------


@pytest.fixture
def session(tmp_path, monkeypatch):
    use_fakes(monkeypatch)
    return tiny_session(tmp_path / "store")


def lacks(report):
    return {(lack.section, lack.why) for lack in report.lacks}


def test_without_its_cache_the_rest_is_shown(session, tmp_path):
    first = report_of(session)
    bundle = first.bundle.path
    shutil.rmtree(tmp_path / "store")
    reopened = report_of(session, bundle)
    reason = "the cache no longer has the embeddings of the training"
    assert ("hops", reason) in lacks(reopened)
    assert reopened.hops == []
    assert [s.record["metrics"] for s in reopened.scores] == [
        s.record["metrics"] for s in first.scores
    ]
    assert {cost.is_stored for cost in reopened.costs if cost.kind == "train"} == {False}
    assert reason in Elements(render(reopened)).words


def test_cached_computes_nothing_and_says_what_is_not_there(session):
    bundle = session.target(HEADLINE).bundle.path
    before = {entry.key for entry in session.store.ls()}
    bare = report_of(session, bundle, cached=True)
    assert {entry.key for entry in session.store.ls()} == before
    assert (bare.scores, bare.hops, bare.surfaces, bare.gaps) == ([], [], [], {})
    sections = {lack.section for lack in bare.lacks}
    assert {"scores", "hops", "surfaces", "map", "gap"} <= sections
    assert bare.costs
    assert "What is missing" in Elements(render(bare)).words
    full = report_of(session, bundle)
    cached_report = report_of(session, bundle, cached=True)
    assert [surface.to_json() for surface in cached_report.surfaces] == [
        surface.to_json() for surface in full.surfaces
    ]
    assert Elements(render(cached_report)).data == Elements(render(full)).data
    assert {lack.section for lack in cached_report.lacks} == {lack.section for lack in full.lacks}


def test_another_lab_has_its_own_scores_and_says_that_the_training_is_not_its(session, tmp_path):
    bundle = session.target(HEADLINE).bundle.path
    absent = {"vggss": MissingError("no vggss.json", why="looked in x", fix="get it")}
    other = tiny_session(tmp_path / "other", absent=absent)
    settings = replace(other.lab.settings, cr_epochs=9)
    other = replace(other, lab=replace(other.lab, settings=settings))
    report = report_of(other, bundle)
    assert ("scores", "no vggss.json: looked in x") in lacks(report)
    assert [score.task.name for score in report.scores] == [
        "esc50",
        "imagenet",
        "audiocaps",
        "coco",
    ]
    assert any(section == "costs" and "plan" in why for section, why in lacks(report))
    assert report.costs == []
    render(report)


def test_without_any_task_there_is_still_a_page(session):
    absent = {task: MissingError("gone") for task in ("esc50", "audiocaps")}
    object.__setattr__(session.lab, "absent", absent)
    report = report_of(session, tasks="esc50,audiocaps")
    assert report.scores == []
    assert report.hops
    assert "no scores" in Elements(render(report)).words


# --- the file ------------------------------------------------------------------------


def test_an_existing_file_is_refused(tmp_path):
    path = tmp_path / "new" / "report.html"
    write(path, "one", overwrite=False)
    with pytest.raises(UsageError, match="already exists") as caught:
        write(path, "two", overwrite=False)
    assert "--overwrite" in caught.value.fix
    assert path.read_text() == "one"
    write(path, "two", overwrite=True)
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(UsageError, match="is a folder"):
        check_place(tmp_path, overwrite=True)


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"cannot use .*file' for 'report.html'"):
        write(tmp_path / "file" / "report.html", "two", overwrite=True)
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("package", ["jinja2", "plotly"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingError) as caught:
        page.check_packages()
    assert install_extra("report") in caught.value.fix


def test_what_was_tuned_and_how_experts_are_averaged_is_on_the_page(open_session, rendered):
    session = open_session(factors=FactorDefaults(mean="unit"))
    words = Elements(render(report_of(session, TUNED_BOTH, "vggss"))).words
    line = "tuned the projectors alone on 40 pairs with image (fake pairs): batch 16, 1 epoch."
    assert f"Ft(audio~image) {line}" in words
    assert "Here Ft(audio~image) tuned the projectors alone (heads=only); the paper tunes" in words
    assert "Mean of CLAP_m & CLAP_g: unit, rescaled to unit norm" in words
    assert "equation 7 (displacement) or 8 (combination)" in words
    assert "Loss of an Ft: InfoNCE of its pairs against the product as it was" in words
    other = Elements(rendered[1]).words
    assert "equation 7 (displacement) or 8 (combination)" in other
    for text in ("Ft", "Mean of"):
        assert text not in other
