"""The command line: one command per stage, and `run` for all of them."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from crpo import __version__
from crpo.cli import (
    check,
    data,
    doctor,
    export,
    fetch,
    generate,
    learning,
    models,
    noveltybench,
    panel,
    push,
    raters,
    runs,
    winrate,
)
from crpo.cli.launch import another_has_failed, be_silent_beside_the_first, tell_error
from crpo.errors import CrpoError
from crpo.processes import leave_processes

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Creative Preference Optimization: from people's ratings of creativity to a more creative language model.",
)
for command in (
    runs.demo, runs.run, fetch.fetch, check.check, raters.rate, data.pair, data.score, learning.learn_rater, data.weigh,
    models.sft, models.train, generate.generate, models.evaluate, winrate.winrate, runs.report, export.export,
    push.push, doctor.doctor,
):  # fmt: skip
    app.command()(command)
app.add_typer(noveltybench.app, name="noveltybench")
app.add_typer(panel.app, name="panel")


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", help="Show the version and stop.", is_eager=True, callback=_tell_version
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line; every error a user can mend is one line on standard error."""
    # Set before any library is imported: nothing of ours phones home, and forked tokenizers must not warn.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    sys.path.insert(0, "")  # a signal in the current folder can be named as module:Name, as with python -m
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    be_silent_beside_the_first()
    sys.exit(_exit_code())


def _exit_code() -> int:
    try:
        code = app(standalone_mode=False)
        leave_processes()
        sys.stdout.flush()
        if code == 130:  # typer turns Ctrl-C into this code, without a word
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except CrpoError as error:
        return _fail(str(error), error.exit_code)
    except TyperException as error:
        message = error.format_message()  # type: ignore[attr-defined]
        if "Usage:" in message:  # no arguments at all: the help page is the answer
            print(message)
            return 2
        return _fail(f"{message.rstrip('.')}. See: crpo {_command()}--help.", 2)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted. The same command again continues.", 130)
    except BrokenPipeError:  # whoever reads our output has gone: nothing more can be said there
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            return _fail(f"{error.filename}: {error.strerror}. Check the name, the rights and the free space.", 2)
        if another_has_failed():
            return 70
        return _fail(f"a bug in crpo ({type(error).__name__}). Please report it with {_log()}.", 70)


def _log() -> Path:
    log = Path("crpo-error.log").absolute()
    if not os.access(log.parent, os.W_OK):
        log = Path(tempfile.gettempdir()) / log.name
    log.write_text(traceback.format_exc(), encoding="utf-8")
    return log


def _command() -> str:
    """Return the command that was called, as far as it exists: "noveltybench score "."""
    found, words = get_command(app), []
    for word in sys.argv[1:]:
        found = getattr(found, "commands", {}).get(word)
        if found is None:
            break
        words.append(f"{word} ")
    return "".join(words)


def _fail(message: str, code: int) -> int:
    visible = " ".join("".join(character if character.isprintable() else " " for character in message).split())
    tell_error(visible, code)
    return code
