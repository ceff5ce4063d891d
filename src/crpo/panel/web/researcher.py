"""The researcher's dashboard: how far raters and items are, how far raters agree, who is to be looked at."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Cookie, HTTPException
from fastapi.responses import HTMLResponse, Response

from crpo.panel.dashboard import dashboard_facts
from crpo.panel.folder import csv_text
from crpo.panel.keys import DASHBOARD, Keys
from crpo.panel.store import JUDGEMENTS, Store
from crpo.panel.web.access import Access
from crpo.panel.web.going import entered
from crpo.panel.web.pages import render

COOKIE = "researcher"
DAYS = 30


def researcher_routes(store: Store, keys: Keys, access: Access) -> APIRouter:
    """Return the routes behind the researcher's token."""
    routes = APIRouter(prefix="/dashboard", default_response_class=HTMLResponse)

    def allow(token: str) -> None:
        if keys.opened(DASHBOARD, token) is None:
            raise HTTPException(404)  # nothing says that there is a dashboard

    @routes.get("/{token}")
    def enter(token: str) -> Response:
        allow(token)
        return entered("/dashboard", COOKIE, token, days=DAYS, path="/dashboard", secure=access.secure)

    @routes.get("")
    def dashboard(token: Annotated[str, Cookie(alias=COOKIE)] = "") -> str:
        allow(token)
        return render("dashboard.html", title=store.campaign.settings.title, **dashboard_facts(store))

    @routes.get("/export/judgements.csv")
    def export(token: Annotated[str, Cookie(alias=COOKIE)] = "") -> Response:
        allow(token)
        rows = store.judgements().astype(object).fillna("").to_dict("records")
        text = csv_text(JUDGEMENTS, rows)  # type: ignore[arg-type]
        headers = {"Content-Disposition": 'attachment; filename="judgements.csv"'}
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)

    return routes
