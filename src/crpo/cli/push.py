"""The command that puts an export on the hub: push. It works without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crpo.cli.options import Json, tell


def push(
    folder: Annotated[Path, typer.Argument(help="A folder that crpo export wrote: a model or a data set.")],
    repository: Annotated[str, typer.Argument(help="OWNER/NAME on the hub; made private where it is not there.")],
    json: Json = False,
) -> None:
    """Put an exported model or data set on the Hugging Face hub; the same command again finishes a failed one.

    The token is read from the environment: HF_TOKEN.

    Example: crpo push exports/crpo-div me/crpo-div
    """
    from crpo.stages.pushing import push as push_folder

    tell({"pushed": push_folder(folder, repository)}, json)
