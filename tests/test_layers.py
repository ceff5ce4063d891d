"""The house: who may import whom, and what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import crpo

SOURCE = Path(crpo.__file__).parent
LAYERS = [
    ["errors", "__init__"],
    ["grouped", "distances", "matching", "texts", "response_curves", "losses", "forest", "processes"],
    ["rater_models"],
    ["expectation_maximisation"],
    ["irt", "pairs", "estimates", "signal_agreement", "vendi"],
    ["model_choice", "raters", "progress", "tables", "components", "recipe", "records"],
    ["budget", "arms"],
    ["chat", "policy", "unspaced"],
    ["words"],
    ["held_models"],
    ["models", "tiny", "cache_folder"],
    ["installation"],
    ["embeddings"],
    ["kept_numbers"],
    ["answers", "learned_rater", "leaks"],
    ["surprisal"],
    ["rewards"],
    ["training"],
    ["trl_bridge"],
    ["judges"],
    ["partition"],
    ["tasks"],
    ["datasets", "generators"],
    ["signals"],
    ["metrics", "contracts", "over_ray", "noveltybench"],
    ["watching"],
    ["report"],
    ["panel"],
    ["stages"],
    ["step_folders"],
    ["worker"],
    ["side_by_side"],
    ["plan", "runs"],
    ["cli"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
LEVEL["metrics"], LEVEL["contracts"] = LEVEL["metrics"], LEVEL["metrics"] + 0.5
TORCH_AT_THE_TOP = {
    "losses",
    "forest",
    "chat",
    "tiny",
    "policy",
    "answers",
    "surprisal",
    "rewards",
    "training",
    "trl_bridge",
    "watching",
}
HEAVY = {
    "torch",
    "transformers",
    "peft",
    "datasets",
    "sentence_transformers",
    "tokenizers",
    "sklearn",
    "accelerate",
    "trl",
    "openai",
    "anthropic",
    "google",
    "tenacity",
    "httpx2",
    "ray",
    "vllm",
}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(path: Path, *, top_only: bool) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_only else list(ast.walk(tree))
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def test_a_file_imports_only_from_lower_rooms_or_its_own() -> None:
    seen = 0
    for path in SOURCE.rglob("*.py"):
        seen += 1
        room = room_of(path)
        for name in imports_of(path, top_only=False):
            parts = name.split(".")
            if parts[0] != "crpo" or parts[1] == "__version__":
                continue
            assert parts[1] in LEVEL, f"{path} imports {name}, a room this test does not know"
            allowed = parts[1] == room or LEVEL[parts[1]] < LEVEL[room]
            assert allowed, f"{path} imports {name} from a room that is not below its own"
    assert seen >= 60


def test_heavy_libraries_are_imported_at_the_top_of_tensor_files_only() -> None:
    seen = set()
    for path in SOURCE.rglob("*.py"):
        heavy = {name.split(".")[0] for name in imports_of(path, top_only=True)} & HEAVY
        seen |= {room_of(path)} if heavy else set()
        assert not heavy or room_of(path) in TORCH_AT_THE_TOP, f"{path} imports {heavy} at its top"
    assert seen == TORCH_AT_THE_TOP


def test_the_light_half_works_without_torch_installed(tmp_path: Path) -> None:
    code = f"""
import sys
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name in {sorted(HEAVY)}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NotInstalled())
import crpo.cli, crpo.irt, crpo.raters, crpo.pairs, crpo.report
sys.argv = ["crpo", "rate", r"{SOURCE}/datasets/corpus/ratings.csv", "-o", r"{tmp_path}/scores.csv"]
try:
    crpo.cli.main()
except SystemExit as stop:
    assert not stop.code, stop.code
sys.argv = ["crpo", "pair", r"{tmp_path}/scores.csv", "-o", r"{tmp_path}/pairs.csv"]
try:
    crpo.cli.main()
except SystemExit as stop:
    assert not stop.code, stop.code
sys.argv = ["crpo", "score", r"{tmp_path}/scores.csv", "-o", r"{tmp_path}/signals.csv"]
crpo.cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (tmp_path / "pairs.csv").exists(), done.stderr
    demo = subprocess.run(
        [sys.executable, "-c", code.split("sys.argv")[0] + "sys.argv = ['crpo', 'demo']; crpo.cli.main()"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert demo.returncode == 3
    assert demo.stderr.startswith("error: training needs the train extra")
    assert not (tmp_path / "runs").exists()
    assert done.returncode == 3
    assert 'pip install "crpo[train]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_help_does_not_import_pandas_or_torch() -> None:
    code = "import sys, crpo.cli; print(sorted({'pandas', 'torch', 'scipy', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
