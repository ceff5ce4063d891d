"""What strangers, full disks and stopped servers do to a panel."""

from __future__ import annotations

import csv
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from crpo.panel import keys as keys_module
from crpo.panel.folder import read_campaign
from crpo.panel.inert import inert, restored
from crpo.panel.keys import LINK, Keys
from crpo.panel.store import Store
from malformed import Command
from panel_samples import samples
from panel_serving import Panel, Visitor, campaign_in, links_of, token_of

ACTIVE = tuple("=+-@＝＋－＠")
ONE_LINE = "error: interrupted. The same command again continues.\n"
SERVE = [sys.executable, "-m", "crpo.cli", "panel", "serve"]


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    folder = tmp_path_factory.mktemp("panel") / "study"
    links_of(campaign_in(folder, items_per_rater=6), 6)
    with Panel(folder, open_link=True, most=30) as serving:
        yield serving


def entered(panel: Panel, number: int) -> Visitor:
    visitor = Visitor(panel.url)
    visitor.enter(links_of(read_campaign(panel.folder), 6)[number])
    return visitor


def judged(panel: Panel, number: int) -> pd.DataFrame:
    return Store(read_campaign(panel.folder)).judgements().query(f"number == {number}")


def test_two_who_open_the_form_in_the_same_moment_are_two_people(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys("k" * 64)
    monkeypatch.setattr(keys_module.time, "time", lambda: 1000.0)
    one, other = keys.form("joining"), keys.form("joining")
    assert keys.pseudonym(one) != keys.pseudonym(other)
    monkeypatch.setattr(keys_module.time, "time", lambda: 1007.0)
    assert keys.seconds_since("joining", one) == keys.seconds_since("joining", other) == 7.0


def test_two_people_at_one_browser_are_two_raters(panel: Panel) -> None:
    visitor, names = Visitor(panel.url), []
    for person in ("anna", "ben", "anna"):
        page = visitor.get(f"/join?PROLIFIC_PID={person}")
        if page.url.path == "/join":
            visitor.post("/join", {"token": token_of(page), "outside": person})
        names.append(visitor.client.cookies["panel"])
    assert names[0] == names[2] != names[1]
    assert visitor.get("/join?PROLIFIC_PID=anna").url.path.startswith("/rate/")  # known, so not asked again
    assert visitor.get("/join").url.path.startswith("/rate/")


def test_a_placeholder_nobody_filled_in_is_no_ones_name(panel: Panel) -> None:
    names = set()
    for _ in range(2):
        visitor = Visitor(panel.url)
        page = visitor.get("/join?PROLIFIC_PID=%7B%7B%25PROLIFIC_PID%25%7D%7D")
        assert "PROLIFIC" not in page.text
        visitor.post("/join", {"token": token_of(page), "outside": ""})
        names.add(visitor.client.cookies["panel"])
    assert len(names) == 2


def test_no_address_leads_to_another_host(panel: Panel) -> None:
    visitor = Visitor(panel.url)
    visitor.client.follow_redirects = False
    link = links_of(read_campaign(panel.folder), 6)[0]
    for path in ("/join/", "/rate/", "/dashboard/", "//evil.example/", "/r/", link, f"{link}/", "/%0d%0aX-New:1"):
        found = visitor.client.get(path, headers={"Host": "evil.example"})
        assert "evil" not in str(found.headers)
        assert "x-new" not in found.headers
        assert found.headers.get("location", "/").startswith("/")


def test_a_form_that_another_site_sends_is_refused(panel: Panel) -> None:
    rater = entered(panel, 1)
    page = rater.get("/rate")
    form = {"token": token_of(page), "d0": "1"}
    for site in ("cross-site", "same-site"):
        assert rater.client.post(page.url.path, data=form, headers={"Sec-Fetch-Site": site}).status_code == 403
        fresh = {"token": token_of(Visitor(panel.url).get("/join")), "outside": ""}
        assert rater.client.post("/join", data=fresh, headers={"Sec-Fetch-Site": site}).status_code == 403
    assert judged(panel, 1).empty
    assert rater.client.post(page.url.path, data=form, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert len(judged(panel, 1)) == 1


def test_the_time_before_a_choice_was_left_out_counts(panel: Panel) -> None:
    rater = entered(panel, 2)
    page = rater.get("/rate")
    time.sleep(0.3)
    again = rater.post(page.url.path, {"token": token_of(page)})
    assert again.status_code == 422
    rater.answer(again, "1")
    assert judged(panel, 2)["seconds"].item() >= 0.3


@pytest.mark.parametrize("path", ["/r/" + "a" * 50_000, "/r/%ff%fe", "/..%2fsecret.key", "/rate/☃", "/r/\u202e"])
def test_odd_addresses_are_not_there(panel: Panel, path: str) -> None:
    assert Visitor(panel.url).client.get(path).status_code in (404, 403)


@pytest.mark.parametrize(
    ("kind", "body"),
    [("multipart/form-data; boundary=x", b"garbage"), ("multipart/form-data", b"garbage"), ("text/plain", b"\xff\0"),
     ("application/x-www-form-urlencoded", b"token=%ff%fe&d0=\xff"), ("application/json", b'{"token": {}}'),
     ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % number for number in range(5000)))],
)  # fmt: skip
def test_odd_forms_are_refused_without_a_word_of_how(panel: Panel, kind: str, body: bytes) -> None:
    rater = entered(panel, 3)
    for path in (rater.get("/rate").url.path, "/consent", "/join"):
        sent = rater.client.post(path, content=body, headers={"Content-Type": kind})
        assert sent.status_code in (400, 403)
        assert "Traceback" not in sent.text
        assert "default-src 'none'" in sent.headers["content-security-policy"]


