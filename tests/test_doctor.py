"""What `crpo doctor` says."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from crpo import installation


def test_the_doctor_names_every_extra_and_no_key() -> None:
    secret = "sk-canary-0123456789"
    called = [sys.executable, "-m", "crpo.cli", "doctor", "--json"]
    done = subprocess.run(called, capture_output=True, text=True, env={**_environment(), "OPENAI_API_KEY": secret})
    assert done.returncode == 0, done.stderr
    assert secret not in done.stdout + done.stderr
    facts = json.loads(done.stdout)
    assert facts["keys in the environment"] == "OPENAI_API_KEY"
    told = [name.split()[1] for name in facts if name.startswith("extra ")]
    assert told == list(installation.extras())
    assert set(installation.WHAT_FOR) <= set(told)
    assert facts["torch"] == metadata.version("torch")


def test_an_extra_that_lacks_a_package_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    assert installation.extras()["panel"] == []
    kept = installation._version
    monkeypatch.setattr(installation, "_version", lambda name: None if name == "fastapi" else kept(name))
    assert [line.split(">")[0] for line in installation.extras()["panel"]] == ["fastapi"]
    monkeypatch.setattr(installation, "_version", lambda name: "0.1" if name == "uvicorn" else kept(name))
    assert [line.split(">")[0] for line in installation.extras()["panel"]] == ["uvicorn"]


def test_two_packages_of_one_name_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = metadata.version("crpo")
    assert installation.same_name() == [ours]
    other = tmp_path / "crpo-0.0.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: crpo\nVersion: 0.0.1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installation.same_name() == ["0.0.1", ours]


def _environment() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if name not in installation.KEYS}
