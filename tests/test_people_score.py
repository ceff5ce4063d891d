"""People's score: what people's scores of answers to the same prompt foretell for samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crpo.contracts import check_metric
from crpo.distances import unit
from crpo.embeddings import embedder
from crpo.errors import InputError
from crpo.metrics import build_metric
from crpo.metrics.descriptions import describe
from crpo.metrics.people_score import PeopleScore, fit_scores
from crpo.signal_agreement import rank_correlations
from crpo.stages.split import identify, merge_duplicates
from crpo.tables import read_table, write_table

PLAIN = ["door stop", "door wedge", "paperweight", "hold a door open", "stop a door", "weight for paper"]
BOLD = ["a boat for ants", "a throne for a frog king", "a moon for moths", "a choir of stones", "a spaceship for ants"]
WHERE = ["", " in the kitchen", " at school", " for my aunt"]


def rated(item: str = "brick") -> pd.DataFrame:
    """Return invented answers, plain ones with about 15 points and bold ones with about 40."""
    texts = [(text + where, 15.0 if text in PLAIN else 40.0) for text in PLAIN + BOLD for where in WHERE]
    table = pd.DataFrame(texts, columns=pd.Index(["response", "creativity_score"]))
    table["creativity_score"] += np.random.default_rng(0).normal(size=len(table))
    return table.assign(task="uses", item=item, language="en")


def written(folder: Path, table: pd.DataFrame) -> str:
    folder.mkdir(exist_ok=True)
    write_table(table, folder / "people.csv")
    return str(folder / "people.csv")


def samples_of(texts: list[str], item: str = "brick") -> pd.DataFrame:
    table = pd.DataFrame({"prompt_id": item, "prompt": f"Uses of a {item}?", "response": texts, "status": "ok"})
    return table.assign(task="uses", item=item, language="en")


def values(path: str, texts: list[str]) -> list[float]:
    return [float(PeopleScore(path)(samples_of([text])).iloc[0]) for text in texts]


def test_what_people_rate_high_is_foretold_above_what_they_rate_low(tmp_path: Path) -> None:
    path = written(tmp_path, rated())
    low, high = (
        values(path, ["wedge a door", "a weight on paper"]),
        values(path, ["a palace for ants", "a frog's throne"]),
    )
    assert max(low) < 27 < min(high)
    flipped = rated().assign(creativity_score=lambda table: 55 - table["creativity_score"])
    path = written(tmp_path / "flipped", flipped)
    assert values(path, ["wedge a door"])[0] > values(path, ["a palace for ants"])[0]


def test_an_answer_unlike_all_of_peoples_gets_their_mean_score() -> None:
    fit = fit_scores(np.eye(3)[:2], np.array([10.0, 40.0]), np.array([1.0, 2.0]), gamma=50.0, penalty=1e-9)
    assert fit.predict(np.eye(3)) == pytest.approx([10, 40, 30], abs=1e-6)


def test_it_is_the_kernel_ridge_of_scikit_learn(tmp_path: Path) -> None:
    from sklearn.kernel_ridge import KernelRidge

    table, texts = rated().assign(given_by=np.arange(44) % 3 + 1.0), ["a palace for ants", "wedge a door", "tax law"]
    weights, scores = table["given_by"].to_numpy(), table["creativity_score"].to_numpy()
    vectors, asked = (unit(embedder("minilm").encode(list(own))) for own in (table["response"], texts))
    mean = (weights * scores).sum() / weights.sum()
    theirs = KernelRidge(kernel="rbf", gamma=1.5, alpha=0.4)  # type: ignore[arg-type]
    theirs.fit(vectors, scores - mean, sample_weight=weights)
    metric = PeopleScore(written(tmp_path, table), gamma=1.5, penalty=0.4)
    assert metric(samples_of(texts)).iloc[0] == pytest.approx((mean + theirs.predict(asked)).mean(), abs=1e-6)


def test_equal_answers_merged_count_as_often_as_they_were_given(tmp_path: Path) -> None:
    table = pd.concat([rated(), rated().iloc[::3].assign(creativity_score=30.0)])
    merged = merge_duplicates(identify(table)).drop(columns=["prompt_id", "prompt"])
    assert len(merged) < len(table)
    texts = ["a palace for ants", "wedge a door"]
    apart, together = values(written(tmp_path, table), texts), values(written(tmp_path / "merged", merged), texts)
    assert apart == pytest.approx(together, abs=1e-6)


def test_a_prompt_that_is_trained_on_is_not_scored(tmp_path: Path) -> None:
    both = pd.concat([rated().assign(split="unseen items"), rated("rope").assign(split="train")])
    samples = pd.concat([samples_of(["a boat"]), samples_of(["a boat"], "rope")])
    found = PeopleScore(written(tmp_path, both))(samples)
    assert found.isna().to_dict() == {"brick": False, "rope": True}
    alone = PeopleScore(written(tmp_path / "alone", both[both["split"] != "train"]))(samples)
    assert found["brick"] == alone["brick"]  # nothing of the other prompt's rows is in it
    some = both.assign(split=["train"] + ["unseen answers"] * (len(both) - 1))
    assert PeopleScore(written(tmp_path / "some", some))(samples)[["brick"]].isna().all()  # one row is enough


def test_too_few_scored_answers_give_no_score(tmp_path: Path) -> None:
    samples, table = samples_of(["a boat"]), rated().iloc[:20]
    assert np.isfinite(PeopleScore(written(tmp_path, table))(samples)["brick"])
    table.loc[3, "creativity_score"] = np.nan
    path = written(tmp_path / "fewer", table)
    assert np.isnan(PeopleScore(path)(samples)["brick"])
    assert np.isfinite(PeopleScore(path, least=19)(samples)["brick"])
    unscored = written(tmp_path / "none", table.drop(columns="creativity_score"))
    assert np.isnan(PeopleScore(unscored)(samples)["brick"])
    assert np.isnan(PeopleScore(path)(samples.assign(response=" "))["brick"])


def test_the_order_of_rows_changes_nothing_even_where_some_are_drawn(tmp_path: Path) -> None:
    samples = samples_of(["a palace for ants", "wedge a door", "a moth"])
    turned = written(tmp_path / "turned", rated().iloc[::-1])
    for most in (1000, 25):
        first, second = (PeopleScore(path, most=most)(samples.iloc[::step]).iloc[0]
                         for path, step in ((written(tmp_path, rated()), 1), (turned, -1)))  # fmt: skip
        assert first == pytest.approx(second, abs=1e-8)
    assert PeopleScore(turned, most=25)(samples).iloc[0] != PeopleScore(turned)(samples).iloc[0]


def test_the_fit_is_kept_between_models_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import crpo.metrics.people_score as own

    path, fits = written(tmp_path, rated()), []
    kept = fit_scores
    monkeypatch.setattr(own, "fit_scores", lambda *given: fits.append(1) or kept(*given))
    before = [PeopleScore(path)(samples_of([text])).iloc[0] for text in ("a boat", "a boat", "a hat")]
    assert len(fits) == 1
    written(tmp_path, rated().assign(creativity_score=lambda table: 55 - table["creativity_score"]))
    assert PeopleScore(path)(samples_of(["a boat"])).iloc[0] != before[0] == before[1]


def test_it_keeps_the_contract_and_says_what_it_is(tmp_path: Path) -> None:
    table = pd.concat([rated().assign(prompt_id=prompt) for prompt in ("a brick", "a rope")])
    path = written(tmp_path, table.drop(columns=["task", "item"]))
    check_metric(build_metric("people_score", {"people": path, "embedder": "minilm"}))
    check_metric(build_metric({"use": "people_score", "embedder": "character_ngrams"}, {"people": path}))
    assert describe("people_score").kind == "human"


def test_on_real_answers_it_foretells_the_order_of_answers_it_did_not_see(shared_data: Path, tmp_path: Path) -> None:
    table = read_table(shared_data / "ocsai" / "responses.csv", "responses")
    spoon = identify(table[(table["task"] == "Alternate Uses") & (table["item"] == "spoon")])
    seen = np.arange(len(spoon)) % 4 > 0
    path = written(tmp_path, spoon[seen].drop(columns="prompt_id"))
    asked = spoon[~seen].reset_index(drop=True)
    each = asked.assign(status="ok", prompt_id=[f"{row}" for row in range(len(asked))]).drop(columns="prompt")
    by_row = PeopleScore(path)(each.assign(prompt="?")).reindex(each["prompt_id"]).to_numpy()
    found, _ = rank_correlations(by_row, asked["creativity_score"].to_numpy(float), np.zeros(len(asked), int))
    assert found[0] > 0.5


@pytest.mark.parametrize("setting", ["gamma", "penalty", "least", "most"])
def test_settings_out_of_range_are_refused(setting: str) -> None:
    with pytest.raises(InputError, match=f"{setting} is 0"):
        build_metric({"use": "people_score", setting: 0}, {"people": "people.csv"})
