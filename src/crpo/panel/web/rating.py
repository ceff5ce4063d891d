"""The pages of a rater who is in: instructions, one page per item, pause, the end."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, Response

from crpo.panel.keys import LINK
from crpo.panel.web.going import go
from crpo.panel.web.items import item_page, read_values
from crpo.panel.web.pages import from_markdown, render
from crpo.panel.web.sessions import Session, Sessions


def rating_routes(sessions: Sessions) -> APIRouter:
    """Return the routes on which a rater judges."""
    routes = APIRouter(default_response_class=HTMLResponse)
    store, keys = sessions.store, sessions.keys

    @routes.get("/rate")
    def rate(session: Session = "") -> Response:
        rater = sessions.who(session)
        if rater.consented_at is None:
            return go("/consent")
        done = store.items_judged(rater.rater)
        pages = store.pages(rater.rater)
        waiting = [page for page in pages if page.item_id not in done]
        return go(f"/rate/{waiting[0].item_id}") if waiting else go("/done")

    @routes.get("/rate/{item_id}")
    def show(item_id: str, session: Session = "") -> Response:
        rater = sessions.who(session)
        if rater.consented_at is None:
            return go("/consent")
        return HTMLResponse(item_page(store, rater, item_id, keys.form(rater.rater)))

    @routes.post("/rate/{item_id}")
    async def judge(item_id: str, request: Request, session: Session = "") -> Response:
        form = await request.form()
        rater = await run_in_threadpool(sessions.who, session)
        token = str(form.get("token", ""))
        spent = sessions.seconds(rater, token)
        if rater.consented_at is None:
            return go("/consent")
        values, missing = await run_in_threadpool(read_values, store, rater, item_id, form)
        if missing:
            # With the same token: the time from when the page was first shown counts.
            page = await run_in_threadpool(item_page, store, rater, item_id, token, values, missing)
            return HTMLResponse(page, status_code=422)
        await run_in_threadpool(store.judge, rater.rater, item_id, values, spent)
        return go("/rate")

    return routes


def other_routes(sessions: Sessions) -> APIRouter:
    """Return the routes around it: instructions, pause, the end."""
    routes = APIRouter(default_response_class=HTMLResponse)
    store, keys, access, title = sessions.store, sessions.keys, sessions.access, sessions.title

    @routes.get("/instructions")
    def instructions(session: Session = "") -> str:
        rater = sessions.who(session)
        begun = bool(store.items_judged(rater.rater))
        text = from_markdown(store.campaign.instructions)
        return render("instructions.html", title=title, text=text, begun=begun)

    @routes.get("/done")
    def done(session: Session = "") -> Response:
        rater = sessions.who(session)
        if rater.finished_at is None:
            return go("/rate")
        return HTMLResponse(render("done.html", title=title, code=access.completion_code))

    @routes.get("/pause")
    def pause(session: Session = "") -> str:
        rater = sessions.who(session)
        link = f"{access.base_url}/r/{keys.sign(LINK, rater.rater)}"
        return render("pause.html", title=title, link=link, judged=len(store.items_judged(rater.rater)))

    return routes
