"""The official lists of the WikiArt (refined) data set, with their irregularities."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from artjax.errors import DataError
from artjax.prepare.catalogue import Catalogue, Work
from artjax.prepare.readers.file_index import PictureFiles, no_pictures
from artjax.prepare.readers.filename_repair import canonical_name
from artjax.prepare.readers.tables import utf8_text

# Both lists end in the class; the artist lists have an empty field before it.
_ROW = re.compile(r"^(?P<path>.+\.\w+),{1,2}\s*(?P<index>\d+)$")
_COPY = re.compile(r"\(\d+\)$")
_YEAR_AT_END = re.compile(r"-(1[0-9]{3}|20[0-2][0-9])(?:-\d{1,2})?$")


def read(manual_dir: Path, task: str) -> Catalogue:
    """Reads the lists of a task and finds their pictures.

    `test` is exactly the official list `<task>_val.csv`; `validation` is to be cut from
    `<task>_train.csv`.

    Args:
      manual_dir: holds the style folders (or a folder `wikiart` with them) and the lists (or a folder
        `wikiart_csv` with them).
      task: `artist`, `genre` or `style`.

    Raises:
      DataError: if the lists or all pictures are missing, or a row cannot be read.
    """
    lists = manual_dir / "wikiart_csv" if (manual_dir / "wikiart_csv").is_dir() else manual_dir
    pictures = manual_dir / "wikiart" if (manual_dir / "wikiart").is_dir() else manual_dir
    missing = [
        name
        for name in (f"{task}_class.txt", f"{task}_train.csv", f"{task}_val.csv")
        if not (lists / name).exists()
    ]
    if missing:
        raise DataError(
            f"the official lists {', '.join(missing)} are not in {manual_dir / 'wikiart_csv'}; they are "
            "in the folder 'WikiArt Dataset' of github.com/cs-chan/ArtGAN"
        )
    names = _class_names(lists / f"{task}_class.txt")
    files = PictureFiles(pictures)
    notes: list[str] = []
    test = _rows(lists / f"{task}_val.csv", len(names), notes)
    train = _rows(lists / f"{task}_train.csv", len(names), notes)
    in_test = {canonical_name(path) for path, _ in test}
    both = [path for path, _ in train if canonical_name(path) in in_test]
    train = [(path, index) for path, index in train if canonical_name(path) not in in_test]
    if both:
        notes.append(
            f"{len(both):,} rows of {task}_train.csv are on the test list too: kept in test"
        )
    works = [_work(path, {task: names[index]}, files, "test") for path, index in test]
    works += [_work(path, {task: names[index]}, files, None) for path, index in train]
    if not any(work.picture for work in works):
        raise DataError(no_pictures(works, files))
    return Catalogue(
        works,
        {task: names},
        official=("test",),
        divided_into=("train", "validation"),
        notes=notes,
    )


def work_id_of(path: str) -> str:
    """The key that numbered photographs of one work share: `…-1890(1).jpg` is `…-1890`."""
    return _COPY.sub("", canonical_name(PurePosixPath(path).stem))


def _work(path: str, labels: dict[str, str], files: PictureFiles, split: str | None) -> Work:
    artist_and_title = _COPY.sub("", PurePosixPath(path).stem)
    title = artist_and_title.partition("_")[2]
    year = _YEAR_AT_END.search(title)
    work_id = work_id_of(path)
    return Work(
        file_name=path,
        labels=labels,
        picture=files.find(path),
        title=(title[: year.start()] if year else title).replace("-", " "),
        year=int(year[1]) if year else -1,
        work_id=work_id,
        split=split,
    )


def _class_names(file: Path) -> tuple[str, ...]:
    """Lines such as "0 Albrecht_Durer", in the order of their indices."""
    rows = [line.split(maxsplit=1) for line in utf8_text(file).splitlines() if line.strip()]
    if any(len(row) < 2 or row[0] != str(i) for i, row in enumerate(rows)):
        raise DataError(f"{file}: its lines must be numbered from 0, like '0 Albrecht_Durer'")
    return tuple(row[1].strip() for row in rows)


def _rows(file: Path, classes: int, notes: list[str]) -> list[tuple[str, int]]:
    """(path, class) of each row, without the header and the blank line that some lists open with.

    Of a picture that is listed twice (one is, on the official genre test list, under two genres) the
    first row counts, and a note says so.
    """
    rows: dict[str, int] = {}
    # Not splitlines(), which also splits at U+0085: "Å" in UTF-8 read as latin-1 ends in it.
    for number, line in enumerate(utf8_text(file).split("\n"), start=1):
        match = _ROW.match(line.strip())
        if match:
            if int(match["index"]) >= classes:
                raise DataError(f"{file}, line {number}: class {match['index']} of only {classes}")
            path, index = match["path"].replace("\\", "/"), int(match["index"])
            if rows.setdefault(path, index) != index:
                notes.append(
                    f"{file.name}: '{path}' is listed under two classes; the first is kept"
                )
        elif line.strip() and number > 1:
            raise DataError(f"{file}, line {number}: not 'path,class': {line.strip()[:60]!r}")
    if not rows:
        raise DataError(f"{file} has no rows 'path,class'")
    return list(rows.items())
