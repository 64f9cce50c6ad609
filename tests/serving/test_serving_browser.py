"""The page in a real browser: typing, dropping, sliding, comparing, errors."""

import re

import pytest
from media_files import image_bytes
from served import wav_bytes
from served_page import CLAP_M, drop, keys, search, slide, until, wait_for_order

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


def test_typing_finds_items_of_every_modality(open_page, running):
    page = open_page()
    assert page.inner_text("#expression") == "A + Cr(B)"  # as its record says
    assert page.inner_text("#lab") == "lab: mini"
    search(page, "a violin by the sea")
    headings = page.locator(".group h3").all_inner_texts()
    assert headings == ["image", "audio", "text", "video", "depth", "thermal", "event"]
    assert len(keys(page)) == 12
    scores = [float(text) for text in page.locator(".hits.image .score").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    assert "molspace search" in page.inner_text("#command")
    until(page, "[...document.querySelectorAll('.hits.image img')].some((own) => own.naturalWidth)")
    assert page.locator(".hits.audio .wave svg").first.is_visible()
    assert page.complaints == []
    assert {url.split("/")[2] for url in page.addresses} == {f"127.0.0.1:{running.port}"}


def test_sliding_reorders_and_the_way_back_restores(open_page):
    page = open_page()
    search(page, "a dog in the rain")
    before = keys(page)
    slide(page, CLAP_M, 0.95)
    wait_for_order(page, before)
    moved = keys(page)
    assert moved
    assert moved != before
    assert "--sigma CLAP_m:audio=0.5,text=0.95" in page.inner_text("#command")
    assert page.locator(".delta.up, .delta.down").count() > 0
    assert "your factors" in page.inner_text("#status")
    page.get_by_role("button", name="As trained").click()
    wait_for_order(page, moved)
    assert keys(page) == before
    assert "--sigma" not in page.inner_text("#command")
    assert page.complaints == []


def test_only_the_newest_answer_is_shown(open_page):
    page = open_page()
    search(page, "a dog in the rain")
    routes = []

    def hold_first(route):
        if not routes:
            routes.append(route)
        else:
            route.continue_()

    page.route("**/api/search", hold_first)
    before = keys(page)
    slide(page, CLAP_M, 0.4)
    while not routes:
        page.wait_for_timeout(20)
    slide(page, CLAP_M, 0.95)
    wait_for_order(page, before)
    newest = keys(page)
    routes[0].abort()
    page.wait_for_timeout(100)
    assert keys(page) == newest
    assert page.locator("#problem").is_hidden()


def test_experts_can_be_left_out(open_page):
    page = open_page()
    search(page, "a dog in the rain")
    before = keys(page)
    page.get_by_role("checkbox", name="InternVL").uncheck()
    wait_for_order(page, before)
    assert "--experts CLAP_g,CLAP_m" in page.inner_text("#command")
    assert page.locator(".control.off").count() == 1


def test_dropping_a_picture_and_a_sound(open_page):
    page = open_page()
    drop(page, "view.png", "image/png", image_bytes(3, size=(40, 40)))
    page.wait_for_selector("#chosen img")
    page.wait_for_selector(".hits.audio .hit")
    assert "view.png" in page.inner_text("#chosen")
    assert "--image view.png" in page.inner_text("#command")
    assert "in the file's folder" in page.inner_text("#command-note")
    drop(page, "horn.bin", "application/pdf", wav_bytes(4000))
    page.wait_for_selector("#chosen .wave svg")
    until(page, "document.querySelector('#command').innerText.includes('--audio horn.bin')")
    assert page.complaints == []


def test_an_undecodable_file_says_what_why_and_fix(open_page):
    page = open_page()
    search(page, "rain")
    before = keys(page)
    drop(page, "holiday.png", "image/png", b"this is not a picture")
    page.wait_for_selector("#problem:not([hidden])")
    problem = page.inner_text("#problem")
    assert "'holiday.png' cannot be decoded as image" in problem
    assert "Why:" in problem
    assert "Fix:" in problem
    assert keys(page) == before  # what was there stays
    page.get_by_role("button", name="Close").click()
    assert page.locator("#problem").is_hidden()


def test_hits_become_queries_and_are_compared(open_page):
    page = open_page()
    search(page, "a dog in the rain")
    for modality in ("image", "audio"):
        page.locator(f".hits.{modality} .hit").first.get_by_role("button", name="Add").click()
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("button", name="Add the query").click()
    until(page, "document.querySelectorAll('.matrix tbody tr').length === 3")
    cells = page.locator(".matrix tbody td").all_inner_texts()
    assert len(cells) == 9
    assert cells[0] == cells[4] == cells[8] == "1.00"
    assert (cells[1], cells[2], cells[5]) == (cells[3], cells[6], cells[7])
    slide(page, CLAP_M, 0.95)
    until(
        page,
        "(was) => document.querySelectorAll('.matrix tbody td')[2].innerText !== was",
        arg=cells[2],
    )
    page.get_by_role("button", name=re.compile("Remove kb")).first.click()
    until(page, "document.querySelectorAll('.matrix tbody tr').length === 2")
    page.get_by_role("tab", name="Nearest").click()
    page.locator(".hits.image .hit").nth(3).get_by_role("button", name="Search with").click()
    page.wait_for_selector("#chosen img")
    until(page, "document.querySelector('.hits.image .score').innerText === '1.000'")
    assert page.complaints == []


def test_sounds_play_one_at_a_time(open_page):
    page = open_page()
    search(page, "a dog in the rain")
    plays = page.locator(".hits.audio .play")
    plays.nth(0).click()
    page.wait_for_selector(".hits.audio .hit:nth-child(1) .playing")
    plays.nth(1).click()
    page.wait_for_selector(".hits.audio .hit:nth-child(2) .playing")
    assert page.locator(".playing").count() == 1
    assert page.complaints == []


def test_texts_are_texts(open_page):
    page = open_page()
    hostile = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>'
    search(page, hostile)
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("button", name="Add the query").click()
    page.wait_for_selector(".matrix tbody tr")
    assert page.inner_text(".matrix th[scope=row] .name").startswith("<img src=x")
    assert page.evaluate("window.ran === undefined")
    assert page.complaints == []


def test_a_server_that_is_gone_and_comes_back(open_page, running):
    page = open_page()
    search(page, "rain")
    running.stop()
    try:
        page.fill("#text", "a dog in the rain")
        page.wait_for_selector("#problem:not([hidden])")
        assert "The server does not answer" in page.inner_text("#problem")
        assert "molspace serve" in page.inner_text("#problem")
    finally:
        running.start()
    page.wait_for_selector("#problem", state="hidden", timeout=20_000)
    until(page, "document.querySelector('#command').innerText.includes('a dog in the rain')")


def test_a_busy_server_is_asked_again(open_page):
    page = open_page()
    turns = []

    def busy_once(route):
        turns.append(route)
        if len(turns) == 1:
            body = '{"error": "Busy", "what": "the server is busy", "why": "", "fix": ""}'
            route.fulfill(status=503, headers={"Retry-After": "1"}, body=body)
        else:
            route.continue_()

    page.route("**/api/search", busy_once)
    search(page, "rain")
    assert len(turns) == 2
    assert page.locator("#problem").is_hidden()
