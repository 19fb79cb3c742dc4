"""Descriptions of all fields, for `--helpfull` and for docs/config.md."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping

from artjax.config.fields import GROUPS, LABELS, Field, NameIn, OneOf

_WIDTH = 100


def as_text(tables: Mapping[str, Iterable[str]]) -> str:
    """All fields as text for a terminal: name and default, then a description.

    Args:
      tables: as for `checking.check`.
    """
    lines = []
    for title, fields in GROUPS.items():
        lines.append(f"{title}:")
        for field in fields:
            valid = _valid(field, tables)
            text = field.reason + (f" Valid: {valid}." if valid else "")
            lines.append(f"  --config.{field.name}={_format_value(field.default)}")
            lines += textwrap.wrap(text, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
        lines.append("")
    return "\n".join(lines)


def as_markdown(tables: Mapping[str, Iterable[str]]) -> str:
    """The text of docs/config.md.

    Args:
      tables: as for `checking.check`.
    """
    lines = [
        "# The fields of a configuration",
        "",
        "Set a field as `--config.NAME=VALUE`. `configs/*.py` set a few of them for each task.",
        "`python launch.py --helpfull` prints this list.",
        "",
        "`python docs/make_config_page.py` generates this page from artjax/config/fields.py.",
    ]
    for title, fields in GROUPS.items():
        lines += [
            "",
            f"## {title}",
            "",
            "| field | default | valid | meaning |",
            "|---|---|---|---|",
        ]
        for field in fields:
            cells = [
                f"`{field.name}`",
                f"`{_format_value(field.default)}`" if field.default not in ("", ()) else "(empty)",
                _valid(field, tables),
                field.reason,
            ]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _format_value(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _valid(field: Field, tables: Mapping[str, Iterable[str]]) -> str:
    if field.name == "task":
        return f"one or more labels of the collection: {', '.join(LABELS)} or any other"
    if isinstance(field.valid, NameIn):
        return str(OneOf(tuple(tables[field.valid.table])))
    if field.valid is not None:
        return str(field.valid)
    return "true, false" if isinstance(field.default, bool) else ""
