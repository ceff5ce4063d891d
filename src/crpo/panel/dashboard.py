"""What the researcher sees while a campaign runs. No model is named: who looks in between stays blind too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from crpo.panel.agreement import agreement
from crpo.panel.flags import rater_facts
from crpo.panel.store import Store


def dashboard_facts(store: Store) -> dict[str, Any]:
    """Return progress by rater and by item, agreement so far, and flags, ready to be shown."""
    campaign, judgements, raters = store.campaign, store.judgements(), store.raters()
    facts = rater_facts(campaign, raters, judgements)
    status = {rater.rater: _status(rater.consented_at, rater.finished_at) for rater in raters}
    items = campaign.of_role("item")
    counts = judgements[judgements["role"] == "item"].groupby("item_id")["rater"].nunique()
    by_item = np.array([int(counts.get(item.item_id, 0)) for item in items])
    wanted = campaign.settings.raters_per_item
    return {
        "raters": [_rater(row, status[row["rater"]]) for row in facts.to_dict("records")],
        "finished": sum(rater.finished_at is not None for rater in raters),
        "items": len(items),
        "enough": int((by_item >= wanted).sum()),
        "wanted": wanted,
        "spread": [(count, int((by_item == count).sum())) for count in range(int(by_item.max(initial=0)) + 1)],
        "agreement": [
            (row["dimension"], _number(row["alpha"]), _number(row["percent"], 0), row["items"])
            for row in agreement(campaign, judgements).to_dict("records")
        ],
        "last": judgements["at"].max() if len(judgements) else "",
    }


def _status(consented: str | None, finished: str | None) -> str:
    return "finished" if finished else "at work" if consented else "not begun"


def _rater(row: dict[Any, Any], status: str) -> dict[str, Any]:
    return {
        "number": row["number"] + 1, "rater": row["rater"], "status": status, "items": row["items"], "of": row["of"],
        "seconds": _number(row["median_seconds"], 1), "same": _number(100 * row["same"], 0),
        "checks": f"{row['checks'] - row['checks_failed']} of {row['checks']}", "flags": row["flags"],
    }  # fmt: skip


def _number(value: float, decimals: int = 2) -> str:
    return "–" if pd.isna(value) else f"{value:.{decimals}f}"
