"""What a watch writes down: samples and warnings, each table whole at any moment."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from crpo.tables import read_table, write_table

SAMPLES, WARNINGS = "watch.jsonl", "warnings.csv"
WARNING_COLUMNS = ("model", "step", "kind", "message")


class Notes:
    """The notes of one training, in a folder.

    watch.jsonl: step, prompt_id, prompt, sample, response, status. warnings.csv, there only when there is something to
    warn of: model, step, kind ("collapse", "off-policy"), message.

    Parameters
    ----------
    folder : Path
    model : str
        The model's name in the table of warnings.
    """

    def __init__(self, folder: Path, model: str) -> None:
        self.folder, self.model = folder, model
        self.samples, self.warnings = _nothing()

    def take_up(self, step: int) -> None:
        """Begin anew after step 0; after a later one keep what was noted up to it, and forget what came after."""
        self.samples, self.warnings = _nothing()
        if step and (self.folder / SAMPLES).exists():
            rows = [json.loads(line) for line in (self.folder / SAMPLES).read_text(encoding="utf-8").splitlines()]
            self.samples = pd.DataFrame([row for row in rows if row["step"] <= step])
        if step and (self.folder / WARNINGS).exists():
            known = read_table(self.folder / WARNINGS, "warnings")
            self.warnings = known[known["step"] <= step].reset_index(drop=True)
        self._write()

    def samples_of(self, step: int) -> pd.DataFrame | None:
        """Return the samples of a step, or None where there are none."""
        if self.samples.empty or not (self.samples["step"] == step).any():
            return None
        return self.samples[self.samples["step"] == step].reset_index(drop=True)

    def add_samples(self, step: int, samples: pd.DataFrame) -> None:
        """Note the samples of a step."""
        self.samples = pd.concat([self.samples, samples.assign(step=step)], ignore_index=True)
        self._write()

    def add_warning(self, step: int, kind: str, message: str) -> bool:
        """Note a warning, and return whether it is the first of its kind."""
        if (self.warnings["kind"] == kind).any():
            return False
        self.warnings.loc[len(self.warnings)] = [self.model, step, kind, message]
        self._write()
        return True

    def _write(self) -> None:
        for table, path in ((self.samples, self.folder / SAMPLES), (self.warnings, self.folder / WARNINGS)):
            if len(table):
                write_table(table, path)
            else:
                path.unlink(missing_ok=True)


def _nothing() -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.DataFrame(), pd.DataFrame(columns=pd.Index(WARNING_COLUMNS))
