"""Who may take part, and how they leave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Access:
    """How the panel is opened.

    Parameters
    ----------
    base_url : str
        Where raters reach it, as `https://panel.example.org`; over https cookies are kept from plain http.
    open_link : bool
        Whether anybody with the address may take part (`/join`), or only those with a link of their own.
    most_raters : int or None
        With an open link, how many may join; None: no limit.
    completion_code : str
        Shown at the end to everybody who has finished; "" for none.
    """

    base_url: str
    open_link: bool = False
    most_raters: int | None = None
    completion_code: str = ""

    @property
    def secure(self) -> bool:
        """Whether raters come over https."""
        return self.base_url.startswith("https://")
