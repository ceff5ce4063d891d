"""What holds of every page: headers, the size of a post, and errors without a traceback."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from crpo.panel.web.access import Access
from crpo.panel.web.pages import render

MOST_BYTES = 64 * 1024  # of a post; ours have some hundred
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # a rater's own link must not travel to another site
    "X-Robots-Tag": "noindex, nofollow",
    "Cross-Origin-Opener-Policy": "same-origin",
}
OWN = ("same-origin", "none")  # what browsers say of a form of ours
WORDS = {
    403: ("This form does not belong to your session", "Open your link again, and go on from there."),
    404: ("There is no such page", "Open your link again, and go on from there."),
    413: ("That is more than this form takes", "Go back, and try again."),
    507: (
        "Answers cannot be saved at the moment",
        "Your earlier answers are safe. Please tell the researcher, and come back later with the same link.",
    ),
}
OTHER = ("That did not work", "Go back, and try again.")
Next = Callable[[Request], Awaitable[Response]]


def add_guards(app: FastAPI, access: Access) -> None:
    """Put headers on every response of an application, refuse large posts, and give errors as pages."""

    @app.middleware("http")
    async def guard(request: Request, call_next: Next) -> Response:
        if (refused := _refused(request)) is not None:
            response: Response = _error(refused)
        else:
            try:
                response = await call_next(request)
            except Exception:  # a bug of ours: told to the researcher, not to the rater
                logging.getLogger(__name__).exception("a page failed")
                response = _error(500)
        response.headers.setdefault("Cache-Control", "no-store")
        for name, value in HEADERS.items():
            response.headers[name] = value
        if access.secure:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        return response

    @app.exception_handler(HTTPException)
    async def refuse(request: Request, error: HTTPException) -> Response:
        return _error(error.status_code)

    @app.exception_handler(RequestValidationError)
    async def not_ours(request: Request, error: RequestValidationError) -> Response:
        return _error(403)

    @app.exception_handler(sqlite3.OperationalError)
    async def cannot_save(request: Request, error: sqlite3.OperationalError) -> Response:
        return _error(507)


def _refused(request: Request) -> int | None:
    """Return why a post is not looked at: it is too large, says not how large it is, or another site sends it."""
    if request.method != "POST":
        return None
    length = request.headers.get("content-length", "0")
    if "transfer-encoding" in request.headers or not (length.isdecimal() and int(length) <= MOST_BYTES):
        return 413
    # Without this another site could have a rater join anew, and their session would be lost.
    return None if request.headers.get("sec-fetch-site", "same-origin") in OWN else 403


def _error(status: int) -> HTMLResponse:
    title, words = WORDS.get(status, OTHER)
    return HTMLResponse(render("message.html", title=title, words=words), status_code=status)
