"""Write the pages of docs/ that are made from the code: docs/cli.md and docs/recipe.md.

Usage: python tools/make_docs.py [--check]
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from typer.main import get_command

from crpo import recipe
from crpo.cli import app

DOCS = Path(__file__).resolve().parent.parent / "docs"
NOTE = "<!-- Made by tools/make_docs.py from {source}. Change that, then run the tool. -->"
WIDTH = 90  # characters of a default value; a longer one goes under the table

CLI_HEAD = f"""# Commands

{NOTE.format(source="src/crpo/cli")}

`crpo COMMAND --help` says the same. Results of a command go to the files it is told to write, a summary to standard
output (`--json`: for machines), progress and errors to standard error. Exit codes are in
[start-here-engineers.md](start-here-engineers.md#exit-codes).
"""

RECIPE_HEAD = f"""# The recipe

{NOTE.format(source="src/crpo/recipe")}

A recipe is one YAML file for a whole run. Unknown keys are errors. Every key but `name` and `data` may be left out.
`crpo check FILE` reads one, `crpo run FILE --set section.key=value` changes a key for one call, and
`crpo run FILE --dry-run` lists the steps. Where a comment says "the paper", it means arXiv 2505.14442; what differs and
how to set it back is in [deviations-from-the-paper.md](deviations-from-the-paper.md).

Recipes in the package, usable by name: {{names}}. This is `demo`:

```yaml
{{demo}}
```
"""


def cli_page() -> str:
    """Return the page of commands."""
    parts = [CLI_HEAD]
    for name, command in commands().items():
        parts.append(f"## crpo {name}\n\n{_paragraphs(command.help)}\n\n{_parameters(command)}")
    return "\n".join(parts)


def commands() -> dict[str, Any]:
    """Return the commands by name, in the order of `crpo --help`."""
    found: dict[str, Any] = {}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)  # of a command with commands of its own: "noveltybench score"
        found |= {name: command} if inner is None else {f"{name} {part}": own for part, own in inner.items()}
    return found


def _paragraphs(text: str) -> str:
    lines = [line.strip() for line in inspect.cleandoc(text).splitlines()]
    shown = [
        f"```bash\n{line.removeprefix('Example: ')}\n```" if line.startswith("Example: ") else line for line in lines
    ]
    return "\n".join(shown)


def _parameters(command: Any) -> str:
    rows = ["| argument or option | |", "|---|---|"]
    for parameter in command.params:
        is_option = parameter.opts[0].startswith("-")
        names = ", ".join(f"`{name}`" for name in parameter.opts) if is_option else f"`{parameter.name.upper()}`"
        must = " Required." if is_option and parameter.required else ""
        default = f" Default: `{parameter.default}`." if _is_told(parameter.default) else ""
        rows.append(f"| {names} | {_cell(parameter.help or '')}{must}{default} |")
    return "\n".join(rows) + "\n"


def _is_told(default: object) -> bool:
    return isinstance(default, str | int | float) and not isinstance(default, bool) and default != ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def recipe_page() -> str:
    """Return the page of the recipe's sections."""
    folder = Path(recipe.__file__).parent.parent / "recipes"
    names = ", ".join(f"`{path.stem}`" for path in sorted(folder.glob("*.yaml")))
    demo = (folder / "demo.yaml").read_text(encoding="utf-8").strip()
    parts = [RECIPE_HEAD.format(names=names, demo=demo), _section("The recipe's own keys", recipe.Recipe)]
    parts += [_section(f"`{name}`", kind) for name, kind in sections(recipe.Recipe)]
    return "\n".join(parts)


def sections(kind: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every section under `kind` with its dotted name, in the order of the file."""
    for name, field in kind.model_fields.items():
        inner = _inner(field.annotation)
        if inner is not None:
            yield f"{prefix}{name}", inner
            yield from sections(inner, f"{prefix}{name}.")


def _inner(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _inner(part)
        if found is not None:
            return found
    return None


def _section(title: str, kind: type[BaseModel]) -> str:
    schema = kind.model_json_schema(mode="validation")
    rows, long = ["| key | value | default | |", "|---|---|---|---|"], []
    for name in kind.model_fields:
        default = _default(kind, name)
        if len(default) > WIDTH:
            long.append((name, default))
            default = "below"
        cells = [f"`{name}`", _value(schema["properties"][name]), default, comment(kind, name)]
        rows.append(f"| {' | '.join(map(_cell, cells))} |")
    text = f"## {title}\n\n{inspect.cleandoc(kind.__doc__ or '')}\n\n" + "\n".join(rows) + "\n"
    for name, _ in long:
        text += f"\nDefault of `{name}`:\n\n```yaml\n{_as_yaml(kind, name)}```\n"
    return text


def _default(kind: type[BaseModel], name: str) -> str:
    field = kind.model_fields[name]
    if field.is_required():
        return "**required**"
    if isinstance(field.default, BaseModel):
        return "its own defaults"
    plain = _plain(field.default)
    return "none" if plain is None else f"`{json.dumps(plain, ensure_ascii=False)}`"


def _as_yaml(kind: type[BaseModel], name: str) -> str:
    return yaml.safe_dump({name: _plain(kind.model_fields[name].default)}, sort_keys=False, width=100)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _value(schema: dict[str, Any]) -> str:
    """Return in words what a JSON schema allows."""
    if "$ref" in schema:
        return f"section {schema['$ref'].rsplit('/', 1)[-1].removesuffix('Section').lower()}"
    if "anyOf" in schema:
        return " or ".join(_value(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " · ".join(f"`{item}`" for item in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_value(schema.get('items', {}))}"
    if schema.get("type") == "object":
        inner = next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties"))
        return f"mapping to {_value(inner)}" if isinstance(inner, dict) else "mapping"
    words = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "null": "none",
    }
    return words.get(str(schema.get("type")), "anything") + _limits(schema)


def _limits(schema: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    pattern = f" like `{schema['pattern']}`" if "pattern" in schema else ""
    return (" " + ", ".join(found) if found else "") + pattern


def comment(kind: type[BaseModel], name: str) -> str:
    """Return the comment written beside a field in src/crpo/recipe, or beside the field it overrides."""
    for owner in kind.__mro__:
        found = COMMENTS.get((owner.__name__, name))
        if found:
            return found
    return ""


def _read_comments() -> dict[tuple[str, str], str]:
    folder = Path(recipe.__file__).parent
    files = [*sorted((folder / "sections").glob("*.py")), folder / "__init__.py"]
    return {key: text for file in files for key, text in _comments_of(file).items()}


def _comments_of(path: Path) -> dict[tuple[str, str], str]:
    on_line = {}
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            text = token.string.lstrip("# ").strip()
            if token.type == tokenize.COMMENT and not text.startswith(("fmt:", "noqa", "type:")):
                on_line[token.start[0]] = text
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        for field in [
            f for f in getattr(node, "body", []) if isinstance(node, ast.ClassDef) and isinstance(f, ast.AnnAssign)
        ]:
            lines = range(field.lineno, (field.end_lineno or field.lineno) + 1)
            text = " ".join(on_line[line] for line in lines if line in on_line)
            found[node.name, ast.unparse(field.target)] = text  # type: ignore[attr-defined]
    return found


COMMENTS = _read_comments()
PAGES: dict[str, Callable[[], str]] = {"cli.md": cli_page, "recipe.md": recipe_page}


def main() -> int:
    """Write the pages, or with --check say which differ (exit code 1)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is out of date")
    check = parser.parse_args().check
    stale = []
    for name, page in PAGES.items():
        path, text = DOCS / name, page()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, encoding="utf-8")
    print(f"{'out of date' if check else 'written'}: {', '.join(stale) or 'none'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
