"""The pages of a rater: link, consent, instructions, one page per item, the end."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Cookie, Form, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, Response

from crpo.panel.keys import LINK, SESSION, Keys
from crpo.panel.store import Rater, Store
from crpo.panel.web.access import Access
from crpo.panel.web.going import entered, go
from crpo.panel.web.items import item_page, read_values
from crpo.panel.web.pages import from_markdown, render

COOKIE = "panel"
DAYS = 90
JOINING = "joining"  # stands for the rater in the form of those who are none yet
OUTSIDE = ("PROLIFIC_PID", "participant")  # what recruiting services call a person in the address
Session = Annotated[str, Cookie(alias=COOKIE)]
Token = Annotated[str, Form()]


def rating_routes(store: Store, keys: Keys, access: Access) -> APIRouter:
    """Return the routes for raters."""
    routes = APIRouter(default_response_class=HTMLResponse)
    title = store.campaign.settings.title

    def who(session: str) -> Rater:
        """Return whose session it is; 403 without one."""
        name = keys.opened(SESSION, session)
        try:
            return store.rater(name or "")
        except KeyError:
            raise HTTPException(403) from None

    def seconds(rater: Rater, token: str) -> float:
        found = keys.seconds_since(rater.rater, token)
        if found is None:
            raise HTTPException(403)
        return found

    def welcomed(rater: Rater, where: str = "/rate") -> Response:
        session = keys.sign(SESSION, rater.rater)
        return entered(where, COOKIE, session, days=DAYS, path="/", secure=access.secure)

    def belongs(session: str, outside: str) -> bool:
        """Return whether the session is of this person; two may use one browser, with their names elsewhere."""
        try:
            rater = store.rater(keys.opened(SESSION, session) or "")
        except KeyError:
            return False
        return not outside or rater.outside == keys.pseudonym(outside)

    @routes.get("/")
    def start() -> str:
        words = "Please open the link you were sent." if not access.open_link else ""
        return render("message.html", title=title, words=words, join=access.open_link)

    @routes.get("/r/{token}")
    def link(token: str) -> Response:
        name = keys.opened(LINK, token)
        try:
            return welcomed(store.rater(name or ""))
        except KeyError:
            raise HTTPException(404) from None

    @routes.get("/join")
    def join(request: Request, session: Session = "") -> Response:
        if not access.open_link:
            raise HTTPException(404)
        outside = next((request.query_params[name] for name in OUTSIDE if name in request.query_params), "")
        if "{{" in outside:  # a placeholder that the service did not fill in is nobody's name, and would be everybody's
            outside = ""
        if belongs(session, outside):
            return go("/rate")
        consent, token = from_markdown(store.campaign.consent), keys.form(JOINING)
        return HTMLResponse(render("join.html", title=title, consent=consent, outside=outside, token=token))

    @routes.post("/join")
    def joined(token: Token, outside: Annotated[str, Form()] = "") -> Response:
        if not access.open_link:
            raise HTTPException(404)
        if keys.seconds_since(JOINING, token) is None:
            raise HTTPException(403)
        # Who has no name elsewhere is known by the form, so that a form sent twice makes one rater.
        rater = store.add_rater(keys.pseudonym(outside or token), access.most_raters)
        if rater is None:
            return HTMLResponse(render("message.html", title=title, words="The study is full. Thank you for coming."))
        store.consent(rater.rater)
        return welcomed(rater, "/instructions")

    @routes.get("/consent")
    def consent(session: Session = "") -> str:
        rater = who(session)
        text = from_markdown(store.campaign.consent)
        return render("consent.html", title=title, text=text, token=keys.form(rater.rater))

    @routes.post("/consent")
    def consented(token: Token, session: Session = "") -> Response:
        rater = who(session)
        seconds(rater, token)
        store.consent(rater.rater)
        return go("/instructions")

    @routes.get("/instructions")
    def instructions(session: Session = "") -> str:
        rater = who(session)
        begun = bool(store.items_judged(rater.rater))
        text = from_markdown(store.campaign.instructions)
        return render("instructions.html", title=title, text=text, begun=begun)

    @routes.get("/rate")
    def rate(session: Session = "") -> Response:
        rater = who(session)
        if rater.consented_at is None:
            return go("/consent")
        done = store.items_judged(rater.rater)
        pages = store.pages(rater.rater)
        waiting = [page for page in pages if page.item_id not in done]
        return go(f"/rate/{waiting[0].item_id}") if waiting else go("/done")

    @routes.get("/rate/{item_id}")
    def show(item_id: str, session: Session = "") -> Response:
        rater = who(session)
        if rater.consented_at is None:
            return go("/consent")
        return HTMLResponse(item_page(store, rater, item_id, keys.form(rater.rater)))

    @routes.post("/rate/{item_id}")
    async def judge(item_id: str, request: Request, session: Session = "") -> Response:
        form = await request.form()
        rater = await run_in_threadpool(who, session)
        token = str(form.get("token", ""))
        spent = seconds(rater, token)
        if rater.consented_at is None:
            return go("/consent")
        values, missing = await run_in_threadpool(read_values, store, rater, item_id, form)
        if missing:
            # With the same token: the time from when the page was first shown counts.
            page = await run_in_threadpool(item_page, store, rater, item_id, token, values, missing)
            return HTMLResponse(page, status_code=422)
        await run_in_threadpool(store.judge, rater.rater, item_id, values, spent)
        return go("/rate")

    @routes.get("/done")
    def done(session: Session = "") -> Response:
        rater = who(session)
        if rater.finished_at is None:
            return go("/rate")
        return HTMLResponse(render("done.html", title=title, code=access.completion_code))

    @routes.get("/pause")
    def pause(session: Session = "") -> str:
        rater = who(session)
        link = f"{access.base_url}/r/{keys.sign(LINK, rater.rater)}"
        return render("pause.html", title=title, link=link, judged=len(store.items_judged(rater.rater)))

    return routes
