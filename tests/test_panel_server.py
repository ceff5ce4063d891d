"""The panel as raters and strangers meet it: blind, safe, and nothing lost."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path

import pytest

from crpo.errors import InputError
from crpo.panel.keys import FORM, LINK, SESSION, Keys
from crpo.panel.store import Store
from panel_serving import MODELS, RUN, Panel, Visitor, campaign_in, links_of, token_of

POLICY = "default-src 'none'"


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    folder = tmp_path_factory.mktemp("panel") / "study"
    campaign = campaign_in(folder, items_per_rater=6)
    links_of(campaign, 12)
    with Panel(folder, open_link=True, most=14) as serving:
        yield serving


def links(panel: Panel) -> list[str]:
    from crpo.panel.folder import read_campaign

    return links_of(read_campaign(panel.folder), 12)


def store_of(panel: Panel) -> Store:
    from crpo.panel.folder import read_campaign

    return Store(read_campaign(panel.folder))


def test_a_rater_goes_from_the_link_to_the_end_and_learns_no_model(panel: Panel) -> None:
    rater = Visitor(panel.url)
    rater.enter(links(panel)[0])
    page = rater.get("/rate")
    pages = 0
    while page.url.path != "/done":
        pages += 1
        page = rater.answer(page, "1")
    assert pages == 2 + 6 + 2  # practice, items, checks
    received = "\n".join(rater.seen)
    campaign = store_of(panel).campaign
    for secret in (*MODELS, RUN, str(panel.folder), campaign.of, *campaign.answer):
        assert secret not in received
    assert "Thank you" in page.text


def test_who_comes_back_goes_on_where_they_were(panel: Panel) -> None:
    link = links(panel)[1]
    first = Visitor(panel.url)
    first.enter(link)
    page = first.answer(first.get("/rate"), "2")
    again = Visitor(panel.url)
    assert again.get(link).url.path == page.url.path
    pause = again.get("/pause").text
    assert link in pause


def test_a_form_without_the_sessions_token_is_refused(panel: Panel) -> None:
    rater, other = Visitor(panel.url), Visitor(panel.url)
    rater.enter(links(panel)[2])
    other.enter(links(panel)[3])
    page, theirs = rater.get("/rate"), other.get("/rate")
    path = page.url.path
    before = len(store_of(panel).judgements())
    keys = Keys("0" * 64)
    name = store_of(panel).raters()[2].rater
    for token in ("", "nonsense", token_of(theirs), keys.form(name), page.request.headers.get("cookie", "")):
        assert rater.post(path, {"token": token, "d0": "1"}).status_code == 403
    assert rater.client.post(path, content=b"").status_code == 403
    stranger = Visitor(panel.url)
    assert stranger.post(path, {"token": token_of(page), "d0": "1"}).status_code == 403
    assert stranger.get("/rate").status_code == 403
    assert rater.post("/consent", {"token": token_of(theirs)}).status_code == 403
    assert stranger.post("/join", {"outside": "me"}).status_code == 403
    assert len(store_of(panel).judgements()) == before


def test_a_token_for_one_purpose_is_worth_nothing_for_another() -> None:
    keys = Keys("k" * 64)
    for made, used in ((LINK, SESSION), (SESSION, LINK), (SESSION, FORM), (FORM, LINK)):
        assert keys.opened(used, keys.sign(made, "r1")) is None
        assert keys.opened(made, keys.sign(made, "r1")) == "r1"


def test_an_item_of_another_rater_is_not_there(panel: Panel) -> None:
    store = store_of(panel)
    one, other = store.raters()[4], store.raters()[5]
    own = {page.item_id for page in store.pages(one.rater)}
    theirs = next(page.item_id for page in store.pages(other.rater) if page.item_id not in own)
    rater = Visitor(panel.url)
    rater.enter(links(panel)[4])
    page = rater.get("/rate")
    for item in (theirs, "i000000", "null"):
        assert rater.get(f"/rate/{item}").status_code == 404
        assert rater.post(f"/rate/{item}", {"token": token_of(page), "d0": "1"}).status_code == 404
    later = store.pages(one.rater)[3].item_id
    assert rater.get(f"/rate/{later}").status_code == 404  # one's own, but not yet
    assert rater.get("/r/InIxIg.forged").status_code == 404


def test_twenty_identical_parallel_posts_make_one_row(panel: Panel) -> None:
    rater = Visitor(panel.url)
    rater.enter(links(panel)[6])
    page = rater.get("/rate")
    name = store_of(panel).raters()[6].rater
    with ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(lambda _: rater.answer(page, "1").status_code, range(20)))
    assert set(codes) == {200}
    with sqlite3.connect(panel.folder / "panel.sqlite") as database:
        rows = database.execute("SELECT COUNT(*), MAX(changes) FROM judgements WHERE rater = ?", (name,)).fetchone()
    assert rows == (1, 0)


def test_going_back_changes_the_answer_and_counts_the_change(panel: Panel) -> None:
    rater = Visitor(panel.url)
    rater.enter(links(panel)[7])
    first = rater.get("/rate")
    following = rater.answer(first, "1")
    back = re.findall(r'href="(/rate/[^"]+)">Back', following.text)[0]
    assert back == first.url.path
    assert 'class="answer chosen" aria-label="answer 1"' in rater.get(back).text
    rater.answer(rater.get(back), "tie")
    own = store_of(panel).judgements().query("number == 7")
    assert own[["value", "changes"]].to_numpy().tolist() == [["tie", 1]]


def test_an_answer_that_is_no_choice_is_asked_for_again(panel: Panel) -> None:
    rater = Visitor(panel.url)
    rater.enter(links(panel)[8])
    page = rater.get("/rate")
    for value in ("", "3", "-1", "two", "1 "):
        again = rater.post(page.url.path, {"token": token_of(page), "d0": value})
        assert again.status_code == 422
        assert "Please choose one" in again.text
    assert store_of(panel).judgements().query("number == 8").empty


def test_every_response_has_a_strict_policy(panel: Panel) -> None:
    rater = Visitor(panel.url)
    rater.enter(links(panel)[9])
    rater.answer(rater.get("/rate"), "1")
    for path in (
        "/",
        "/join",
        "/consent",
        "/instructions",
        "/pause",
        "/rate",
        "/nowhere",
        "/style.css",
        panel.dashboard,
    ):
        rater.get(path)
    assert len(rater.seen) > 12
    for received in rater.seen:
        assert POLICY in received
        assert "unsafe" not in received
        assert "nosniff" in received


def test_a_huge_post_is_refused(panel: Panel) -> None:
    rater = Visitor(panel.url)
    rater.enter(links(panel)[10])
    page = rater.get("/rate")
    large = {"token": token_of(page), "d0": "1" * 100_000}
    assert rater.post(page.url.path, large).status_code == 413
    chunks = iter([b"d0=", b"1" * 100_000])
    assert rater.client.post(page.url.path, content=chunks).status_code == 413


def test_the_open_link_makes_one_rater_of_one_person_and_keeps_a_pseudonym(panel: Panel) -> None:
    person = "5f9a0c1b2d3e4f5a6b7c8d9e"
    before = len(store_of(panel).raters())
    for _ in range(2):  # from two devices
        visitor = Visitor(panel.url)
        page = visitor.get(f"/join?PROLIFIC_PID={person}&STUDY_ID=1")
        entered = visitor.post("/join", {"token": token_of(page), "outside": person})
        assert entered.url.path == "/instructions"
    raters = store_of(panel).raters()
    assert len(raters) == before + 1
    for file in panel.folder.iterdir():
        assert person.encode() not in file.read_bytes()


def test_a_join_form_sent_twice_makes_one_rater_and_a_full_study_says_so(panel: Panel) -> None:
    visitor = Visitor(panel.url)
    token = token_of(visitor.get("/join"))
    before = len(store_of(panel).raters())
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda _: Visitor(panel.url).post("/join", {"token": token, "outside": ""}), range(5)))
    assert len(store_of(panel).raters()) == before + 1
    while len(store_of(panel).raters()) < 14:
        fresh = Visitor(panel.url)
        fresh.post("/join", {"token": token_of(fresh.get("/join")), "outside": ""})
    late = Visitor(panel.url)
    assert "full" in late.post("/join", {"token": token_of(late.get("/join")), "outside": ""}).text


def test_the_dashboard_is_behind_its_own_token(panel: Panel) -> None:
    stranger = Visitor(panel.url)
    for path in ("/dashboard", "/dashboard/guess", "/dashboard/export/judgements.csv"):
        assert stranger.get(path).status_code == 404
    rater = Visitor(panel.url)
    rater.enter(links(panel)[0])
    assert rater.get("/dashboard").status_code == 404
    researcher = Visitor(panel.url)
    page = researcher.get(panel.dashboard)
    assert "raters have finished" in page.text
    assert not any(model in page.text for model in MODELS)
    table = researcher.get("/dashboard/export/judgements.csv")
    assert table.text.count("\n") == len(store_of(panel).judgements()) + 1


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(sorted(name for name, _ in attrs))))


PAYLOADS = [
    *(f"<{tag} {event}=alert(1)>" for tag in ("img src=x", "svg", "body", "video", "iframe")
      for event in ("onload", "onerror", "onmouseover", "onfocus", "onanimationstart")),
    *(f"{quote}{end}<script>alert({number})</script>" for number, quote in enumerate(("", '"', "'", "`", "&quot;"))
      for end in ("", ">", "-->", "</div>", "]]>")),
    "javascript:alert(1)", "<a href=javascript:alert(1)>x</a>", "<math><mtext></form><form><mglyph><style></math>",
    "<svg><script>alert(1)</script></svg>", "<base href=//evil.example>", "<meta http-equiv=refresh content=0>",
    "<link rel=stylesheet href=//evil.example>", "{{ 7*7 }}", "{% include 'x' %}", "${alert(1)}", "<form action=//e>",
    "<button name=d0 value=1>", "<input name=token value=x>", "\u202e<b>turned</b>", "<textarea><script>", "<!--",
]  # fmt: skip


def test_no_known_payload_makes_an_element(tmp_path: Path) -> None:
    assert len(PAYLOADS) >= 60
    plain = campaign_in(tmp_path / "plain", prompts=12, items_per_rater=36, choice={"by": "all"})
    hostile = campaign_in(tmp_path / "hostile", prompts=12, texts=PAYLOADS, items_per_rater=36, choice={"by": "all"})
    shapes = {}
    for campaign in (plain, hostile):
        shapes[campaign.folder] = set()
        (link,) = links_of(campaign, 1)
        assert campaign.folder is not None
        with Panel(campaign.folder) as serving:
            rater = Visitor(serving.url)
            rater.enter(link)
            page, shown = rater.get("/rate"), ""
            while page.url.path != "/done":
                elements = Elements()
                elements.feed(page.text)
                assert page.text.count("<script") == 1
                shapes[campaign.folder].add(tuple(elements.found))
                shown += page.text
                page = rater.answer(page, "1")
    assert shapes[hostile.folder] == shapes[plain.folder]
    assert shown.count("&lt;script&gt;") > 10


def test_judgements_of_another_campaign_are_not_continued(tmp_path: Path) -> None:
    one, other = campaign_in(tmp_path / "one"), campaign_in(tmp_path / "other", seed=9)
    Store(one)
    assert one.folder is not None
    assert other.folder is not None
    (one.folder / "panel.sqlite").rename(other.folder / "panel.sqlite")
    with pytest.raises(InputError, match="another campaign"):
        Store(other)


def test_a_damaged_file_is_said_in_one_line(tmp_path: Path) -> None:
    campaign = campaign_in(tmp_path / "study")
    assert campaign.folder is not None
    (campaign.folder / "panel.sqlite").write_bytes(b"SQLite format 3\0" + b"\xff" * 4000)
    with pytest.raises(InputError, match=r"cannot be used|damaged"):
        Store(campaign)
