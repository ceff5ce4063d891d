"""A panel served in a process of its own, raters who answer over HTTP, and campaigns for them.

This file as a script serves on order: a line on standard input starts a server in a fork, so that imports are paid once
and a killed server is back in a moment; the fork's process id goes to standard output.
"""

from __future__ import annotations

import contextlib
import html
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import httpx2
import pandas as pd

from crpo.panel.campaign import Campaign
from crpo.panel.design import design
from crpo.panel.folder import read_campaign, write_campaign
from crpo.panel.keys import LINK, keys_of
from crpo.panel.select import select
from crpo.panel.settings import Settings
from crpo.panel.store import Store

MODELS = ("zebra-7b-instruct", "okapi-base", "quagga-dpo")  # names no page says by chance
RUN = "runs/giraffe"


def campaign_in(
    folder: Path, prompts: int = 4, texts: Sequence[str] = (), models: Sequence[str] = MODELS, **settings: object
) -> Campaign:
    """Make a campaign of made-up answers of three models; `texts` are the first of these answers."""
    words = random.Random(7)
    things = ["lamp", "raft", "doorstop", "pillow", "clock", "stage", "kite", "ladder", "drum", "whistle", "anchor"]
    own = iter(texts)
    rows = [
        {"prompt_id": f"p{prompt}", "prompt": f"Name a use for thing {prompt}.", "model": model, "sample": str(sample),
         "response": next(own, " ".join(words.sample(things, 6))), "status": "ok", "source": "model", "run": RUN}
        for prompt in range(prompts) for model in models for sample in range(2)
    ]  # fmt: skip
    wanted = Settings.model_validate({"seed": 3, **settings})
    candidates = pd.DataFrame(rows).assign(metric=float("nan"))
    campaign, _ = design(select(candidates, wanted.choice, wanted.seed), wanted)
    return read_campaign(write_campaign(campaign, folder))


def links_of(campaign: Campaign, count: int) -> list[str]:
    """Add raters until there are `count`, and return the paths of their links."""
    assert campaign.folder is not None
    store, keys = Store(campaign), keys_of(campaign.folder)
    while len(store.raters()) < count:
        store.add_rater()
    return [f"/r/{keys.sign(LINK, rater.rater)}" for rater in store.raters()]


class Panel:
    """A served campaign, as a context manager; can be killed and started again at the same address."""

    def __init__(self, folder: Path, *, open_link: bool = False, most: int | None = None) -> None:
        self.folder, self.port = folder, _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.dashboard = f"/dashboard/{keys_of(folder).dashboard}"
        self._arguments = [str(folder), str(self.port), str(int(open_link)), str(most or "")]
        self._serving = 0

    def __enter__(self) -> Panel:
        self._waiting = subprocess.Popen(
            [sys.executable, __file__, *self._arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
        assert self._waiting.stdin is not None
        self._waiting.stdin.close()
        self._waiting.wait(20)

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        assert self._waiting.stdin is not None
        assert self._waiting.stdout is not None
        self._waiting.stdin.write("serve\n")
        self._waiting.stdin.flush()
        self._serving = int(self._waiting.stdout.readline())
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                httpx2.get(f"{self.url}/style.css")
                return
            except httpx2.TransportError:
                time.sleep(0.01)
        raise TimeoutError("the panel does not answer")

    def kill(self) -> None:
        """Kill the server as if the power went, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            while True:
                os.kill(self._serving, signal.SIGKILL)
                time.sleep(0.002)


@dataclass
class Visitor:
    """A browser without JavaScript: keeps cookies, reads forms, posts them."""

    url: str
    client: httpx2.Client = field(init=False)
    seen: list[str] = field(default_factory=list)  # everything that was received, headers and body

    def __post_init__(self) -> None:
        self.client = httpx2.Client(base_url=self.url, follow_redirects=True, timeout=30)

    def get(self, path: str) -> httpx2.Response:
        """Open a page."""
        return self._kept(self.client.get(path))

    def post(self, path: str, values: dict[str, str]) -> httpx2.Response:
        """Send a form."""
        return self._kept(self.client.post(path, data=values))

    def enter(self, link: str) -> httpx2.Response:
        """Open one's own link and agree."""
        page = self.get(link)
        return self.post("/consent", {"token": token_of(page)}) if page.url.path == "/consent" else page

    def answer(self, page: httpx2.Response, value: str) -> httpx2.Response:
        """Answer every question of an item's page with a value."""
        questions = sorted(set(re.findall(r'name="(d\d)"', page.text)))
        return self.post(page.url.path, {"token": token_of(page), **dict.fromkeys(questions, value)})

    def _kept(self, response: httpx2.Response) -> httpx2.Response:
        self.seen += [f"{one.headers}\n{one.text}" for one in (*response.history, response)]
        return response


def token_of(page: httpx2.Response) -> str:
    """Return the token in a page's form."""
    return html.unescape(re.findall(r'name="token" value="([^"]+)"', page.text)[0])


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def _wait_for_orders(folder: str, port: str, open_link: str, most: str) -> None:
    from crpo.cli import panel_serve

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    import crpo.panel.web  # noqa: F401 - paid once

    for _ in sys.stdin:
        child = os.fork()
        if not child:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            panel_serve.serve(Path(folder), "127.0.0.1", int(port), None, open_link == "1", int(most) if most else None)
            os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    _wait_for_orders(*sys.argv[1:])
