import pytest
from PIL import Image

from artjax.errors import DataError
from artjax.prepare.readers import wga_catalogue, wga_rows
from artjax.prepare.readers.wga_catalogue import base_title

HEADER = "AUTHOR;BORN-DIED;TITLE;DATE;TECHNIQUE;LOCATION;URL;FORM;TYPE;SCHOOL;TIMEFRAME"
SITE = "https://www.wga.hu/html"


def row(name, author="AACHEN, Hans von", **cells):
    """A line of the catalogue whose picture is `name`; cells are given by column."""
    values = {
        "author": author,
        "born": "(b. 1552, Köln, d. 1615, Praha)",
        "title": "Allegory",
        "date": "1598",
        "technique": "Oil on copper, 56 x 47 cm",
        "location": "Alte Pinakothek, Munich",
        "url": f"{SITE}/{name}.html",
        "form": "painting",
        "type": "mythological",
        "school": "German",
        "timeframe": "1601-1650",
    }
    assert set(cells) <= set(values)
    return ";".join({**values, **cells}.values())


@pytest.fixture
def gallery(tmp_path):
    """A folder with two pictures, and a way to read it with a catalogue of these lines."""

    class Gallery:
        folder = tmp_path

        def add(self, *names):
            for name in names:
                path = tmp_path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8)).save(path)

        def write(self, *lines, encoding="utf-8", header=HEADER):
            text = "\r\n".join((header, *lines)) + "\r\n"
            (tmp_path / "catalog.csv").write_bytes(text.encode(encoding))

        def read(self, *lines, encoding="utf-8", header=HEADER, **settings):
            self.write(*lines, encoding=encoding, header=header)
            return wga_catalogue.read(tmp_path, **settings)

    made = Gallery()
    made.add("art/a/aachen/allegory.jpg", "art/a/aachen/couple.jpg")
    return made


def ids(catalogue):
    return {work.file_name: work.work_id for work in catalogue.works}


def test_a_row_becomes_a_work_with_its_labels(gallery):
    catalogue = gallery.read(row("a/aachen/allegory"))
    work = catalogue.works[0]
    assert work.file_name == "art/a/aachen/allegory.jpg"
    assert work.file == gallery.folder / "art/a/aachen/allegory.jpg"
    assert (work.title, work.year, work.split) == ("Allegory", 1598, None)
    assert work.labels == {
        "artist": "AACHEN, Hans von",
        "genre": "mythological",
        "location": "German",
        "period": "1601-1650",
    }
    assert catalogue.class_names["period"] == ("1601-1650",)
    assert catalogue.notes == []
    assert catalogue.urls == {work.file_name: "https://www.wga.hu/art/a/aachen/allegory.jpg"}


@pytest.mark.parametrize(
    ("encoding", "read_as"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("latin-1", "ISO-8859-1"),
        ("cp1252", "ISO-8859-1"),
        ("cp850", "CP850"),
    ],
)
@pytest.mark.parametrize(
    "author", ["AACHEN", "DÜRER, Albrecht", "Vigée-Le Brun", "Mäleßkircher", "Gâté è"]
)
def test_every_encoding_gives_the_same_names(gallery, encoding, read_as, author):
    catalogue = gallery.read(row("a/aachen/allegory", author), encoding=encoding)
    assert catalogue.class_names["artist"] == (author,)
    said = [f"catalog.csv is not UTF-8, and was read as {read_as}"] if read_as else []
    assert catalogue.notes == said


@pytest.mark.parametrize("title", ["“A” – “B” – “C”", "An Allegory’s Couple’s Musée", "‘A’ ‘B’"])
def test_typographic_quotes_are_read(gallery, title):
    line = row("a/aachen/allegory", title=title)
    assert gallery.read(line, encoding="cp1252").works[0].title == title


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-32"])
def test_other_encodings_are_one_line(gallery, encoding):
    with pytest.raises(DataError, match=r"catalog.csv: unreadable encoding .* save it as UTF-8"):
        gallery.read(row("a/aachen/allegory"), encoding=encoding)


