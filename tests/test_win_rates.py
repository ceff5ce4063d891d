"""Win rates, strengths, equal length, and `crpo winrate`."""

from __future__ import annotations

import json
from pathlib import Path

import choix
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import binomtest

from crpo.datasets import read_data
from crpo.estimates.clustered import clustered_spread
from crpo.estimates.strengths import bradley_terry
from crpo.estimates.votes import Votes, votes_of
from crpo.estimates.win_rates import win_rate, win_rate_at_equal_length
from crpo.tables import read_table
from malformed import Command

TRUTH = np.array([0.0, 0.5, 1.0, -0.5, 2.0])


def table(n: int = 300, truth: np.ndarray = TRUTH, seed: int = 0) -> pd.DataFrame:
    """Return simulated votes among models whose strengths are known."""
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        i, j = generator.choice(len(truth), 2, replace=False)
        first = generator.random() < expit(truth[i] - truth[j])
        rows.append(
            (f"m{i}", f"m{j}", "a" if first else "b", f"p{generator.integers(8)}", f"r{generator.integers(12)}")
        )
    return pd.DataFrame(rows, columns=pd.Index(["model_a", "model_b", "winner", "prompt_id", "rater"]))


def two(outcome: np.ndarray, prompt: np.ndarray | None = None, rater: np.ndarray | None = None) -> Votes:
    """Return votes on two models."""
    zeros = np.zeros(len(outcome), int)
    return Votes(("x", "y"), zeros, zeros + 1, outcome.astype(float), prompt, rater, np.full(len(outcome), np.nan))


def test_a_vote_counts_the_same_whichever_model_is_named_first() -> None:
    own = table()
    turned = own.rename(columns={"model_a": "model_b", "model_b": "model_a"}).assign(
        winner=own["winner"].map({"a": "b", "b": "a"})
    )
    for votes in (votes_of(own), votes_of(turned)):
        rate = win_rate(votes.between(4, 0), ties="drop")
        back = win_rate(votes.between(0, 4), ties="drop")
        assert (rate.value, rate.low, rate.high) == pytest.approx((1 - back.value, 1 - back.high, 1 - back.low))
    assert bradley_terry(votes_of(own), ties="drop").value == pytest.approx(
        bradley_terry(votes_of(turned), ties="drop").value
    )


def test_ties_are_no_votes_or_half_a_win() -> None:
    votes = two(np.array([1, 1, 1, 0, 0.5, 0.5, 0.5, 0.5]))
    assert win_rate(votes, ties="drop").value == 0.75
    assert win_rate(votes, ties="half").value == 0.625


def test_independent_votes_have_about_wilsons_interval() -> None:
    votes = two(np.repeat([1, 0], [30, 20]))
    found, wilson = win_rate(votes, ties="drop"), binomtest(30, 50).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=0.01)


def test_winning_every_vote_leaves_an_interval_as_wide_as_there_are_prompts() -> None:
    prompt, rater = np.repeat(np.arange(5), 40), np.tile(np.arange(40), 5)
    found = win_rate(two(np.ones(200), prompt, rater), ties="drop")
    independent = win_rate(two(np.ones(200)), ties="drop")
    assert (found.value, found.high) == (1, pytest.approx(1))
    assert found.low < 0.7 < 0.95 < independent.low


def test_the_variance_over_one_way_clusters_is_that_of_their_means() -> None:
    generator = np.random.default_rng(0)
    prompt = np.repeat(np.arange(20), 10)
    outcome = (generator.random(200) < expit(1.5 * generator.normal(size=20))[prompt]).astype(float)
    (variance,), (freedom,) = clustered_spread(
        [prompt], lambda weights: (weights @ outcome / weights.sum(axis=1))[:, None], 200, draws=20_000, seed=0
    )
    means = outcome.reshape(20, 10).mean(axis=1)
    assert variance == pytest.approx(means.var(ddof=1) / 20, rel=0.05)
    assert freedom == pytest.approx(19)


