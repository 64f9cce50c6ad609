"""The page in a real browser, from a file, without any network."""

from dataclasses import replace

import pytest
from browser import browser as lent_browser
from page_contrast import LEAST, contrasts, luminance
from report_lab import hostile_report

from reactions.experiments.report.page import render

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(scope="module")
def browser():
    with lent_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def report_and_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    with hostile_report(folder) as (report, _):
        path = folder / "report.html"
        path.write_text(render(report), encoding="utf-8")
        yield report, path


class Seen:
    """What a page asked for, and what it complained of."""

    def __init__(self, page):
        self.requests, self.complaints = [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))


@pytest.fixture
def open_page(browser, report_and_path):
    """A function that opens the report with options of a browser's context."""
    contexts = []

    def open_it(path=report_and_path[1], **options):
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        record = Seen(page)
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn=yes]")
        return page, record

    yield open_it
    for context in contexts:
        context.close()


def score_at(report, option, task, *indices):
    surface = next(candidate for candidate in report.surfaces if candidate.option == option)
    width = len(surface.axes[1].values)
    metric = next(s.task.main_score for s in report.scores if s.task.name == task)
    return surface.tables[task][metric][indices[0] * width + indices[1]]


def score_text(page, surface, task):
    card = f'[data-surface="{surface}"] [data-task="{task}"]'
    return page.inner_text(f"{card} .now")


def slide(page, name, value):
    page.locator(f"#{name}").evaluate(
        "(own, value) => { own.value = value; own.dispatchEvent(new Event('input')); }", str(value)
    )


def test_it_opens_from_a_file_without_a_word_or_a_request(report_and_path, open_page):
    page, record = open_page()
    page.wait_for_timeout(300)
    assert record.complaints == []
    assert record.requests == [report_and_path[1].as_uri()]
    assert page.title().endswith("molspace report")  # no hostile name has run
    assert page.locator("main img").count() == 0
    # Three curves, two maps, and a panel a task and kind of factor.
    assert page.locator(".js-plotly-plot").count() == 3 + 2 + 2 * len(report_and_path[0].scores)


def test_the_network_is_out_of_reach(open_page):
    page, record = open_page()
    refused = page.evaluate(
        "fetch('http://127.0.0.1:9/').then(() => 'reached', (error) => String(error))"
    )
    assert "TypeError" in refused
    assert any("Content Security Policy" in text for text in record.complaints)


