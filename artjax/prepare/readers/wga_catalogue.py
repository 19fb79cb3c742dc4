"""The Web Gallery of Art: its catalogue, and the pictures as the site lays them out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from artjax.errors import DataError
from artjax.prepare.catalogue import Catalogue, Work, class_names, only_classes
from artjax.prepare.dates import read_date
from artjax.prepare.readers.file_index import PictureFiles, no_pictures
from artjax.prepare.readers.wga_rows import read_rows

SITE = "https://www.wga.hu"
_COLUMN_OF = {"artist": "author", "genre": "type", "location": "school", "period": "timeframe"}
# "UNKNOWN MASTER, Flemish" and "MINIATURIST, French" stand for people not known by name.
_NOBODY = re.compile(r"(?:unknown|anonymous|miniaturist)\b", re.IGNORECASE)
_PART = re.compile(
    r"""\s*[(\[]\s*(?:
          (?:details?|recto|verso|obverse|reverse|front|back|open|closed)\b[^()\[\]]*
        | (?:\w+\s+){0,2}(?:views?|photo(?:graph)?s?|panels?|wings?|predella)\b[^()\[\]]*
        | (?:before|after|during)\s+(?:restoration|cleaning)
        | \d{1,2}
      )\s*[)\]]$
      | (?:[,:;]|\s[-–])\s*(?:details?|recto|verso)(?:\s+\d+)?$
      | [\s,:;–-]+(?:view|photo(?:graph)?)\s+\d+$""",
    re.IGNORECASE | re.VERBOSE,
)


class NoPicturesError(DataError):
    """No picture of the catalogue was found; `urls` are where they can be downloaded."""

    def __init__(self, message: str, urls: list[str]) -> None:
        super().__init__(message)
        self.urls = urls


def read(
    manual_dir: Path,
    forms: Sequence[str] = ("painting",),
    most_frequent: Mapping[str, int] | None = None,
    classes: Mapping[str, Collection[str]] | None = None,
) -> Catalogue:
    """Reads the catalogue and finds its pictures.

    Labels are artist (AUTHOR), genre (TYPE), location (SCHOOL) and period (TIMEFRAME); an author who is
    not known by name, such as `UNKNOWN MASTER, Flemish`, is no artist. `base_title` and `_work_ids`
    describe what `work_id` means.

    Args:
      manual_dir: holds `catalog.csv`, and `art/a/aachen/allegory.jpg` or `a/aachen/allegory.jpg`.
      forms: the values of FORM that are wanted.
      most_frequent: by label, the number of classes to keep, see `only_classes`. Other labels keep all
        their classes.
      classes: by label, the classes to keep by name.

    Raises:
      NoPicturesError: if none of the listed pictures was found.
      DataError: if the catalogue is missing or invalid, or has no work of these forms.
    """
    file = _catalogue_file(manual_dir)
    rows, notes = read_rows(file)
    by_form = Counter(row["form"].lower() for row in rows)
    wanted = {form.lower() for form in forms}
    if not wanted & set(by_form):
        there = ", ".join(form or "none" for form, _ in by_form.most_common(10))
        raise DataError(f"{file} has no work of the form {' or '.join(forms)}; it has {there}")
    rows = [row for row in rows if row["form"].lower() in wanted]
    first = {row["picture"]: row for row in reversed(rows)}
    if len(first) < len(rows):
        again = len(rows) - len(first)
        notes.append(f"{again:,} rows of {file.name} repeat a URL: the first row of each counts")
        rows = [row for row in rows if first[row["picture"]] is row]
    files = PictureFiles(manual_dir)
    spelling: dict[tuple[str, str], str] = {}
    works = [
        Work(
            file_name=row["picture"],
            labels=_labels(row, spelling),
            picture=files.find(row["picture"]) or files.find(row["picture"].removeprefix("art/")),
            title=row["title"],
            year=date.year if (date := read_date(row["date"])) else -1,
            year_uncertainty=date.uncertainty if date else -1,
            work_id=work_id,
        )
        for row, work_id in zip(rows, _work_ids(rows), strict=True)
    ]
    urls = {work.file_name: f"{SITE}/{quote(work.file_name)}" for work in works}
    if not any(work.picture for work in works):
        raise NoPicturesError(no_pictures(works, files), list(urls.values()))
    catalogue = Catalogue(works, class_names(works), notes=notes, urls=urls)
    return only_classes(catalogue, most_frequent or {}, classes or {})


def base_title(title: str) -> str:
    """A title without the words at its end for the part, side or photograph that is shown.

    Removed are details, recto and verso, views, panels and wings of an altarpiece, its open and
    closed state, restorations, and numbers: "(detail of the left wing)", "(view 2)", "(2)", "View 3" …
    In doubt too much is removed: two works in the same split cost nothing, but a work in both train and
    test makes the score wrong.
    """
    shorter = _PART.sub("", title)
    while shorter and shorter != title:
        title, shorter = shorter, _PART.sub("", shorter)
    return title


def _work_ids(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The key that pictures of one work share: author, base title, date and museum.

    Many works of one author are called "Self-Portrait" or "Madonna and Child", so date and museum must
    agree as well; rows that agree in all four are photographs of one work. If a detail has another
    date or museum than its work, it belongs to the only work with this title that shares one of them.
    """
    places: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for row in rows:
        if base_title(row["title"]) == row["title"]:
            places.setdefault(_work_key(row), set()).add(_place(row))
    ids = []
    for row in rows:
        key, place = _work_key(row), _place(row)
        of_the_name = places.get(key, set())
        if place not in of_the_name:
            near = [p for p in of_the_name if p[0] == place[0] or p[1] == place[1]]
            place = near[0] if len(near) == 1 else place
        ids.append(" / ".join((*key, *place)) if key[1] else row["picture"])
    return ids


def _work_key(row: Mapping[str, str]) -> tuple[str, str]:
    return _words(row["author"]), _words(base_title(row["title"]))


def _place(row: Mapping[str, str]) -> tuple[str, str]:
    return _words(row["date"]), _words(row["location"])


def _words(text: str) -> str:
    """A text without its punctuation and capitals, which differ between a work and its details."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def _labels(row: Mapping[str, str], spelling: dict[tuple[str, str], str]) -> dict[str, str]:
    """Class names by label; of names that differ in capitals only, the first spelling is taken."""
    labels = {}
    for label, column in _COLUMN_OF.items():
        name = row[column]
        if _words(name) and not (label == "artist" and _NOBODY.match(name)):
            labels[label] = spelling.setdefault((label, name.casefold()), name)
    return labels


def _catalogue_file(manual_dir: Path) -> Path:
    by_name = {
        path.name.lower(): path for path in sorted(manual_dir.glob("*")) if not path.is_dir()
    }
    for name in ("catalog.csv", "catalog.txt"):
        if name in by_name:
            return by_name[name]
    raise DataError(
        f"no catalog.csv in {manual_dir}; unpack {SITE}/database/download/data_txt.zip there"
    )
