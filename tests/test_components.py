"""Components by name, and a user's own signal through the whole of evaluation."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from crpo.components import build, provenance, source_file, with_models
from crpo.contracts import check_metric, example_answers
from crpo.errors import InputError
from crpo.metrics import METRICS, build_metric
from crpo.recipe.sections import EvaluateSection
from crpo.signals import SIGNALS

OWN = '''
from dataclasses import dataclass
import numpy as np
import pandas as pd

@dataclass(frozen=True)
class Letters:
    """Number of letters; NaN for a blank answer."""
    factor: float = 1.0

    def __call__(self, responses: pd.DataFrame) -> np.ndarray:
        lengths = responses["response"].str.len().to_numpy(float)
        return np.where(lengths > 0, self.factor * lengths, np.nan)

@dataclass(frozen=True)
class Count:
    """Samples per prompt, as a metric."""

    def __call__(self, samples: pd.DataFrame) -> pd.Series:
        return samples[samples["status"] == "ok"].groupby("prompt_id").size().astype(float)
'''


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a user's own signal and metric, importable."""
    path = tmp_path / "own_components.py"
    path.write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return path


def test_a_signal_is_built_by_name_with_its_settings_and_remembers_them() -> None:
    signal = build({"use": "novelty", "form": "sum_over_length"}, SIGNALS, "signal")
    assert "sum_over_length" in provenance(signal)


def test_the_runs_models_fill_only_the_fields_that_are_open() -> None:
    models = {"embedder": "run's", "language_model": "lm"}
    assert with_models("diversity", SIGNALS, models) == {"use": "diversity", "embedder": "run's"}
    own = with_models({"use": "diversity", "embedder": "own"}, SIGNALS, models)
    assert own == {"use": "diversity", "embedder": "own"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("novelti", 'Did you mean "novelty"'),
        ({"use": "novelty", "frm": "mean"}, "no setting 'frm'. Did you mean \"form\""),
        ({"use": "novelty", "form": "median"}, "unknown form 'median'"),
        ("no_such_module:Thing", "cannot be imported"),
        ({"form": "mean"}, "without a name"),
    ],
)
def test_a_component_that_cannot_be_built_is_a_clear_error(spec: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(spec, SIGNALS, "signal")  # type: ignore[arg-type]


def test_a_users_own_signal_becomes_a_metric_by_its_mean(own_file: Path) -> None:
    samples = example_answers()
    metric = build_metric({"use": "own_components:Letters", "factor": 2.0}, {})
    check_metric(metric)
    own = samples[samples["prompt_id"] == "a rope"]["response"].str.len()
    assert metric(samples)["a rope"] == 2 * own.mean()
    assert source_file("own_components:Letters") == own_file


def test_a_users_own_metric_is_taken_as_it_is(own_file: Path) -> None:
    values = build_metric("own_components:Count", {})(example_answers())
    assert values.to_dict() == {"a brick": 5.0, "a rope": 3.0}
    assert isinstance(values, pd.Series)


def test_built_in_metrics_are_those_the_recipe_names() -> None:
    specs = [spec if isinstance(spec, str) else spec["use"] for spec in EvaluateSection().metrics.values()]
    assert set(specs) <= {*METRICS, *SIGNALS}
    assert not set(METRICS) & set(SIGNALS)
    assert build_metric("words", {})(example_answers())["a rope"] == pytest.approx((3 + 3 + 8) / 3)
