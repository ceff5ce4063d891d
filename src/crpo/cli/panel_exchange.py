"""The commands `crpo panel export` and `crpo panel import`: other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crpo.cli.options import Json, check_file, check_folder, tell
from crpo.errors import InputError

CampaignFolder = Annotated[Path, typer.Argument(help="A campaign: the folder that crpo panel new made.")]
ExportOutput = Annotated[Path, typer.Option("-o", "--output", help="Folder to make; it must not exist.")]
To = Annotated[str, typer.Option(help="label_studio, potato, pearmut, spreadsheet; prolific (with --base-url).")]
Url = Annotated[str, typer.Option("--base-url", help="For prolific: where raters reach crpo panel serve --open.")]
Returned = Annotated[list[Path], typer.Argument(help="Files the tool gave back; of potato its annotation_output.")]
Tidy = Annotated[Path, typer.Option("-o", "--output", help="CSV to write: votes, or ratings. It names the models.")]
From = Annotated[str, typer.Option("--from", help="label_studio, potato, pearmut or spreadsheet.")]


def export(folder: CampaignFolder, output: ExportOutput, to: To, url: Url = "", json: Json = False) -> None:
    """Give a campaign to another tool, blind: each rater's pages as crpo would show them.

    Example: crpo panel export study -o for-label-studio --to label_studio

    Example: crpo panel export study -o for-prolific --to prolific --base-url https://panel.example.org
    """
    from crpo.panel.exchange import exported
    from crpo.panel.folder import read_campaign, write_folder

    check_folder(output)
    files = exported(read_campaign(folder), to, url)
    tell({"files": len(files), "written": str(write_folder(files, output))}, json)


def import_(folder: CampaignFolder, files: Returned, output: Tidy, source: From, json: Json = False) -> None:
    """Read what came back from another tool, and write it unblinded: votes, or ratings for crpo rate --by dimension.

    Example: crpo panel import study project-1.json --from label_studio -o votes.csv
    """
    from crpo.panel.campaign import is_passed
    from crpo.panel.exchange import imported
    from crpo.panel.folder import read_campaign
    from crpo.panel.tidy import ratings_of, votes_of, write_inert

    check_file(output, *files)
    if output.suffix.lower() != ".csv":
        raise InputError(f"output {output} is no .csv", "Name a file ending in .csv.")
    campaign = read_campaign(folder)
    judgements, notes = imported(campaign, source, files)
    rated = campaign.settings.kind == "ratings"
    table = (ratings_of if rated else votes_of)(campaign, judgements)
    of_item = judgements.groupby(["rater", "item_id"])["value"].apply(list)
    checks = [(campaign.item[str(item)], values) for (_, item), values in of_item.items()]  # type: ignore[misc]
    checks = [is_passed(campaign.settings, item, values) for item, values in checks if item.role == "check"]
    facts = {"raters": judgements["rater"].nunique(), "judgements": len(judgements),
             "attention checks passed": f"{sum(checks)} of {len(checks)}",
             "ratings" if rated else "votes": len(table)}  # fmt: skip
    facts.update({f"note {number}": note for number, note in enumerate(notes, 1)})
    tell({**facts, "written": str(write_inert(table, output))}, json)
