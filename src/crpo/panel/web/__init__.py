"""The panel's web pages: plain HTML that works without JavaScript. Imported only by `crpo panel serve`."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import Response

from crpo.panel.keys import Keys
from crpo.panel.store import Store
from crpo.panel.web.access import Access
from crpo.panel.web.entrance import entrance_routes, open_routes
from crpo.panel.web.guards import add_guards
from crpo.panel.web.pages import static_files
from crpo.panel.web.rating import other_routes, rating_routes
from crpo.panel.web.researcher import researcher_routes
from crpo.panel.web.sessions import Sessions


def app_for(store: Store, keys: Keys, access: Access) -> FastAPI:
    """Return the application that serves a campaign.

    Parameters
    ----------
    store : Store
    keys : Keys
    access : Access
        Who may come in, and what they are told at the end.
    """
    # No redirects of slashes: they go to whatever host the request names.
    app = FastAPI(title="panel", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    add_guards(app, access)
    sessions = Sessions(store, keys, access)
    for routes in (entrance_routes, open_routes, rating_routes, other_routes):
        app.include_router(routes(sessions))
    app.include_router(researcher_routes(store, keys, access))
    for name, (kind, content) in static_files().items():
        app.add_api_route(f"/{name}", _file(kind, content), methods=["GET"])
    return app


def _file(kind: str, content: bytes):  # noqa: ANN202 - a closure for one file
    def give() -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "max-age=600"})

    return give