def test_the_variance_over_prompts_and_raters_is_the_cluster_robust_one_of_statsmodels() -> None:
    prompt, rater = np.repeat(np.arange(12), 15), np.tile(np.arange(15), 12)
    outcome = ((3 * prompt + 5 * rater + prompt * rater) % 7 < 4 + prompt % 3 - (rater % 4 == 0)).astype(float)
    (variance,), _ = clustered_spread(
        [prompt, rater], lambda weights: (weights @ outcome / weights.sum(axis=1))[:, None], 180,
        draws=20_000, seed=0,
    )  # fmt: skip
    # statsmodels 0.15.0: cov_cluster_2groups(OLS(outcome, np.ones((180, 1))).fit(), prompt, rater)[0]
    assert variance == pytest.approx(0.00989071, rel=0.03)


@pytest.mark.parametrize(
    ("prompts", "raters", "by_prompt", "by_rater"), [(20, 1, 0, 0), (4, 10, 0.7, 0.7), (8, 5, 0.5, 0.5), (4, 30, 0, 0)]
)
def test_the_interval_of_a_win_rate_covers_the_truth_about_as_often_as_it_says(
    prompts: int, raters: int, by_prompt: float, by_rater: float
) -> None:
    generator = np.random.default_rng(0)
    prompt, rater = np.repeat(np.arange(prompts), raters), np.tile(np.arange(raters), prompts)
    spread = np.hypot(by_prompt, by_rater)
    truth = expit(0.8 + spread * np.random.default_rng(1).normal(size=200_000)).mean()
    covered = 0
    for seed in range(300):
        odds = (
            0.8 + by_prompt * generator.normal(size=prompts)[prompt] + by_rater * generator.normal(size=raters)[rater]
        )
        found = win_rate(
            two(generator.random(len(odds)) < expit(odds), prompt, rater), ties="drop", draws=200, seed=seed
        )
        covered += found.low <= truth <= found.high
    assert 0.9 <= covered / 300 <= 0.995


def test_strengths_by_maximum_likelihood_are_those_of_choix() -> None:
    votes = votes_of(table())
    won = [(i, j) if w else (j, i) for i, j, w in zip(votes.first, votes.second, votes.outcome, strict=True)]
    expected = choix.ilsr_pairwise(5, won)
    assert bradley_terry(votes, ties="drop", reduced=False, draws=50).value == pytest.approx(expected, abs=1e-6)


def test_strengths_maximise_the_likelihood_under_jeffreys_prior() -> None:
    votes = votes_of(table(60))

    def penalised(free: np.ndarray) -> float:
        gaps = np.r_[0, free][votes.first] - np.r_[0, free][votes.second]
        contrast = np.eye(5)[votes.first] - np.eye(5)[votes.second]
        chance = expit(gaps)
        information = (contrast.T * (chance * (1 - chance))) @ contrast
        likelihood = np.log(np.where(votes.outcome == 1, chance, 1 - chance)).sum()
        return -(likelihood + np.linalg.slogdet(information[1:, 1:])[1] / 2)

    best = np.r_[0, minimize(penalised, np.zeros(4), tol=1e-10).x]
    assert bradley_terry(votes, ties="drop", draws=50).value == pytest.approx(best - best.mean(), abs=1e-4)


def test_for_two_models_the_prior_is_half_a_win_on_either_side() -> None:
    found = bradley_terry(two(np.repeat([1, 0], [9, 3])), ties="drop")
    assert found.value[0] - found.value[1] == pytest.approx(np.log(9.5 / 3.5))


def test_a_model_that_never_loses_is_strongest_by_a_finite_and_uncertain_margin() -> None:
    own = table()
    own.loc[own["model_a"] == "m4", "winner"] = "a"
    own.loc[own["model_b"] == "m4", "winner"] = "b"
    found = bradley_terry(votes_of(own), ties="drop", draws=200)
    assert np.isfinite([found.value, found.low, found.high]).all()
    assert found.value.argmax() == 4
    widths = found.high - found.low
    assert widths[4] > 2 * widths[:4].max()
    assert np.isnan(bradley_terry(votes_of(own), ties="drop", reduced=False, draws=10).value).all()


def test_models_that_never_met_have_no_common_strength() -> None:
    own = table()
    apart = own[own["model_a"].isin(["m0", "m1"]) == own["model_b"].isin(["m0", "m1"])]
    assert np.isnan(bradley_terry(votes_of(apart), ties="drop", draws=20).value).all()


