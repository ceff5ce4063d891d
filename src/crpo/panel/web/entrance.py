"""How a rater comes in: by a link of their own, or by the open one, and with their consent."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from crpo.panel.keys import LINK
from crpo.panel.web.going import go
from crpo.panel.web.pages import from_markdown, render
from crpo.panel.web.sessions import Session, Sessions, Token

JOINING = "joining"  # stands for the rater in the form of those who are none yet
OUTSIDE = ("PROLIFIC_PID", "participant")  # what recruiting services call a person in the address


def entrance_routes(sessions: Sessions) -> APIRouter:
    """Return the routes by which a rater comes in."""
    routes = APIRouter(default_response_class=HTMLResponse)
    store, keys, access, title = sessions.store, sessions.keys, sessions.access, sessions.title

    @routes.get("/")
    def start() -> str:
        words = "Please open the link you were sent." if not access.open_link else ""
        return render("message.html", title=title, words=words, join=access.open_link)

    @routes.get("/r/{token}")
    def link(token: str) -> Response:
        name = keys.opened(LINK, token)
        try:
            return sessions.welcomed(store.rater(name or ""))
        except KeyError:
            raise HTTPException(404) from None

    @routes.get("/consent")
    def consent(session: Session = "") -> str:
        rater = sessions.who(session)
        text = from_markdown(store.campaign.consent)
        return render("consent.html", title=title, text=text, token=keys.form(rater.rater))

    @routes.post("/consent")
    def consented(token: Token, session: Session = "") -> Response:
        rater = sessions.who(session)
        sessions.seconds(rater, token)
        store.consent(rater.rater)
        return go("/instructions")

    return routes


def open_routes(sessions: Sessions) -> APIRouter:
    """Return the routes of the open link, by which anybody may take part."""
    routes = APIRouter(default_response_class=HTMLResponse)
    store, keys, access, title = sessions.store, sessions.keys, sessions.access, sessions.title

    @routes.get("/join")
    def join(request: Request, session: Session = "") -> Response:
        if not access.open_link:
            raise HTTPException(404)
        outside = next((request.query_params[name] for name in OUTSIDE if name in request.query_params), "")
        if "{{" in outside:  # a placeholder that the service did not fill in is nobody's name, and would be everybody's
            outside = ""
        if sessions.belongs(session, outside):
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
        return sessions.welcomed(rater, "/instructions")

    return routes
