"""The commands `crpo panel serve` and `crpo panel links`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crpo.cli.options import Json, tell
from crpo.errors import InputError, RunInUseError, needs_extra

if TYPE_CHECKING:
    from crpo.panel.keys import Keys
    from crpo.panel.store import Store

GRACE = 3  # seconds that answers under way get when the server is stopped
Folder = Annotated[Path, typer.Argument(help="A campaign's folder, as crpo panel new makes it.")]
BaseUrl = Annotated[
    str | None, typer.Option(help="Where raters reach the panel, as https://panel.example.org; else host and port.")
]


def serve(
    campaign: Folder,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine's.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any that is free.")] = 8765,
    base_url: BaseUrl = None,
    open_link: Annotated[
        bool, typer.Option("--open", help="Let anybody with the address take part, at /join.")
    ] = False,
    most_raters: Annotated[
        int | None, typer.Option(min=1, help="With --open: how many may join; as many as the design needs by default.")
    ] = None,
    completion_code: Annotated[str, typer.Option(help="Code shown to those who have finished, as for Prolific.")] = "",
) -> None:
    """Serve a campaign to raters, until Ctrl-C; every answer is on the disk before the next page is shown.

    Example: crpo panel serve study --open --completion-code C1A2B3

    Raters come by links of their own (crpo panel links), or by one open link; /join?PROLIFIC_PID=… keeps a pseudonym of
    the Prolific id. The researcher's dashboard has a link that is printed at the start. Beyond this machine, put a
    server with https in front, and give its address with --base-url.
    """
    store, keys = _opened(campaign)
    from crpo.panel.assign import Dealing

    most = (most_raters or Dealing(store.campaign).raters) if open_link else None
    with _only_us(campaign), _listening(host, port) as listening:
        port = listening.getsockname()[1]
        url = (base_url or f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}").rstrip("/")  # noqa: S104
        tell({"dashboard": f"{url}/dashboard/{keys.dashboard}", **({"open link": f"{url}/join"} if open_link else {}),
              "raters so far": len(store.raters()), **_not_ready(store),
              "stop": "Ctrl-C; answers are kept, and the same command goes on"}, False)  # fmt: skip
        _serve(store, keys, url, open_link, most, completion_code, listening)


def links(
    campaign: Folder,
    raters: Annotated[int, typer.Option(min=1, help="How many raters there are to be in all.")],
    base_url: BaseUrl = None,
    json: Json = False,
) -> None:
    """Make a link for each rater and write them to links.csv in the campaign's folder; the same links each time.

    Example: crpo panel links study --raters 8 --base-url https://panel.example.org
    """
    from crpo.panel.folder import csv_text
    from crpo.panel.keys import LINK
    from crpo.tables import write_whole

    store, keys = _opened(campaign)
    while len(store.raters()) < raters:
        store.add_rater()
    url = (base_url or "http://127.0.0.1:8765").rstrip("/")
    rows = [{"rater": rater.rater, "number": rater.number + 1, "link": f"{url}/r/{keys.sign(LINK, rater.rater)}",
             "finished": rater.finished_at or ""} for rater in store.raters()]  # fmt: skip
    path = campaign / "links.csv"
    write_whole(csv_text(["rater", "number", "link", "finished"], rows).encode(), path)
    path.chmod(0o600)
    tell({"raters": len(rows), "written": str(path)}, json)


def _not_ready(store: Store) -> dict[str, str]:
    from crpo.panel.folder import CONSENT
    from crpo.panel.wording import blanks

    left = blanks(store.campaign.consent)
    return {"note": f"{CONSENT} has blanks to fill in: {len(left)}, the first is [{left[0]}]"} if left else {}


def _opened(folder: Path) -> tuple[Store, Keys]:
    from crpo.panel.folder import read_campaign
    from crpo.panel.keys import keys_of
    from crpo.panel.store import Store

    campaign = read_campaign(folder)
    return Store(campaign), keys_of(folder)


@contextmanager
def _only_us(folder: Path) -> Iterator[None]:
    import fcntl

    with (folder / ".serving").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunInUseError(f"another process serves {folder}", "Stop it first.") from error
        yield


@contextmanager
def _listening(host: str, port: int) -> Iterator:
    import socket

    try:
        listening = socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot listen on {host}, port {port}: {why}", "Choose another --port or --host.") from error
    with listening:
        # asyncio does this for sockets it makes itself; without it every page waits 40 ms for the other side's sign.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listening


def _serve(
    store: Store, keys: Keys, url: str, open_link: bool, most: int | None, completion_code: str, listening: object
) -> None:
    try:
        import uvicorn

        from crpo.panel.web import app_for
        from crpo.panel.web.access import Access
    except ImportError as error:
        raise needs_extra("crpo panel serve", "panel") from error
    app = app_for(store, keys, Access(url, open_link, most, completion_code))
    # No access log: the addresses of raters' links are in it. Nor what strangers send wrongly: pages that fail are told
    # by crpo.panel.web.guards.
    config = uvicorn.Config(app, access_log=False, log_level="critical", server_header=False, lifespan="off",
                            timeout_graceful_shutdown=GRACE)  # fmt: skip
    uvicorn.Server(config).run(sockets=[listening])  # type: ignore[list-item]