def test_ties_of_half_a_win_draw_strengths_together() -> None:
    own = table()
    tied = pd.concat([own, own.assign(winner="tie")])
    apart, together = (bradley_terry(votes_of(tied), ties=ties, draws=20).value for ties in ("drop", "half"))
    assert np.ptp(together) < 0.7 * np.ptp(apart)
    assert apart == pytest.approx(bradley_terry(votes_of(own), ties="drop", draws=20).value)


def by_length(advantage: float, per_word: float, n: int = 3000) -> Votes:
    """Return votes of raters who like length; the first model's answers are ten words longer."""
    generator = np.random.default_rng(0)
    longer = generator.normal(10, 10, n).round()
    won = generator.random(n) < expit(advantage + per_word * np.tanh(longer / longer.std(ddof=1)))
    return Votes(("x", "y"), np.zeros(n, int), np.ones(n, int), won.astype(float), None, None, longer)


def test_a_model_that_only_writes_more_wins_half_at_equal_length() -> None:
    votes = by_length(0, 2)
    assert win_rate(votes, ties="drop").low > 0.6
    equal = win_rate_at_equal_length(votes, ties="drop", draws=50)
    assert equal.low < 0.5 < equal.high
    assert equal.value == pytest.approx(0.5, abs=0.04)


def test_the_rate_at_equal_length_is_that_of_an_unpenalised_logistic_regression_with_many_votes() -> None:
    from sklearn.linear_model import LogisticRegression

    votes = by_length(0.5, 1)
    length = np.tanh(votes.longer / votes.longer.std(ddof=1))[:, None]
    fit = LogisticRegression(C=np.inf).fit(length, votes.outcome)
    expected = expit(fit.intercept_[0])
    assert win_rate_at_equal_length(votes, ties="drop", draws=50).value == pytest.approx(expected, abs=1e-3)


def test_without_lengths_or_with_one_difference_nothing_is_said_of_equal_length() -> None:
    votes = two(np.repeat([1, 0], [9, 3]))
    assert np.isnan(win_rate_at_equal_length(votes, ties="drop").value)
    same = Votes(votes.models, votes.first, votes.second, votes.outcome, None, None, np.full(12, 4.0))
    assert np.isnan(win_rate_at_equal_length(same, ties="drop").value)


WIDE = """creativity,language,options,note
CrPO,same,"DPO,CrPO",x
DPO,CrPO,"DPO,CrPO",y
CrPO,,"CrPO,SFT",z
"""
LONG = "prompt_id,rater,model_a,model_b,winner,words_a,words_b\n" + "".join(
    f"p{n % 5},r{n % 3},CrPO,DPO,{'aab'[n % 3] if n % 7 else 'tie'},{20 + n},{12 + n % 9}\n" for n in range(30)
)


def test_the_published_win_rates_come_out(shared_data: Path, command: Command, tmp_path: Path) -> None:
    code, told, error = command(f"winrate {shared_data}/votes/pairwise_7b.csv -o rates.csv --set draws=100")
    assert code == 0, error
    rates = read_table(tmp_path / "rates.csv", "win rates").set_index(["dimension", "model", "against"])["win_rate"]
    found = [rates["creativity", "trained_7b", other] for other in ("basesft_7b", "base7b", "basewr_7b")]
    assert [round(100 * rate, 2) for rate in found] == [84.21, 81.25, 70.59]
    assert "creativity: trained_7b over base7b: 81.25 % [" in told
    assert rates["creativity", "base7b", "trained_7b"] == pytest.approx(1 - 0.8125)


