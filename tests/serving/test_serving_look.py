"""The page in a real browser: keyboards, contrast, widths, motion."""

import pytest
from page_contrast import LEAST, contrasts, luminance
from served_page import CLAP_M, keys, search, slide, wait_for_order

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


def test_everything_works_by_keyboard(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.focus("#text")
    page.keyboard.type("a dog in the rain")
    page.wait_for_selector(".hits.image .hit")
    before = keys(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    assert (
        page.evaluate("getComputedStyle(document.querySelector('#drop')).outlineStyle") == "solid"
    )
    page.focus("#f-1-text")
    for _ in range(8):
        page.keyboard.press("PageUp")
    wait_for_order(page, before)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.focus("#tab-near")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-compare"
    assert page.locator("#view-compare").is_visible()
    names = page.evaluate(
        """[...document.querySelectorAll('button, input, select, textarea, [tabindex="0"]')]
           .filter((own) => own.getClientRects().length)
           .map((own) => own.getAttribute('aria-label') || (own.labels && own.labels[0] &&
              own.labels[0].innerText) || own.innerText
              || own.getAttribute('aria-labelledby') || '')
           """
    )
    assert names
    assert all(name.strip() for name in names)
    assert page.locator("[role=status][aria-live=polite]").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast_in_the_light_and_in_the_dark(open_page, scheme):
    page = open_page(color_scheme=scheme, reduced_motion="reduce")
    search(page, "a dog in the rain")
    slide(page, CLAP_M, 0.95)
    page.wait_for_selector(".delta.up, .delta.down")
    ratios = contrasts(page, "svg, option")  # a browser draws options itself
    assert len(ratios) > 50
    assert {text: ratio for text, ratio in ratios.items() if ratio < LEAST} == {}
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(ground) < 0.1) == (scheme == "dark")


@pytest.mark.parametrize("width", [360, 768, 1300])
def test_it_fits_narrow_and_wide_windows(open_page, width):
    page = open_page(viewport={"width": width, "height": 760})
    search(page, "a dog in the rain with a very_long_word_" + "x" * 90)
    for modality in ("image", "text"):
        page.locator(f".hits.{modality} .hit").first.get_by_role("button", name="Add").click()
    for tab in ("Nearest", "Compare", "Classes"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(50)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_still_where_motion_is_not_wanted(open_page):
    page = open_page(reduced_motion="reduce")
    search(page, "a dog in the rain")
    before = keys(page)
    slide(page, CLAP_M, 0.95)
    wait_for_order(page, before)
    assert page.evaluate("document.getAnimations().length") == 0


def test_on_a_narrow_screen_results_are_seen_while_sliding(open_page):
    page = open_page(viewport={"width": 360, "height": 760}, reduced_motion="reduce")
    search(page, "a dog in the rain")
    assert not page.get_by_role("slider").first.is_visible()
    page.locator("summary").click()
    page.locator("#near-image").evaluate("(own) => own.scrollIntoView()")
    before = keys(page)
    slider = page.get_by_role("slider", name=CLAP_M)
    slide(page, CLAP_M, 0.95)
    wait_for_order(page, before)
    hit = page.locator(".hits.image .hit").first.bounding_box()
    panel = page.locator("#factors-panel").bounding_box()
    assert slider.count() == 1
    assert hit["y"] >= 0
    assert hit["y"] + 60 < panel["y"]
    assert panel["y"] + panel["height"] <= 761
