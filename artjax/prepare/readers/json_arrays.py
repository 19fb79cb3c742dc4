"""Catalogues that are one JSON text: an array of objects, such as an export of a collection's API."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from artjax.errors import DataError

_SEVERAL = "|"  # between the values of a list


def records_of(file: Path, text: str) -> list[dict[str, Any]]:
    """The objects of a JSON array, or of the only array in an object, without their nesting.

    `{"images": {"web": {"url": "a.jpg"}}}` becomes `images_web_url`. Of a list of objects each field is
    a list of its values, with `|` between them.

    Raises:
      DataError: one line that says what it is, if it is no such array.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(f"{file} is not JSON ({error})") from error
    if isinstance(content, dict):
        if any("iiif" in str(content.get(key, "")).lower() for key in ("@context", "@id", "id")):
            raise DataError(
                f"{file} is an IIIF manifest or collection, which is not read; write a works.csv, or a "
                "CSV with the images' URLs and a label"
            )
        arrays = [value for value in content.values() if _is_array(value)]
        content = arrays[0] if len(arrays) == 1 else None
    if not _is_array(content):
        raise DataError(
            f"{file} is no JSON array of objects, as catalogues are; save the catalogue as CSV UTF-8"
        )
    return [_flat(record) for record in content]


def _is_array(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{inner}": cell for inner, cell in _flat(value).items()}
        elif _is_array(value):
            flat |= {f"{name}_{inner}": cell for inner, cell in _joined(value).items()}
        elif isinstance(value, list):
            flat[name] = _SEVERAL.join(str(item) for item in value)
        else:
            flat[name] = value
    return flat


def _joined(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    flat = [_flat(record) for record in records]
    names = dict.fromkeys(name for record in flat for name in record)
    return {
        name: _SEVERAL.join(str(record[name]) for record in flat if record.get(name) is not None)
        for name in names
    }