def test_both_forms_of_votes_are_read(command: Command, tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_text(WIDE)
    wide = read_data(tmp_path / "wide.csv", "votes")
    assert wide[["dimension", "model_a", "model_b", "winner"]].to_numpy().tolist() == [
        ["creativity", "DPO", "CrPO", "b"], ["creativity", "DPO", "CrPO", "a"], ["creativity", "CrPO", "SFT", "a"],
        ["language", "DPO", "CrPO", "tie"], ["language", "DPO", "CrPO", "b"],
    ]  # fmt: skip
    code, told, _ = command("winrate long.csv -o rates.csv --json --set draws=50", {"long.csv": LONG})
    assert code == 0
    summary = json.loads(told)
    assert summary["votes"] == 30
    first = summary["win_rates"][0]
    assert (first["model"], first["against"], first["dimension"]) == ("CrPO", "DPO", "all")
    assert (first["wins"], first["ties"], first["losses"]) == (16, 5, 9)
    assert first["win_rate"] == pytest.approx(16 / 25)
    assert 0 < first["equal_length_low"] < first["equal_length"] < first["equal_length_high"] < 1
    back = summary["win_rates"][1]
    assert (back["model"], back["against"], back["wins"]) == ("DPO", "CrPO", 9)
    assert back["words_difference"] == pytest.approx(-first["words_difference"])
    assert back["equal_length"] == pytest.approx(1 - first["equal_length"])
    ranked = read_table(tmp_path / "rates.strengths.csv", "strengths")
    assert ranked["model"].tolist() == ["CrPO", "DPO"]
    assert ranked["strength"].sum() == pytest.approx(0)


def test_halved_ties_are_asked_for_by_name(command: Command) -> None:
    _, told, _ = command("winrate long.csv --ties half --json --set draws=50", {"long.csv": LONG})
    assert json.loads(told)["win_rates"][0]["win_rate"] == pytest.approx(18.5 / 30)
    assert {row["tie_rule"] for row in json.loads(told)["win_rates"]} == {"half"}
    code, _, error = command("winrate long.csv --ties none", {"long.csv": LONG})
    assert code == 2
    assert "ties" in error


def test_heat_maps_are_written_where_asked(command: Command, tmp_path: Path) -> None:
    code, _, _ = command("winrate wide.csv -o rates.csv --figures maps --set draws=50", {"wide.csv": WIDE})
    assert code == 0
    assert set(read_table(tmp_path / "rates.csv", "win rates")["tie_rule"]) == {"drop"}
    names = {path.name for path in (tmp_path / "maps").iterdir()}
    assert {"win-rates-creativity.svg", "win-rates-creativity.png", "win-rates-language.csv"} <= names
    assert "ties left out" not in (tmp_path / "maps" / "win-rates-creativity.svg").read_text()  # told beside it


@pytest.mark.parametrize(
    ("votes", "found"),
    [
        (WIDE.replace('CrPO,,"CrPO', 'Bob,,"CrPO'), "row 4 (creativity), column 'winner': the winner 'Bob' is neither"),
        (WIDE.replace('"CrPO,SFT"', "CrPO"), "row 4, column 'options': 'CrPO' is not two names"),
        (LONG.replace("p1,r1,CrPO,DPO,a", "p1,r1,CrPO,DPO,c"), "row 3, column 'winner': the winner 'c' is neither"),
        (LONG.replace("p1,r1,CrPO,DPO,a", "p1,r1,DPO,DPO,a"), "row 3, column 'winner': both models are 'DPO'"),
        (WIDE.replace("CrPO", "x").replace("DPO", "y").replace('"y,x"', '"s,t"').replace('"x,SFT"', '"s,t"'),
         "no column names one of the two models in 'options'"),
    ],
)  # fmt: skip
def test_odd_votes_are_one_line_with_file_and_row(command: Command, tmp_path: Path, votes: str, found: str) -> None:
    code, _, error = command("winrate votes.csv -o rates.csv", {"votes.csv": votes})
    assert code == 2
    assert found in error.splitlines()[-1]
    assert "votes.csv" in error.splitlines()[-1]
    assert not (tmp_path / "rates.csv").exists()


def test_odd_votes_can_be_left_out_and_are_listed(command: Command, tmp_path: Path) -> None:
    bad = LONG.replace("p1,r1,CrPO,DPO,a,21", "p1,r1,CrPO,DPO,c,21")
    code, told, _ = command("winrate votes.csv -o rates.csv --drop-invalid --set draws=50", {"votes.csv": bad})
    assert code == 0
    assert "votes: 29" in told
    assert "winner 'c'" in (tmp_path / "rates.dropped.csv").read_text()