@pytest.mark.parametrize(
    ("cells", "title"),
    [
        ({"title": "Virgin &amp; Child of K&ouml;ln"}, "Virgin & Child of Köln"),
        ({"title": "D&#252;rer&#x2019;s House"}, "Dürer’s House"),
        ({"title": "R&D;"}, "R&D;"),
        ({"title": '"Ecce Homo"'}, "Ecce Homo"),
        ({"title": '"Fire; Water"'}, "Fire; Water"),
        ({"title": '"Fire" by Night'}, '"Fire" by Night'),
        ({"title": 'Portrait of "Il Moro"'}, 'Portrait of "Il Moro"'),
        ({"title": '"Lone mark'}, "Lone mark"),
        ({"title": 'Lone mark"'}, "Lone mark"),
        ({"title": '"Lone', "technique": 'Oil"'}, "Lone"),
        ({"title": '"""A"" and ""B"""'}, '"A" and "B"'),
        ({"title": "Fire; Water; Air"}, "Fire; Water; Air"),
        ({"title": "Fire; Water", "date": "-"}, "Fire; Water"),
        ({"technique": "Oil; 10 x 12 cm"}, "Allegory"),
        ({"technique": "Oil; wood", "date": ""}, "Allegory"),
        ({"title": "Fire; Water", "technique": "Oil; wood; 1 m"}, "Fire; Water"),
        ({"born": "(b. 1552; d. 1615)", "title": "Fire; Water"}, "Fire; Water"),
        ({"title": '"Fire; Water"', "technique": "Oil; 1 m"}, "Fire; Water"),
        ({"title": "Two \u00a0 spaces\u0301"}, "Two spaceś"),
        ({"timeframe": "1601-1650;;"}, "Allegory"),
    ],
)
def test_entities_quotes_and_stray_separators_leave_every_column_right(gallery, cells, title):
    cells.setdefault("date", "1598")
    catalogue = gallery.read(row("a/aachen/couple"), row("a/aachen/allegory", **cells))
    assert catalogue.notes == []
    plain, work = catalogue.works
    assert work.title == title
    assert work.year == (1598 if cells["date"] == "1598" else -1)
    assert work.labels == plain.labels
    if (work.title, work.year) == (plain.title, plain.year):
        assert work.work_id == plain.work_id


def test_columns_may_stand_in_any_order_and_case(gallery):
    header = "Url;FORM;Author;Type;School;Timeframe;Title;Date;Location;Price"
    line = (
        f"{SITE}/a/aachen/allegory.html;Painting;AACHEN;genre;German;1601-1650;Fire;1600;Munich;9"
    )
    work = gallery.read(line, header=header).works[0]
    assert work.labels["artist"] == "AACHEN"
    assert (work.title, work.year) == ("Fire", 1600)


def test_a_header_that_was_left_out_and_another_separator_are_seen(gallery):
    catalogue = gallery.read(row("a/aachen/couple"), header=row("a/aachen/allegory"))
    assert len(catalogue.works) == 2
    quoted = ",".join(f'"{cell}"' for cell in row("a/aachen/allegory").split(";"))
    catalogue = gallery.read(quoted, header=HEADER.replace(";", ","))
    assert catalogue.works[0].labels["artist"] == "AACHEN, Hans von"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://www.wga.hu/html/a/aachen/allegory.html", "art/a/aachen/allegory.jpg"),
        ("https://www.wga.hu/html_m/a/aachen/allegory.html", "art/a/aachen/allegory.jpg"),
        ("http://wga.hu/frames-e.html?/html/m/master/xunk/a.html", "art/m/master/xunk/a.jpg"),
        ("https://www.wga.hu/art/a/aachen/allegory.jpg", "art/a/aachen/allegory.jpg"),
        ("https://www.wga.hu/html/a/a%20b.html", "art/a/a b.jpg"),
        ("https://www.wga.hu/index.html", None),
        ("https://www.wga.hu/html/../../etc/passwd.html", None),
        ("https://www.wga.hu/html/a/%2E%2E/b.html", None),
        ("", None),
    ],
)
def test_the_url_of_a_page_names_its_picture(url, path):
    assert wga_rows.picture_path(url) == path


def test_pictures_are_found_without_the_folder_art_and_in_other_letters(tmp_path, gallery):
    gallery.add("b/bosch/EARTH.JPG")
    work = gallery.read(row("b/bosch/earth")).works[0]
    assert work.file == tmp_path / "b/bosch/EARTH.JPG"
    assert work.file_name == "art/b/bosch/earth.jpg"


def test_only_the_forms_asked_for_are_read(gallery):
    lines = [row("a/aachen/allegory"), row("a/aachen/couple", form="Graphics")]
    assert [w.file_name[13:] for w in gallery.read(*lines).works] == ["allegory.jpg"]
    assert len(gallery.read(*lines, forms=["painting", "graphics"]).works) == 2
    with pytest.raises(DataError, match="no work of the form mosaic; it has painting, graphics"):
        gallery.read(*lines, forms=["mosaic"])


