"""Where a page leads, and what the browser keeps."""

from __future__ import annotations

from fastapi.responses import RedirectResponse, Response

DAY = 86400  # seconds


def go(where: str) -> Response:
    """Lead to another page of ours; what was posted is not posted again when that page is loaded anew."""
    return RedirectResponse(where, status_code=303)


def entered(where: str, cookie: str, value: str, *, days: int, path: str, secure: bool) -> Response:
    """Lead to a page with a cookie that scripts cannot read and other sites' forms do not send.

    Links to us do send it ("lax"), so that a link in a mail leads in.
    """
    response = go(where)
    response.set_cookie(cookie, value, max_age=days * DAY, httponly=True, samesite="lax", secure=secure, path=path)
    return response