@contextmanager
def full_disk(panel: Panel) -> Iterator[None]:
    """Let the serving process write nothing: no file may grow beyond its first byte."""
    soft, hard = resource.prlimit(panel._serving, resource.RLIMIT_FSIZE)
    resource.prlimit(panel._serving, resource.RLIMIT_FSIZE, (1, hard))
    yield
    resource.prlimit(panel._serving, resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_says_so_and_what_was_answered_stays(panel: Panel) -> None:
    rater = entered(panel, 4)
    page = rater.answer(rater.get("/rate"), "1")
    with full_disk(panel):
        refused = rater.answer(page, "2")
        assert refused.status_code == 507
        assert "earlier answers are safe" in refused.text
        assert "default-src 'none'" in refused.headers["content-security-policy"]
    assert len(judged(panel, 4)) == 1
    assert rater.answer(page, "2").status_code == 200
    assert judged(panel, 4)["position"].tolist() == [1, 2]


def test_a_page_that_fails_is_a_page_with_our_headers(tmp_path: Path) -> None:
    campaign = campaign_in(tmp_path / "study")
    links_of(campaign, 1)
    with Panel(tmp_path / "study") as serving:
        rater = Visitor(serving.url)
        (tmp_path / "study" / "panel.sqlite").write_bytes(b"SQLite format 3\0" + b"\xff" * 4000)
        broken = rater.get("/r/" + Keys((tmp_path / "study" / "secret.key").read_text()).sign(LINK, "r1"))
    assert broken.status_code == 500
    assert "default-src 'none'" in broken.headers["content-security-policy"]
    assert "sqlite" not in broken.text.casefold()


def test_a_folder_is_served_once(panel: Panel) -> None:
    second = subprocess.run([*SERVE, str(panel.folder), "--port", "0"], capture_output=True, text=True, timeout=60)
    assert second.returncode == 5
    assert second.stderr == f"error: another process serves {panel.folder}. Stop it first.\n"


@pytest.mark.parametrize(("how", "code", "words"), [(signal.SIGINT, 130, ONE_LINE), (signal.SIGTERM, -15, "")])
def test_a_stopped_server_is_gone_soon_and_says_one_line(
    tmp_path: Path, how: signal.Signals, code: int, words: str
) -> None:
    campaign_in(tmp_path / "study")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [*SERVE, str(tmp_path / "study"), "--port", str(port)]
    with as_from_a_terminal(command) as serving, socket.create_connection(("127.0.0.1", port)) as slow:
        form = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9"
        slow.sendall(b"POST /consent HTTP/1.1\r\nHost: x\r\n" + form + b"\r\n\r\nt")  # and never comes to its end
        time.sleep(1)
        started = time.monotonic()
        serving.send_signal(how)
        _, error = serving.communicate(timeout=30)
        assert time.monotonic() - started < 10
    assert (serving.returncode, error) == (code, words)


@contextmanager
def as_from_a_terminal(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a server that takes Ctrl-C, however the tests were started, and wait for what it says."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("dashboard: http")
        assert process.stdout.readline() == "raters so far: 0\n"
        assert process.stdout.readline().startswith("note: consent.md has blanks to fill in: ")
        yield process
    finally:
        process.kill()


def test_no_table_of_a_panel_holds_a_formula(tmp_path: Path, command: Command) -> None:
    hostile = samples(models=3, prompts=3, each=1).assign(prompt=lambda own: "=1+" + own["prompt"])
    hostile["response"] = ["=cmd|' /C calc'!A0 ", "+1+1 ", "@SUM(1)", "\t=1", "＝1", "-x", "'=2", "\r=3", "- a"]
    hostile.to_csv(tmp_path / "samples.csv", index=False, quoting=csv.QUOTE_ALL)
    made = "panel new samples.csv -o study --kind ratings --scale -2:2 --practice 0 --checks 0 --json"
    code, _, error = command(made)
    assert code == 0, error
    store = Store(read_campaign(tmp_path / "study"))
    for rater, value in enumerate(("-2", "1", "-1")):
        name = store.add_rater(f"{rater}").rater  # type: ignore[union-attr]
        for place, page in enumerate(store.pages(name)):
            store.judge(name, page.item_id, {"creativity": value if place else "2"}, 9.0)
    code, _, error = command("panel results study -o found --json --set draws=20")
    assert code == 0, error
    with Panel(tmp_path / "study") as serving:
        researcher = Visitor(serving.url)
        researcher.get(serving.dashboard)
        (tmp_path / "export.csv").write_text(researcher.get("/dashboard/export/judgements.csv").text, newline="")
    files = [*tmp_path.glob("study/*.csv"), *tmp_path.glob("found/*.csv"), tmp_path / "export.csv"]
    assert len(files) >= 6
    for path in files:
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        active = [cell for cell in cells if cell.lstrip()[:1] in ACTIVE or cell[:1] in ("\t", "\r", "\n")]
        assert all(is_number(cell) for cell in active), path
    ratings = pd.read_csv(tmp_path / "found" / "ratings.csv")
    assert set(ratings["rating"]) == {-2, -1, 1, 2}
    assert set(ratings["response"].map(restored)) == set(hostile["response"])


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("text", ["-1", "'-1", "-1.5", "-1 ", "-1+1", "''-1", "-", "-1e5", "'-x", "\n-1", "−1"])
def test_numbers_stay_numbers_and_all_texts_come_back(text: str) -> None:
    assert restored(inert(text)) == text
    assert inert(text) == (text if text.lstrip("'") in ("-1", "-1.5", "−1") else "'" + text)