def test_of_a_url_that_is_repeated_the_first_row_counts(gallery):
    first, again = row("a/aachen/allegory"), row("a/aachen/allegory", "BOSCH")
    catalogue = gallery.read(first, again, row("a/aachen/couple"))
    assert [work.labels["artist"] for work in catalogue.works] == ["AACHEN, Hans von"] * 2
    assert catalogue.notes == ["1 rows of catalog.csv repeat a URL: the first row of each counts"]


def test_names_that_differ_in_capitals_are_one_class_and_nobody_is_none(gallery):
    catalogue = gallery.read(
        row("a/aachen/allegory", type="Religious"),
        row("a/aachen/couple", "AACHEN,  Hans Von", type="religious"),
        row("m/master/x", "UNKNOWN MASTER, Flemish", type="-", school=""),
    )
    assert catalogue.class_names["artist"] == ("AACHEN, Hans von",)
    assert catalogue.class_names["genre"] == ("Religious",)
    assert catalogue.works[2].labels == {"period": "1601-1650"}


@pytest.mark.parametrize(
    ("date", "year"),
    [
        *(("c. 1480", 1480), ("1505-07", 1506), ("1520s", 1525), ("-", -1), ("", -1)),
        *(("after 1610", 1620), ("1st half of 15th century", 1425), ("14 May 1880", 1880)),
        *(("1890/95", 1893), ("c.1480-1500", 1490), ("(1650)", 1650), ("15th c.", 1450)),
    ],
)
def test_years_as_they_are_written(gallery, date, year):
    assert gallery.read(row("a/aachen/allegory", date=date)).works[0].year == year


@pytest.mark.parametrize(
    "title",
    [
        *("Triptych", "Triptych (detail)", "Triptych (details)", "Triptych (detail 2)"),
        *("Triptych (detail of the left wing)", "Triptych [detail]", "Triptych, detail"),
        *("Triptych - detail 3", "Triptych (recto)", "Triptych (Verso) (detail)", "Triptych (2)"),
        *("Triptych (view 2)", "Triptych View 3", "Triptych, view 3", "Triptych (another view)"),
        *("Triptych (second photograph)", "Triptych, photograph 2", "Triptych (central panel)"),
        *("Triptych (left inner wing)", "Triptych (closed)", "Triptych (before restoration)"),
    ],
)
def test_what_a_title_says_of_part_or_photograph_is_taken_away(title):
    assert base_title(title) == "Triptych"


@pytest.mark.parametrize(
    "title",
    [
        *("View of Delft", "Detail", "(detail)", "View 3", "Interior (after Bosch)", "Panel"),
        *("The Battle of 1515", "Portrait of a Man (Self-Portrait?)", "Scenes: 4. Adoration"),
        *("Winter View", "The Opening (1640)", "Verso l'alba", "Henry VIII"),
    ],
)
def test_other_titles_stay(title):
    assert base_title(title) == title


def test_details_belong_to_the_work_of_the_same_date_and_museum(gallery):
    names = ("a/aachen/allegory", "a/aachen/couple", "r/x/1", "r/x/2", "r/x/3")
    self_portrait = {"author": "REMBRANDT", "title": "Self-Portrait"}
    detail = self_portrait | {"title": "Self-Portrait (detail)"}
    young, old = {"date": "1628"}, {"date": "1661"}
    found = ids(
        gallery.read(
            row(names[0], **detail, **old),
            row(names[1], **self_portrait, **young),
            row(names[2], **self_portrait, **old),
            row(names[3], **detail, **young),
            row(names[4], **(self_portrait | {"author": "DOU"}), **old),
        )
    )
    first, second, third, fourth, fifth = found.values()
    assert first == third
    assert second == fourth
    assert len({first, second, fifth}) == 3


def test_a_detail_whose_date_is_written_otherwise_finds_its_work(gallery):
    names = ("a/aachen/allegory", "a/aachen/couple", "r/x/1")
    found = ids(
        gallery.read(
            row(names[0], date="1598"),
            row(names[1], title="Allegory (detail)", date="c. 1598"),
            row(names[2], title="Allegory (detail)", date="1620", location="Louvre, Paris"),
        )
    )
    work, near, far = found.values()
    assert near == work
    assert far != work


def test_a_detail_that_may_be_of_two_works_is_of_neither(gallery):
    found = ids(
        gallery.read(
            row("a/aachen/allegory", date="1598"),
            row("a/aachen/couple", date="1600"),
            row("r/x/1", title="Allegory (detail)", date="-"),
        )
    )
    assert len(set(found.values())) == 3


