"""The command `crpo doctor`."""

from __future__ import annotations

from typing import Any

from crpo.cli.options import Json, tell


def doctor(json: Json = False) -> None:
    """Say what is installed, what works with it, and how to get what does not; nothing is sent anywhere.

    Example: crpo doctor
    """
    import platform

    from crpo import __version__
    from crpo.installation import WHAT_FOR, devices, extras, keys, same_name, storage

    facts: dict[str, Any] = {"crpo": __version__, "python": platform.python_version(), "system": platform.platform()}
    facts |= devices()
    for extra, missing in extras().items():
        what = f" ({WHAT_FOR[extra]})" if extra in WHAT_FOR else ""
        works = "works" if not missing else f'pip install "crpo[{extra}]" (lacks {", ".join(missing)})'
        facts[f"extra {extra}{what}"] = works
    facts |= storage()
    facts["keys in the environment"] = ", ".join(keys()) or "none"
    if len(versions := same_name()) > 1:
        told = ", ".join(versions)
        facts["problem"] = f"packages of versions {told} are called crpo: pip uninstall crpo, then install it again"
    tell(facts, json)
