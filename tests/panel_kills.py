"""Kill a serving panel at random moments while raters work, and count what was lost or doubled.

As a script: `python tests/panel_kills.py 100` kills it 100 times.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from crpo.panel.store import Store
from panel_serving import Panel, Visitor, campaign_in, links_of


@dataclass
class Worker:
    """A rater who answers until the end, however often the panel is gone, and notes what was acknowledged."""

    url: str
    link: str
    seed: int
    acknowledged: dict[str, str] = field(default_factory=dict)  # item -> answer, as the server said it is kept
    broken: int = 0

    def work(self, stop: threading.Event) -> None:
        """Rate until done, or until told to stop."""
        random_ = random.Random(self.seed)
        visitor = Visitor(self.url)
        page = None
        while not stop.is_set():
            try:
                page = page or visitor.enter(self.link)
                if page.url.path == "/instructions":
                    page = visitor.get("/rate")
                if page.url.path == "/done":
                    return
                page = self._answer(visitor, page, random_.choice(["1", "2", "tie"]))
            except httpx2.TransportError:
                self.broken += 1
                page = None
                time.sleep(0.01)

    def _answer(self, visitor: Visitor, page: httpx2.Response, value: str) -> httpx2.Response:
        item = page.url.path.rsplit("/", 1)[-1]
        visitor.client.follow_redirects = False  # what acknowledges is the answer to the post itself
        try:
            sent = visitor.answer(page, value)
        finally:
            visitor.client.follow_redirects = True
        assert sent.status_code == 303, (sent.status_code, sent.text)
        self.acknowledged[item] = value
        return visitor.get("/rate")


def kill_often(folder: Path, kills: int, raters: int = 8, seed: int = 0) -> dict[str, int]:
    """Serve a campaign to raters and kill it; return what was acknowledged, lost, changed and doubled.

    Raises
    ------
    AssertionError
        When the raters were done before the last kill.
    """
    campaign = campaign_in(folder, prompts=16, models=[f"model-{number}" for number in range(7)], items_per_rater=330)
    links = links_of(campaign, raters)
    stop, random_ = threading.Event(), random.Random(seed)
    with Panel(folder) as panel:
        workers = [Worker(panel.url, link, number) for number, link in enumerate(links)]
        threads = [threading.Thread(target=worker.work, args=(stop,)) for worker in workers]
        for thread in threads:
            thread.start()
        for _ in range(kills):
            wanted = _acknowledged(workers) + random_.randint(2, 20)
            while _acknowledged(workers) < wanted and any(thread.is_alive() for thread in threads):
                time.sleep(0.002)
            time.sleep(random_.uniform(0, 0.03))
            panel.kill()
            panel.start()
        still_at_work = all(thread.is_alive() for thread in threads)
        time.sleep(0.2)
        stop.set()
        for thread in threads:
            thread.join()
    store = Store(campaign)
    kept = store.judgements()
    by_rater = {rater: dict(zip(own["item_id"], own["value"], strict=True)) for rater, own in kept.groupby("rater")}
    lost = changed = 0
    for worker, rater in zip(workers, store.raters(), strict=True):
        pages = {page.item_id: page for page in store.pages(rater.rater)}
        for item, value in worker.acknowledged.items():
            expected = value if value == "tie" else pages[item].answer_ids[int(value) - 1]
            found = by_rater.get(rater.rater, {}).get(item)
            lost += found is None
            changed += found not in (None, expected)
    with sqlite3.connect(store.path) as database:
        doubled = database.execute(
            "SELECT COUNT(*) - COUNT(DISTINCT rater || ' ' || item_id || ' ' || dimension) FROM judgements"
        ).fetchone()[0]
        (sound,) = database.execute("PRAGMA integrity_check").fetchone()
    assert still_at_work, "the raters were done before the last kill"
    assert sound == "ok"
    return {
        "kills": kills, "acknowledged": _acknowledged(workers), "kept": len(kept),
        "lost": lost, "changed": changed, "doubled": doubled, "broken off": sum(worker.broken for worker in workers),
    }  # fmt: skip


def _acknowledged(workers: list[Worker]) -> int:
    return sum(len(worker.acknowledged) for worker in workers)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(kill_often(Path(scratch) / "study", int(sys.argv[1]) if len(sys.argv) > 1 else 100))
