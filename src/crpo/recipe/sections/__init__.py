"""The sections of a recipe. Every default of a run lives here and nowhere else.

Defaults follow the paper (arXiv 2505.14442) except where a field says otherwise.
"""

from __future__ import annotations

from crpo.recipe.sections.data import (
    DataSection,
    PairSection,
    RaterRules,
    RateSection,
)
from crpo.recipe.sections.evaluation import (
    ChangeSection,
    DecodingSection,
    EvaluateSection,
    GenerateSection,
    NoveltyBenchSection,
    OutlierSection,
    ReportSection,
    StudySection,
    TopSection,
    WinRateSection,
)
from crpo.recipe.sections.kinds import (
    Count,
    Lambdas,
    Name,
    OneWord,
    Over,
    Positive,
    S,
    Scaling,
    Section,
    Seed,
    Seeded,
    Share,
)
from crpo.recipe.sections.signals import (
    EngineSection,
    GateSection,
    ModelsSection,
    ScoreSection,
    WeighSection,
)
from crpo.recipe.sections.training import (
    LoraSection,
    OptimizerSection,
    PolicySection,
    SftSection,
    TinySection,
    TrainSection,
    WatchSection,
)

__all__ = [
    "ChangeSection",
    "Count",
    "DataSection",
    "DecodingSection",
    "EngineSection",
    "EvaluateSection",
    "GateSection",
    "GenerateSection",
    "Lambdas",
    "LoraSection",
    "ModelsSection",
    "Name",
    "NoveltyBenchSection",
    "OneWord",
    "OptimizerSection",
    "OutlierSection",
    "Over",
    "PairSection",
    "PolicySection",
    "Positive",
    "RateSection",
    "RaterRules",
    "ReportSection",
    "S",
    "Scaling",
    "ScoreSection",
    "Section",
    "Seed",
    "Seeded",
    "SftSection",
    "Share",
    "StudySection",
    "TinySection",
    "TopSection",
    "TrainSection",
    "WatchSection",
    "WeighSection",
    "WinRateSection",
]
