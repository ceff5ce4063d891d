"""Every figure of the report is three files that say the same, whatever models are called and whatever is missing."""

import html
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from crpo.report import render_report, write_report
from crpo.report.columns import COLUMNS
from crpo.report.content import ReportContent
from crpo.report.drawing import MARKERS
from crpo.report.files import file_names
from crpo.report.looks import looks_of
from crpo.report.selection import main_models, main_weights
from report_contents import bench, study, with_model_renamed

VARIANTS = ("DPO", "CrPO-nov", "CrPO-cre")
ENDS = ["value", "low", "high"]
OPTIONAL_TABLES = ("arms", "by_seed", "by_task", "comparisons", "front", "bench", "win_rates")


@pytest.fixture(scope="module")
def content() -> ReportContent:
    """Two λ, two seeds, three variants."""
    return study((0.5, 1.0), (42, 12), VARIANTS, ("novelty", "surprise", "quality", "words"))


@pytest.fixture(scope="module")
def folder(content: ReportContent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of it, and its figures."""
    made = tmp_path_factory.mktemp("report")
    write_report(content, made)
    return made


def figure(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "figures" / f"{name}.csv")


def only(content: ReportContent, *names: str) -> ReportContent:
    """The content with few drawings: main models, without weights, training and all optional tables but these."""
    optional = [name for name in COLUMNS if name not in names and getattr(content, name) is not None]
    gone = {name: None for name in optional if name in OPTIONAL_TABLES}
    main = content.estimates[content.estimates["model"].isin(["base", "SFT", *VARIANTS])]
    empty = {name: pd.DataFrame() for name in ("weights", "training", "signal_account") if name not in names}
    return replace(content, estimates=main, **gone, **empty)


def test_every_figure_of_the_page_is_a_picture_a_drawing_and_a_table(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'id="([\w.-]+)-figure_1"', page))
    made = list((folder / "figures").iterdir())
    files = {ending: {path.stem for path in made if path.suffix == ending} for ending in (".svg", ".png", ".csv")}
    assert shown == files[".svg"] == files[".png"] == files[".csv"]
    assert {name.split("-")[0] for name in shown} == {
        *("scatter", "front", "lambda", "difference", "tasks", "noveltybench", "win", "weights", "training")
    }
    assert all(f"<code>{name}</code>" in page for name in shown)


def test_a_drawing_is_valid_and_a_picture_has_the_resolution_of_print(folder: Path) -> None:
    for path in (folder / "figures").glob("*.svg"):
        root = ElementTree.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
    for path in (folder / "figures").glob("*.png"):
        head = path.read_bytes()[:24]
        assert head[1:4] == b"PNG"
        assert int.from_bytes(head[16:20], "big") >= 4.4 * 200


def test_every_caption_says_how_many_and_names_its_interval(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, flags=re.DOTALL)
    assert len(captions) > 15
    for caption in captions:
        assert re.search(r"\d[\u202f\d]* (prompt|vote|pair|step|rater)s?|its number of\s+prompts", caption), caption
        drawn = re.search(r"<code>(scatter|front|lambda|difference|tasks|noveltybench|win)-?", caption)
        assert not drawn or "95\u202f%" in caption, caption


def test_the_numbers_behind_scatter_plots_are_the_estimates(content: ReportContent, folder: Path) -> None:
    table = figure(folder, "scatter-surprise").set_index("model")
    assert list(table.index) == ["base", "SFT", *VARIANTS]
    for metric in ("surprise", "quality"):
        own = content.estimates[content.estimates["metric"] == metric].set_index("model").loc[table.index]
        names = [metric, f"{metric}_low", f"{metric}_high"]
        np.testing.assert_array_equal(table[names].to_numpy(), own[ENDS].to_numpy())


def test_the_numbers_behind_curves_of_lambda_are_the_estimates_and_the_seeds(
    content: ReportContent, folder: Path
) -> None:
    table = figure(folder, "lambda-novelty")
    means = table[table["seed"].isna()].set_index("model")
    assert dict(means["lambda"].dropna()) == {
        "CrPO-nov λ=0.5": 0.5, "CrPO-nov": 1.0, "CrPO-cre λ=0.5": 0.5, "CrPO-cre": 1.0,
    }  # fmt: skip
    assert set(means.index[means["lambda"].isna()]) == {"base", "SFT", "DPO"}
    own = content.estimates[content.estimates["metric"] == "novelty"].set_index("model").loc[means.index]
    np.testing.assert_array_equal(means[ENDS].to_numpy(), own[ENDS].to_numpy())
    seeds = table[table["seed"].notna()]
    known = content.table("by_seed").query("metric == 'novelty'").set_index(["model", "seed"])["value"]
    assert len(seeds) == 7 * 2
    for row in seeds.to_dict("records"):
        assert row["value"] == known[row["model"], row["seed"]]


@pytest.mark.parametrize(
    ("name", "table", "column", "value"),
    [
        ("difference-quality", "comparisons", "metric", "quality"),
        ("tasks-novelty", "by_task", "metric", "novelty"),
        ("noveltybench-wildchat", "bench", "prompt_set", "wildchat"),
        ("win-rates-creativity", "win_rates", "dimension", "creativity"),
    ],
)
def test_the_numbers_behind_other_figures_are_the_rows_of_the_content(
    content: ReportContent, folder: Path, name: str, table: str, column: str, value: str
) -> None:
    own = content.table(table)
    own = own[own[column].eq(value) & own["model"].isin(["base", "SFT", *VARIANTS])]
    found = figure(folder, name)
    numbers = [name for name in own.select_dtypes("number") if own[name].notna().any()]
    keys = [key for key in ("model", "task", "against") if key in own]
    one, other = (rows.set_index(keys)[numbers].sort_index() for rows in (own, found))
    assert len(one) > 2
    pd.testing.assert_frame_equal(one, other, check_dtype=False, check_exact=True)


def test_the_numbers_behind_a_histogram_are_the_shares_of_its_weights(content: ReportContent, folder: Path) -> None:
    table = figure(folder, "weights-CrPO-nov")
    weights = content.weights.loc[content.weights["variant"] == "CrPO-nov", "weight"]
    assert table["share"].sum() == pytest.approx(1)
    row = table.iloc[5]
    assert row["share"] == pytest.approx(((weights >= row["from"]) & (weights < row["to"])).mean())


def test_models_with_another_lambda_are_folded_and_not_in_the_main_table(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    results = page[page.index('<section id="results">') : page.index('<section id="scatters">')]
    main, folded = results.split("with every λ</summary>")
    assert "CrPO-nov λ=0.5" not in main
    assert "<bdi>CrPO-nov</bdi>" in main
    assert "CrPO-nov λ=0.5" in folded


def test_the_main_model_of_a_variant_without_lambda_one_is_the_nearest_to_it() -> None:
    rows = [(f"a λ={x:g}", "a", x, "", 1) for x in (0.25, 1.5, 3.0)] + [("DPO", "DPO", np.nan, "", 1)]
    table = pd.DataFrame(rows, columns=pd.Index(COLUMNS["arms"]))
    assert main_models(["DPO", *table["model"][:3], "gpt"], table) == ["DPO", "a λ=1.5", "gpt"]
    assert main_weights(["DPO", "a λ=0.25", "a λ=1.5"], table) == ["DPO", "a λ=1.5"]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "../../up/a $x_1$ \\frac & \"'", "{{ 7*7 }}/\u202eabc"])
def test_a_models_name_is_text_and_never_a_path_or_a_program(content: ReportContent, tmp_path: Path, name: str) -> None:
    renamed = with_model_renamed(only(content, "bench", "win_rates", "front", "weights"), "CrPO-nov", name)
    write_report(renamed, tmp_path / "in" / "here")
    page = (tmp_path / "in" / "here" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "{{ 7*7 }}" in page or "7*7" not in name
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent for path in made} == {tmp_path / "in" / "here", tmp_path / "in" / "here" / "figures"}
    assert all(re.fullmatch(r"[\w.-]+", path.name, flags=re.ASCII) for path in made)
    for path in (tmp_path / "in" / "here" / "figures").glob("*.svg"):
        ElementTree.parse(path)
    assert name in set(figure(tmp_path / "in" / "here", "scatter-novelty")["model"])


def test_text_of_tasks_dimensions_judges_and_provenance_stays_text(content: ReportContent, tmp_path: Path) -> None:
    text = "</svg></td><script>alert(1)</script><img src=x onerror=alert(2)> & {{ 7*7 }} $x^2$"
    own = only(content, "bench", "win_rates", "by_task", "comparisons")
    hostile = replace(
        own,
        bench=content.table("bench").replace("curated", text).assign(judge=text, quality_model=text),
        win_rates=content.table("win_rates").replace("creativity", text),
        by_task=content.table("by_task").replace("Stories", text),
        comparisons=content.table("comparisons").assign(baseline=text),
        collapse=content.table("collapse").assign(warning=text, seed=text, reference=text),
        provenance=content.table("provenance").assign(what=text, name=text, value=text),
    )
    write_report(hostile, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|<img", page)
    assert page.count("&lt;script&gt;alert(1)") > 30
    for path in (tmp_path / "figures").glob("*.svg"):
        ElementTree.parse(path)


def test_names_of_files_differ_even_where_names_of_models_hardly_do() -> None:
    assert file_names("weights", ["a/b", "a b", "A-B", "", "…"]) == [
        *("weights-a-b", "weights-a-b-2", "weights-A-B-3", "weights", "weights-2")
    ]


def test_what_is_not_scored_is_said_and_is_blank_in_the_table(content: ReportContent, tmp_path: Path) -> None:
    own = only(content)
    holes = own.estimates.copy()
    holes.loc[holes["model"].eq("DPO") & holes["metric"].eq("novelty"), ENDS] = np.nan
    won = content.table("win_rates").copy()
    won.loc[0, ["win_rate", "low", "high"]] = np.nan
    front = content.table("front").copy()
    front.loc[front["model"] == "DPO", ["quality", "creativity", "share"]] = np.nan
    compared = content.table("comparisons").copy()
    compared.loc[compared["model"].eq("SFT"), ["difference", "low", "high", "p", "p_holm", "effect_size"]] = np.nan
    some = replace(own, estimates=holes, win_rates=won, front=front, comparisons=compared)
    write_report(some, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Not shown (novelty or quality not scored): DPO." in page
    assert "Not shown (not scored): DPO." in page
    assert "Not shown (not scored): SFT." in page
    assert "nan" not in re.sub(r"<[^>]+>", " ", page).lower().split()
    blank = figure(tmp_path, "scatter-novelty").query("model == 'DPO'")[["novelty", "novelty_low"]]
    assert blank.isna().to_numpy().all()
    assert figure(tmp_path, "win-rates-creativity")["win_rate"].isna().sum() == 1
    drawn = (tmp_path / "figures" / "win-rates-creativity.svg").read_text(encoding="utf-8")
    assert drawn.count(">not scored</text>") == 1


def test_the_caption_of_votes_follows_how_the_table_counts_ties(content: ReportContent) -> None:
    won = content.table("win_rates")
    told = {
        rule: re.sub(r"<[^>]+>", "", render_report(replace(only(content), win_rates=won.assign(tie_rule=rule))))
        for rule in ("drop", "half", None)
    }
    assert "won against the column's, ties left out; 44 votes per cell" in html.unescape(told["drop"])
    assert "won against the column's, a tie as half; 48 votes per cell" in html.unescape(told["half"])
    assert "won against the column's; 48 votes per cell" in html.unescape(told[None])


def test_a_benchmark_without_rewards_is_drawn_without_utility(content: ReportContent, tmp_path: Path) -> None:
    models = ["base", "SFT", *VARIANTS]
    write_report(replace(only(content), bench=bench(models, rewards=False)), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("(no rewards, so no utility)") == 2
    assert figure(tmp_path, "noveltybench-curated")["utility"].isna().all()
    own = replace(only(content), bench=bench(models).assign(calibrated=True))
    assert render_report(own).count("these utilities are not those of published runs") == 2


def test_a_scale_of_many_sizes_is_logarithmic_with_readable_numbers(content: ReportContent) -> None:
    own = only(content)
    skewed = own.estimates.copy()
    rows = skewed["metric"].eq("surprise")
    skewed.loc[rows, ENDS] = skewed.loc[rows, ENDS].mul(np.geomspace(1, 200, rows.sum()), axis=0)
    page = render_report(replace(own, estimates=skewed))
    assert "surprise (logarithmic)" in page
    assert "mathdefault" not in page


def test_sections_appear_only_where_there_is_something(content: ReportContent, folder: Path) -> None:
    page = render_report(replace(only(content), collapse=None, provenance=None))
    optional = ("lambda", "differences", "noveltybench", "votes", "tasks", "collapse")
    assert not [name for name in optional if f'id="{name}"' in page or f'href="#{name}"' in page]
    full = (folder / "report.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in full and f'href="#{name}"' in full for name in optional)


def test_metrics_that_a_model_was_trained_on_stand_apart_from_the_independent_ones(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    section = page[page.index('<section id="differences">') : page.index('<section id="noveltybench">')]
    trained, independent = section.split("own training weights</h3>")[1].split("<h3>Independent metrics")
    rows = re.findall(r"<td><bdi>([^<]*)</bdi></td><td><bdi>([^<]*)</bdi></td><td><bdi>DPO", trained)
    signals = ("novelty", "surprise", "quality")
    assert set(rows) == {("novelty", "CrPO-nov"), *((metric, "CrPO-cre") for metric in signals)}
    rows = re.findall(r"<td><bdi>([^<]*)</bdi></td><td><bdi>([^<]*)</bdi></td><td><bdi>DPO", independent)
    assert ("quality", "CrPO-nov") in rows
    assert ("novelty", "CrPO-nov") not in rows


def test_warnings_stand_at_the_top_and_in_their_tables(content: ReportContent) -> None:
    rows = [("DPO", 42, 30, "collapse", "diversity <fell> by half"), ("DPO", 12, 40, "collapse", "again")]
    watched = pd.DataFrame(rows, columns=pd.Index(COLUMNS["watched"]))
    signs = content.table("collapse").assign(warning=["", "60 % are empty"] * 7)
    page = render_report(replace(only(content), watched=watched, collapse=signs))
    top = page[: page.index('<section id="results">')]
    assert "<bdi>DPO</bdi>: diversity &lt;fell&gt; by half (while training, step 30, seed 42)." in top
    assert top.count("60 % are empty (seed 12; 1 of 2 seeds have a warning)") == 7
    assert "again" not in top
    assert page.count("<bdi>again</bdi>") == 1
    assert page.count("<bdi>60 % are empty</bdi>") == 7
    assert 'class="alert"' not in render_report(replace(only(content), collapse=None))


def test_two_models_look_different_in_grey_too() -> None:
    looks = looks_of([f"model {i}" for i in range(40)])
    assert len({(look.colour, look.marker) for look in looks.values()}) == 40
    assert len({look.marker for look in list(looks.values())[: len(MARKERS)]}) == len(MARKERS)


def test_the_same_content_gives_the_same_files(content: ReportContent, tmp_path: Path) -> None:
    small = only(content, "win_rates")
    for name in ("one", "two"):
        write_report(small, tmp_path / name)
    assert (tmp_path / "one" / "report.html").read_text(encoding="utf-8") == render_report(small)
    one, two = (sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("one", "two"))
    assert len(one) == 1 + 3 * 4
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


@pytest.mark.slow
def test_the_page_of_forty_arms_stays_small() -> None:
    many = study((0.25, 0.5, 1.0, 1.5, 2.0, 4.0), (42, 12, 92))
    assert many.arms is not None
    assert many.arms["model"].nunique() == 39
    page = render_report(many)
    assert len(page.encode()) < 3_000_000
    assert len(re.findall(r"<h4><bdi>", page)) == 4 * 9, "sample answers are shown of the main models alone"
