"""Which folder and which list a prepared set was built from, so that another is not taken for it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artjax.data.reports import SPLITS_CSV, read_skipped, read_split_rows
from artjax.errors import ChangedListError, DataError
from artjax.prepare import reuse
from artjax.prepare.catalogue import Catalogue
from artjax.prepare.cleaning import NO_SUCH_FILE

_BASE_FIELDS = ("name", "version", "release_notes", "supported_versions", "description", "tags")


def origin(catalogue: Catalogue, manual_dir: Path) -> dict[str, str]:
    """What `metadata.json` holds about it: the folder, and a digest of the listed works."""
    digest = hashlib.sha256()
    for work in sorted(catalogue.works, key=lambda work: work.file_name):
        row = [work.file_name, work.work_id, work.split, work.title, work.year]
        digest.update(json.dumps([*row, sorted(work.labels.items())]).encode())
    return {"manual_dir": str(manual_dir.resolve()), "listing_sha256": digest.hexdigest()}


def check_origin(
    prepared: Path, name: str, config: Any, catalogue: Catalogue, manual_dir: Path
) -> None:
    """Compares a folder with the one that a prepared set was built from.

    Args:
      prepared: the version folder of the set.
      name: of the set, for messages.
      config: the TFDS config of the set; None if the builder has none.
      catalogue: what is listed in the folder now.
      manual_dir: the folder that the user gave.

    Raises:
      ChangedListError: if the folder lists other works now, or has pictures that were missing or are
        others than those that were cleaned.
      DataError: if the set was built from another folder, with other works.
    """
    metadata = json.loads((prepared / "metadata.json").read_text(encoding="utf-8"))
    now = origin(catalogue, manual_dir)
    same_list = metadata["listing_sha256"] == now["listing_sha256"]
    if not same_list and metadata["manual_dir"] != now["manual_dir"]:
        raise DataError(
            f"{name} is prepared already, from another folder: {metadata['manual_dir']}, not "
            f"{now['manual_dir']}\nto keep both, give this one a name of its own: "
            f"--config {_named_config(config, manual_dir)!r}"
        )
    changes = _changes(prepared, catalogue, same_list)
    if changes:
        raise ChangedListError(
            f"{name} is prepared already and stays as it is, but its folder has changed: {changes}; "
            "--overwrite builds it again"
        )


def _named_config(config: Any, manual_dir: Path) -> str:
    settings: Mapping[str, Any] = {}
    if dataclasses.is_dataclass(config):
        settings = {
            field.name: value
            for field in dataclasses.fields(config)
            if field.name not in _BASE_FIELDS
            and (value := getattr(config, field.name)) != field.default
            and value != {}
        }
    name = "".join(c if c.isalnum() else "_" for c in manual_dir.resolve().name.lower())
    return json.dumps({"name": name or "mine", **settings}, ensure_ascii=False)


def _changes(prepared: Path, catalogue: Catalogue, same_list: bool) -> str:
    """What differs from the build, in words; empty if nothing does."""
    skipped = read_skipped(prepared)
    before = {row.file_name for row in read_split_rows(prepared / SPLITS_CSV)}
    before |= {row.file_name for row in skipped}
    now = {work.file_name for work in catalogue.works}
    now |= {row.file_name for row in catalogue.skipped}
    missing = {row.file_name for row in skipped if row.reason == NO_SUCH_FILE}
    there = {work.file_name for work in catalogue.works if work.picture is not None}
    parts = [
        _counted(names, what)
        for names, what in (
            (now - before, "new"),
            (before - now, "gone"),
            (missing & there, "there whose picture was missing"),
            (reuse.replaced(catalogue.works, prepared), "there with another picture"),
        )
        if names and not (same_list and what in ("new", "gone"))
    ]
    if not parts and not same_list:
        return "the same works, with other labels, titles, years or work_ids"
    return "; ".join(parts)


def _counted(names: set[str], what: str) -> str:
    works = "1 work is" if len(names) == 1 else f"{len(names):,} works are"
    return f"{works} {what} (the first: {min(names)})"