def test_rows_alike_in_author_title_date_and_museum_are_one_work(gallery):
    found = ids(
        gallery.read(
            row("a/aachen/allegory"),
            row("a/aachen/couple", location="Alte  Pinakothek - Munich"),
            row("r/x/1", location="Private collection"),
            row("r/x/2", title="-"),
            row("r/x/3", title="-"),
        )
    )
    same, again, *others = found.values()
    assert same == again
    assert len({same, *others}) == 4


def test_the_most_frequent_classes_are_those_of_the_catalogue_whichever_pictures_are_there(gallery):
    lines = []
    # Cy has most rows, but they are details of one work; nobody has most of the pictures of Di.
    for author, works, title in (("BO", 3, ""), ("ADA", 2, ""), ("CY", 5, "x"), ("DI", 9, "")):
        for i in range(works):
            lines.append(row(f"{author}/{i}", author, title=title or f"Work {i}", type=author[0]))
            if author != "DI" or i == 0:
                gallery.add(f"art/{author}/{i}.jpg")
    catalogue = gallery.read(*lines, most_frequent={"artist": 2})
    assert catalogue.class_names["artist"] == ("BO", "DI")
    assert catalogue.class_names["genre"] == ("A", "B", "C", "D")
    others = [work.labels for work in catalogue.works if work.file_name.startswith("art/CY")]
    assert others == [{"genre": "C", "location": "German", "period": "1601-1650"}] * 5
    assert catalogue.notes == [
        "artist: the 2 most frequent of 4 classes; 3 works of the others keep their other labels"
    ]
    tied = gallery.read(*lines, most_frequent={"artist": 3, "genre": 9})
    assert tied.class_names["artist"] == ("ADA", "BO", "DI")
    assert len(tied.notes) == 1


def test_rows_that_cannot_be_understood_are_counted(gallery):
    lines = [row("a/aachen/allegory"), "AACHEN;half a row", row("a/aachen/couple"), "", "x;" * 30]
    catalogue = gallery.read(*lines)
    assert len(catalogue.works) == 2
    assert catalogue.notes == [
        "left out: 2 rows of catalog.csv that cannot be parsed, the first in line 3"
    ]


@pytest.mark.parametrize(
    ("lines", "header", "says"),
    [
        ([], "", "is empty; its first line is AUTHOR;BORN-DIED"),
        ([], HEADER, "lists no works: there is no row below the header"),
        (
            [row("a/b")],
            HEADER.replace("SCHOOL", "COUNTRY"),
            "no column 'SCHOOL' (found: AUTHOR, BORN-DIED, TITLE",
        ),
        (
            [row("a/b"), "x;y", "z"],
            HEADER,
            "2 rows of catalog.csv that cannot be parsed, the first in line 3: 'x;y'; only 1 can",
        ),
    ],
)
def test_damaged_catalogues_are_one_line(gallery, lines, header, says):
    with pytest.raises(DataError) as caught:
        gallery.read(*lines, header=header)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_catalogue_with_commas_and_without_dates_is_read(gallery):
    header = HEADER.replace("DATE;", "").replace(";", ",")
    (line,) = [row("a/aachen/allegory", title="Allegory")]
    cells = line.split(";")
    del cells[3]
    gallery.add("art/a/aachen/allegory.jpg")
    catalogue = gallery.read(",".join(f'"{cell}"' for cell in cells), header=header)
    (work,) = catalogue.works
    assert (work.title, work.year, work.picture is not None) == ("Allegory", -1, True)


def test_renamed_columns_are_all_named(gallery):
    header = HEADER.replace("SCHOOL", "COUNTRY").replace("AUTHOR", "PAINTER")
    with pytest.raises(
        DataError, match=r"no column 'AUTHOR' and no column 'SCHOOL' \(found: PAINTER"
    ):
        gallery.read(row("a/b"), header=header)


def test_missing_catalogue_and_pictures_say_where_they_belong(tmp_path):
    with pytest.raises(DataError, match=r"no catalog.csv in .*data_txt.zip"):
        wga_catalogue.read(tmp_path)
    (tmp_path / "CATALOG.TXT").write_text(f"{HEADER}\n{row('a/aachen/allegory')}\n", "utf-8")
    with pytest.raises(wga_catalogue.NoPicturesError) as caught:
        wga_catalogue.read(tmp_path)
    said = str(caught.value)
    assert f"none of the 1 listed pictures is below {tmp_path}: it holds 1 files" in said
    assert said.endswith(f"expected are paths like {tmp_path}/art/a/aachen/allegory.jpg")
    assert caught.value.urls == ["https://www.wga.hu/art/a/aachen/allegory.jpg"]