def test_no_other_script_runs(open_page):
    page, record = open_page()
    page.evaluate(
        """document.body.insertAdjacentHTML(
             "beforeend", '<img src="x:" onerror="window.ran = 1">')"""
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran === undefined")
    assert any("Content Security Policy" in text for text in record.complaints)


def test_sliders_show_the_sweeps_figures_at_grid_points(report_and_path, open_page):
    report, _ = report_and_path
    page, record = open_page()
    for audio, text in ((0, 0), (7, 3), (10, 10)):
        slide(page, "s0-0", audio / 10)
        slide(page, "s0-1", text / 10)
        for score in report.scores:
            expected = score_at(report, "sigma", score.task.name, audio, text)
            assert score_text(page, 0, score.task.name) == f"{expected:.2f}"
        assert page.inner_text('[data-surface="0"] .controls .state') == "measured"
    assert record.complaints == []


def test_between_grid_points_they_interpolate_and_say_so(report_and_path, open_page):
    report, _ = report_and_path
    page, _ = open_page()
    slide(page, "s0-0", 0.75)
    slide(page, "s0-1", 0.32)
    corners = {(a, t): score_at(report, "sigma", "audiocaps", a, t) for a in (7, 8) for t in (3, 4)}
    expected = sum(0.5 * (0.8 if t == 3 else 0.2) * value for (_, t), value in corners.items())
    number = score_text(page, 0, "audiocaps")
    assert number.startswith("\u2248")
    # The page has scores with two decimals.
    assert float(number[1:]) == pytest.approx(expected, abs=0.011)
    assert "interpolated" in page.inner_text('[data-surface="0"] .controls .state')
    page.click('[data-surface="0"] [data-snap]')
    assert page.inner_text('[data-surface="0"] .controls .state') == "measured"
    page.click('[data-surface="0"] [data-reset]')
    assert float(score_text(page, 0, "audiocaps")) == pytest.approx(
        next(s.main.mean for s in report.scores if s.task.name == "audiocaps"), abs=0.006
    )


def test_the_defaults_may_lie_between_grid_points(report_and_path, open_page, tmp_path):
    report, _ = report_and_path
    sigma, lambda_ = report.surfaces
    audio, text = sigma.axes
    off_grid = replace(sigma, axes=(replace(audio, default=0.35), text))
    differing = replace(lambda_, axes=(replace(lambda_.axes[0], default=None), lambda_.axes[1]))
    path = tmp_path / "off.html"
    path.write_text(render(replace(report, surfaces=[off_grid, differing])), encoding="utf-8")
    page, record = open_page(path)
    assert page.input_value("#s0-0") == "0.35"
    before = score_text(page, 0, "audiocaps")
    assert before.startswith("\u2248")
    page.click('[data-surface="0"] [data-snap]')
    assert page.input_value("#s0-0") in ("0.3", "0.4")
    page.click('[data-surface="0"] [data-reset]')
    assert page.input_value("#s0-0") == "0.35"
    assert score_text(page, 0, "audiocaps") == before
    assert page.inner_text('[data-surface="0"] [data-task="audiocaps"] .delta') == "\u00b10.00"
    assert page.locator('[data-surface="1"] [data-reset]').count() == 0
    assert page.locator('[data-surface="1"] [data-snap]').count() == 1
    assert record.complaints == []


def test_sliders_move_the_marks_in_the_figures(open_page):
    page, _ = open_page()
    slide(page, "s1-0", 0.2)
    slide(page, "s1-1", 0.7)
    page.wait_for_timeout(200)
    marks = page.evaluate(
        """[...document.querySelectorAll('[data-surface="1"] .plot')]
             .map((plot) => [plot.data[2].x[0], plot.data[2].y[0]])"""
    )
    assert set(map(tuple, marks)) == {(0.2, 0.7)}


def test_other_metrics_can_be_chosen(report_and_path, open_page):
    report, _ = report_and_path
    page, _ = open_page()
    page.select_option("#metric", "mean R@10")
    surface = report.surfaces[0]
    places = [axis.values.index(axis.default) for axis in surface.axes]
    at = places[0] * len(surface.axes[1].values) + places[1]
    assert score_text(page, 0, "coco") == f"{surface.tables['coco']['mean R@10'][at]:.2f}"
    assert page.inner_text('[data-surface="0"] [data-task="esc50"] .metric') == "accuracy"


def test_it_works_by_keyboard(open_page):
    page, _ = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.focus("#s0-0")
    before = score_text(page, 0, "esc50"), page.input_value("#s0-0")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert float(page.input_value("#s0-0")) == pytest.approx(float(before[1]) + 0.1)
    assert page.inner_text('[data-surface="0"] output') == f"{float(before[1]) + 0.1:.2f}"
    assert page.evaluate(outline) == "solid"
    # Everything that can be used has a name, and what scrolls can be reached.
    names = page.evaluate(
        """[...document.querySelectorAll('input, select, button, summary, [tabindex="0"]')]
           .map((own) => (own.labels && own.labels[0] && own.labels[0].innerText)
             || own.innerText || own.getAttribute('aria-label') || '')"""
    )
    assert all(name.strip() for name in names)
    assert page.locator("main, nav, header, footer").count() == 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast_in_the_light_and_in_the_dark(open_page, scheme):
    page, record = open_page(color_scheme=scheme)
    ratios = contrasts(page)
    assert len(ratios) > 100
    assert {place: ratio for place, ratio in ratios.items() if ratio < LEAST} == {}
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(back) < 0.1) == (scheme == "dark")
    texts = page.evaluate(
        """[...document.querySelectorAll('.js-plotly-plot text')]
             .map((text) => getComputedStyle(text).fill)"""
    )
    assert texts
    assert all((luminance(fill) > 0.2) == (scheme == "dark") for fill in texts)
    assert record.complaints == []


def test_the_theme_follows_while_it_is_open(open_page):
    page, _ = open_page()
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(200)
    fill = page.evaluate("getComputedStyle(document.querySelector('.js-plotly-plot text')).fill")
    assert luminance(fill) > 0.2


def test_print_is_light_and_still(open_page, tmp_path):
    page, record = open_page(color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    page.wait_for_timeout(300)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for place in ("nav", ".controls", ".choice", ".skip"):
        assert not page.locator(place).first.is_visible()
    assert page.locator(".value .now").first.is_visible()
    fill = page.evaluate("getComputedStyle(document.querySelector('.js-plotly-plot text')).fill")
    assert luminance(fill) < 0.2
    overlaps = page.evaluate(
        """[...document.querySelectorAll('.card')].filter((card) => {
             const plot = card.querySelector('.main-svg').getBoundingClientRect();
             return plot.right > card.getBoundingClientRect().right + 1; }).length"""
    )
    assert overlaps == 0
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert record.complaints == []


@pytest.mark.parametrize("width", [375, 768, 1440])
def test_it_fits_narrow_and_wide_windows(open_page, width):
    page, _ = open_page(viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    inside = page.evaluate(
        """[...document.querySelectorAll('.js-plotly-plot .main-svg')].map((plot) =>
             plot.getBoundingClientRect().right)"""
    )
    assert max(inside) <= width


def test_the_map_can_be_coloured_by_modality(open_page):
    page, _ = open_page()
    assert page.inner_text("#map-legend").split("\n")[0] != "audio"
    page.check("input[name=colour][value=modality]")
    assert page.locator("#map-legend > span").all_inner_texts() == ["audio", "image", "text"]
    names = page.evaluate(
        "[...new Set(document.querySelector('[data-map]').data.map((trace) => trace.name))].sort()"
    )
    assert names == ["audio", "image", "text"]
