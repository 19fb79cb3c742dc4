"""Catalogues that museums publish, known by their headers: a row of `MUSEUMS` for each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, unquote, urlsplit

from artjax.prepare.cells import Cells
from artjax.prepare.readers.tables import Table, column_name, read_table

# …/iiif/IDENTIFIER/full/!200,200/0/default.jpg (IIIF Image API 3.0, section 2.1)
_IIIF = re.compile(
    r"/(?P<id>[^/]+)/[^/]+/[^/]+/!?[\d.]+/(?:default|native|color|gray|bitonal)\.\w+$"
)
_SUFFIX = re.compile(r"\.[A-Za-z]{3,4}$")


@dataclass(frozen=True)
class Images:
    """A second table of a museum, beside its catalogue, that names the pictures of its objects.

    Attributes:
      file: its name.
      object: its column with what the catalogue's column `key` has.
      key: see `object`.
      column: its column that names the picture.
      called: what this is called in the catalogue's rows.
      first: the column and the cell of the picture that comes first where an object has several.
    """

    file: str
    object: str
    key: str
    column: str
    called: str
    first: tuple[str, str]


@dataclass(frozen=True)
class Museum:
    """What the columns of a published catalogue say. Columns are called as `tables.column_name` does.

    Attributes:
      name: of the museum, with its catalogue's file.
      header: columns that no other list has together.
      picture: columns that name the pictures, the first choice first: files are called by the last part
        of their URL, by accession number or by id, depending on who downloaded them.
      labels: by label, its column.
      title: the column with titles.
      year: columns with dates, the first choice first.
      rows: which rows count, as in `Asked.rows`; empty if all do.
      separator: what separates several values in a cell.
      before: what follows a name in its cell begins so, such as the dates in brackets; empty if nothing.
      images: a second table that names the pictures.
    """

    name: str
    header: tuple[str, ...]
    picture: tuple[str, ...]
    labels: Mapping[str, str]
    title: str = "title"
    year: tuple[str, ...] = ()
    rows: str = ""
    separator: str = ""
    before: Mapping[str, str] = field(default_factory=dict)
    images: Images | None = None


# Headers as published: Met, MetObjects.csv (github metmuseum/openaccess); Tate, artwork_data.csv
# (tategallery/collection); MoMA, Artworks.csv (MuseumofModernArt/collection); Carnegie, cmoa.csv
# (cmoa/collection); National Gallery of Art, objects.csv (NationalGalleryOfArt/opendata); Cleveland,
# data.csv (ClevelandMuseumArt/openaccess).
MUSEUMS = (
    Museum(
        name="the Met's MetObjects.csv",
        header=("object_number", "object_id", "is_public_domain", "artist_display_name"),
        picture=("object_id", "object_number"),
        labels={
            **{"artist": "artist_display_name", "period": "period", "medium": "medium"},
            **{"classification": "classification", "department": "department"},
            **{"culture": "culture", "dynasty": "dynasty", "nationality": "artist_nationality"},
        },
        year=("object_date", "object_begin_date"),
        separator="|",
    ),
    Museum(
        name="Tate's artwork_data.csv",
        header=("accession_number", "artistrole", "thumbnailurl"),
        picture=("thumbnailurl", "accession_number", "id"),
        labels={"artist": "artist", "medium": "medium"},
        year=("datetext", "year"),
        rows="artistrole == artist",  # others: "after", "attributed to", "manner of"
    ),
    Museum(
        name="MoMA's Artworks.csv",
        header=("constituentid", "artistbio", "accessionnumber", "objectid"),
        picture=("imageurl", "thumbnailurl", "objectid", "accessionnumber"),
        labels={
            **{"artist": "artist", "medium": "medium", "classification": "classification"},
            **{"department": "department", "nationality": "nationality"},
        },
        year=("date",),
        separator=", ",
    ),
    Museum(
        name="the Carnegie Museum of Art's cmoa.csv",
        header=("accession_number", "full_name", "cited_name", "creation_date"),
        picture=("accession_number", "image_url", "id", "web_url"),
        labels={
            **{"artist": "full_name", "medium": "medium", "classification": "classification"},
            **{"department": "department", "nationality": "nationality"},
        },
        year=("creation_date", "creation_date_earliest"),
        separator="|",
    ),
    Museum(
        name="the National Gallery of Art's objects.csv",
        header=("objectid", "accessionnum", "attribution", "visualbrowserclassification"),
        picture=("objectid", "accessionnum", "image_uuid", "uuid", "customprinturl"),
        labels={
            **{"artist": "attribution", "medium": "medium", "classification": "classification"},
            **{"department": "departmentabbr"},
        },
        year=("displaydate", "beginyear"),
        images=Images(
            *("published_images.csv", "depictstmsobjectid", "objectid", "uuid", "image_uuid"),
            first=("viewtype", "primary"),
        ),
    ),
    Museum(
        name="the Cleveland Museum of Art's data.csv",
        header=("accession_number", "share_license_status", "creators", "creation_date"),
        picture=("image_web", "image_print", "image_full", "accession_number", "id"),
        labels={
            **{"artist": "creators", "medium": "technique", "classification": "type"},
            **{"department": "department", "culture": "culture"},
        },
        year=("creation_date", "creation_date_earliest"),
        separator=";",
        before={"creators": " ("},
    ),
)


def museum_of(header: Iterable[str]) -> Museum | None:
    """The museum whose catalogue has such a header, if it is a known one."""
    there = set(map(column_name, header))
    return next((museum for museum in MUSEUMS if there.issuperset(museum.header)), None)


def with_images(table: Table) -> Table:
    """A museum's catalogue with the pictures that its second table names, if that lies beside it."""
    museum = museum_of(table.header)
    images = museum.images if museum else None
    if images is None or not (table.file.parent / images.file).is_file():
        return table
    second = read_table(table.file.parent / images.file)
    named: dict[str, str] = {}
    column, cell = images.first
    for _, row in sorted(second.rows, key=lambda row: row[1].get(column) != cell):
        named.setdefault(row.get(images.object, ""), row.get(images.column, ""))
    header = (*table.header, images.called)
    places = {name: place for place, name in enumerate(header)}
    rows = tuple(
        (
            number,
            Cells(
                places,
                [
                    named.get(row.get(images.key), "") if name == images.called else row.get(name)
                    for name in header
                ],
            ),
        )
        for number, row in table.rows
    )
    return replace(table, rows=rows, header=header)


def picture_name(cell: str) -> str:
    """What a cell calls a picture: of a URL its last part, of an IIIF URL the identifier, else the cell.

    A URL that ends with no file but has a query, such as `CollectionImage.aspx?irn=114327`, means the
    first value of the query.
    """
    if "://" not in cell:
        return cell
    url = urlsplit(cell)
    iiif = _IIIF.search(url.path)
    if iiif:
        return unquote(iiif["id"])
    last = unquote(url.path.rstrip("/").rpartition("/")[2])
    query = parse_qsl(url.query)
    if query and (not _SUFFIX.search(last) or last.lower().endswith((".aspx", ".php", ".asp"))):
        return query[0][1]
    return last
