"""The panel in a real browser: Debian's Chromium, driven by Playwright. Skipped where Chromium is not installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from crpo.panel.folder import read_campaign
from crpo.panel.store import Store
from panel_serving import MODELS, Panel, campaign_in, links_of

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
READY = "form[data-keys=ready]"
FOUR = ["creativity", "novelty", "surprise", "quality"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (Debian's package chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    folder = tmp_path_factory.mktemp("pairs") / "study"
    links_of(campaign_in(folder, items_per_rater=5, overlap=4), 3)
    with Panel(folder) as serving:
        yield serving


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    folder = tmp_path_factory.mktemp("ratings") / "study"
    hostile = ["<script>alert(1)</script>", "<img src=x onerror=alert(2)>", "a" * 3000, "𝓐 🧱 לבנה"]
    campaign_in(folder, texts=hostile, items_per_rater=8, kind="ratings", dimensions=FOUR, choice={"by": "all"})
    with Panel(folder, open_link=True) as serving:
        yield serving


def key(page: Any, name: str) -> None:
    """Press a key once the page takes keys; wait for the next page."""
    page.wait_for_selector(READY)
    with page.expect_navigation():
        page.keyboard.press(name)


def place(page: Any) -> str:
    return page.locator(".place").inner_text()


def test_a_rater_practises_rates_with_keys_alone_leaves_comes_back_and_finishes(browser: Any, pairs: Panel) -> None:
    link = pairs.url + links_of(read_campaign(pairs.folder), 3)[0]
    errors: list[str] = []
    page = browser.new_page()
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(link)
    page.wait_for_selector("text=voluntary")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=What to do")
    page.goto(f"{pairs.url}/rate")
    assert "Practice" in place(page)
    key(page, "ArrowLeft")
    key(page, "2")
    assert "practice is over" in page.content()
    for name in ("ArrowRight", "ArrowDown", "1"):
        key(page, name)
    assert place(page).startswith("6 of 9")
    page.close()

    page = browser.new_page(viewport={"width": 360, "height": 740})  # on the phone
    page.goto(link)
    assert place(page).startswith("6 of 9")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for _ in range(4):
        key(page, "ArrowLeft")
    assert "Thank you" in page.content()
    judged = Store(read_campaign(pairs.folder)).judgements().query("number == 0")
    assert judged["position"].fillna(0).tolist() == [1, 2, 2, 0, 1, 1, 1, 1, 1]
    assert (judged["seconds"] > 0.25).all()
    assert errors == []


def test_the_dashboard_shows_how_far_raters_are(browser: Any, pairs: Panel) -> None:
    page = browser.new_page()
    page.goto(pairs.url + pairs.dashboard)
    row = page.locator("tbody tr").filter(has_text="finished").inner_text()
    assert "5 of 5" in row
    assert "1 of 3 raters have finished" in page.content()
    assert not any(model in page.content() for model in MODELS)


@pytest.mark.parametrize("who", ["researcher", "rater"])
def test_a_link_in_somebodys_mail_leads_in(browser: Any, pairs: Panel, who: str) -> None:
    path = pairs.dashboard if who == "researcher" else links_of(read_campaign(pairs.folder), 3)[1]
    page = browser.new_page()
    page.goto(pairs.url.replace("127.0.0.1", "localhost"))  # another site, for a browser
    page.evaluate("address => { document.body.innerHTML = `<a href=${address}>open</a>` }", pairs.url + path)
    page.click("text=open")
    page.wait_for_url(f"{pairs.url}/**")
    assert ("raters have finished" if who == "researcher" else "voluntary") in page.content()


def test_four_ratings_a_page_by_keys(browser: Any, ratings: Panel) -> None:
    page = browser.new_page()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(f"{ratings.url}/join?PROLIFIC_PID=p1")
    page.click("text=I agree")
    page.click("text=Begin")
    while "Thank you" not in page.content():
        page.wait_for_selector(READY)
        for digit in "3524":
            page.keyboard.press(digit)
        with page.expect_navigation():
            page.keyboard.press("Enter")
    judged = Store(read_campaign(ratings.folder)).judgements()
    assert judged["dimension"].tolist() == FOUR * (2 + 8 + 2)
    assert judged["value"].tolist() == list("3524") * 12
    assert dialogs == []


def test_without_javascript_everything_works(browser: Any, ratings: Panel) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto(f"{ratings.url}/join?PROLIFIC_PID=p2")
    page.click("text=I agree")
    with page.expect_navigation(url="**/rate/*"):
        page.click("text=Begin")
    while page.locator("fieldset").count():
        for number in range(4):
            page.locator(f"input[name=d{number}][value='4'] + span").click()
        with page.expect_navigation():
            page.click("text=Continue")
    assert "Thank you" in page.content()


def test_an_open_question_is_shown_and_holds_the_page(browser: Any, ratings: Panel) -> None:
    page = browser.new_page()
    page.goto(f"{ratings.url}/join?PROLIFIC_PID=p3")
    page.click("text=I agree")
    page.click("text=Begin")
    where = page.url
    page.wait_for_selector(READY)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    page.wait_for_selector("fieldset.current[data-dimension='1']")
    assert page.url == where
    assert page.locator("input:checked").count() == 1
