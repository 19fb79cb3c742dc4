"""Catalogues with the headers that museums publish, and pictures called as people download them."""

import pytest
from PIL import Image

from artjax.errors import ConfigError, DataError
from artjax.prepare.readers.asked import Asked, condition
from artjax.prepare.readers.folder_layouts import read_folder
from artjax.prepare.readers.museums import MUSEUMS, museum_of, picture_name

MET = (
    "Object Number,Is Highlight,Is Timeline Work,Is Public Domain,Object ID,Gallery Number,Department,"
    "AccessionYear,Object Name,Title,Culture,Period,Dynasty,Reign,Portfolio,Constituent ID,Artist Role,"
    "Artist Prefix,Artist Display Name,Artist Display Bio,Artist Suffix,Artist Alpha Sort,Artist "
    "Nationality,Artist Begin Date,Artist End Date,Artist Gender,Artist ULAN URL,Artist Wikidata URL,"
    "Object Date,Object Begin Date,Object End Date,Medium,Dimensions,Credit Line,Geography Type,City,"
    "State,County,Country,Region,Subregion,Locale,Locus,Excavation,River,Classification,"
    "Rights and Reproduction,Link Resource,Object Wikidata URL,Metadata Date,Repository,Tags,"
    "Tags AAT URL,Tags Wikidata URL"
)
TATE = (
    "id,accession_number,artist,artistRole,artistId,title,dateText,medium,creditLine,year,"
    "acquisitionYear,dimensions,width,height,depth,units,inscription,thumbnailCopyright,thumbnailUrl,url"
)
MOMA = (
    "Title,Artist,ConstituentID,ArtistBio,Nationality,BeginDate,EndDate,Gender,Date,Medium,Dimensions,"
    "CreditLine,AccessionNumber,Classification,Department,DateAcquired,Cataloged,ObjectID,URL,ImageURL,"
    "OnView,Circumference (cm),Depth (cm),Diameter (cm),Height (cm),Length (cm),Weight (kg),Width (cm),"
    "Seat Height (cm),Duration (sec.)"
)
CARNEGIE = (
    "title,creation_date,creation_date_earliest,creation_date_latest,medium,accession_number,id,"
    "credit_line,date_acquired,department,physical_location,item_width,item_height,item_depth,"
    "item_diameter,web_url,provenance_text,classification,image_url,artist_id,party_type,full_name,"
    "cited_name,role,nationality,birth_date,death_date,birth_place,death_place"
)
NGA = (
    "objectid,uuid,accessioned,accessionnum,locationid,title,displaydate,beginyear,endyear,"
    "visualbrowsertimespan,medium,dimensions,inscription,markings,attributioninverted,attribution,"
    "provenancetext,creditline,classification,subclassification,visualbrowserclassification,parentid,"
    "isvirtual,departmentabbr,portfolio,series,volume,watermarks,lastdetectedmodification,wikidataid,"
    "customprinturl"
)
CLEVELAND = (
    "id,accession_number,share_license_status,tombstone,current_location,title,"
    "title_in_original_language,series,series_in_original_language,creation_date,creation_date_earliest,"
    "creation_date_latest,creators,culture,technique,support_materials,department,collection,type,"
    "measurements,state_of_the_work,edition_of_the_work,creditline,copyright,inscriptions,exhibitions,"
    "provenance,find_spot,related_works,fun_fact,digital_description,wall_description,citations,"
    "catalogue_raisonne,url,image_web,image_print,image_full,updated_at"
)


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name, "JPEG")


def write(folder, name, header, *rows):
    """Writes a catalogue; `rows` have the cells that are not empty, by column."""
    columns = header.split(",")
    lines = [header]
    for row in rows:
        assert not set(row) - set(columns)
        lines.append(",".join(f'"{row.get(column, "")}"' for column in columns))
    (folder / name).write_text("\n".join(lines), encoding="utf-8")


def labels(catalogue, label="artist"):
    return {work.file_name: work.labels.get(label) for work in catalogue.works}


def tate(folder):
    url = "http://www.tate.org.uk/art/images/work/{0}/{0}{1}/{0}{1}{2}_8.jpg"
    rows = [
        {
            "id": "1035",
            "accession_number": "A00001",
            "artist": "Blake, Robert",
            "artistRole": "artist",
        },
        {
            "id": "1036",
            "accession_number": "A00002",
            "artist": "Blake, William",
            "artistRole": "artist",
        },
        {
            "id": "9",
            "accession_number": "N00003",
            "artist": "Blake, William",
            "artistRole": "after",
        },
        {"id": "10", "accession_number": "P00004", "artist": "Ada", "artistRole": "artist"},
        {"id": "11", "accession_number": "T00005", "artist": "Ada", "artistRole": "artist"},
    ]
    for row in rows:
        number = row["accession_number"]
        row["thumbnailUrl"] = url.format(number[0], number[1:3], number[3:])
        row["dateText"], row["year"] = "date not known", "1922"
        row["title"], row["medium"] = f"Hills {row['id']}", "oil"
    write(folder, "artwork_data.csv", TATE, *rows)
    make(folder, "images/A/A00/A00001_8.jpg", "images/A/A00/A00002_8.jpg")
    make(folder, "images/N/N00/N00003_8.jpg", "images/P/P00/P00004_8.jpg")


def test_the_catalogue_of_tate_is_used_and_not_the_first_letters_of_its_files(tmp_path):
    tate(tmp_path)
    catalogue = read_folder(tmp_path, Asked("artist"))
    assert labels(catalogue) == {
        "images/A/A00/A00001_8.jpg": "Blake, Robert",
        "images/A/A00/A00002_8.jpg": "Blake, William",
        "images/P/P00/P00004_8.jpg": "Ada",
    }
    assert (
        "pictures and labels from artwork_data.csv (Tate's artwork_data.csv)" in catalogue.reading
    )
    assert catalogue.works[0].title == "Hills 1035"
    assert any("1 rows do not count, since not artistrole == artist" in n for n in catalogue.notes)
    # A museum's catalogue lists far more than anybody has; what is not here is no work of a class.
    (missing,) = catalogue.skipped
    assert missing.file_name.endswith("/T/T00/T00005_8.jpg")
    assert missing.reason == "no such file"
    everything = read_folder(tmp_path, Asked("artist", rows="all"))
    assert len(everything.works) == 4


def test_without_its_catalogue_the_letters_are_refused(tmp_path):
    tate(tmp_path)
    (tmp_path / "artwork_data.csv").unlink()
    with pytest.raises(
        DataError, match=r"the folders A, N, P are hardly classes of artist, since what"
    ):
        read_folder(tmp_path, Asked("artist"))
    insisted = read_folder(tmp_path, Asked("artist", classes="folders"))
    assert insisted.class_names["artist"] == ("A", "N", "P")


def test_a_list_of_the_label_that_finds_no_picture_is_not_passed_over(tmp_path):
    """The museum's own words, which are no known ones."""
    make(tmp_path, "Oil/1.jpg", "Oil/2.jpg", "Ink/3.jpg")
    write(tmp_path, "catalogue.csv", "Inv. Nr.,Artist", {"Inv. Nr.": "1", "Artist": "Ada"})
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path, Asked("artist"))
    said = str(caught.value)
    assert "catalogue.csv has no column that names the pictures (found: inv._nr., artist)" in said
    assert 'insist with the setting "classes": "folders"' in said
    assert "\n" not in said
    asked = Asked("artist", picture="Inv. Nr.")
    assert labels(read_folder(tmp_path, asked)) == {"Oil/1.jpg": "Ada"}


@pytest.mark.parametrize(
    ("header", "row", "picture", "artist", "year"),
    [
        (
            MET,
            {
                **{"Object Number": "29.100.113", "Object ID": "436535", "Object Date": "1889"},
                **{"Artist Display Name": "Vincent van Gogh", "Period": "", "Medium": "Oil"},
            },
            "436535.jpg",
            "Vincent van Gogh",
            1889,
        ),
        (
            MET,
            {
                **{"Object Number": "29.100.113", "Object ID": "7", "Object Begin Date": "1889"},
                "Artist Display Name": "Ada|Bo",
            },
            "29.100.113.jpg",
            "Ada|Bo",
            1889,
        ),
        (
            TATE,
            {"accession_number": "N01234", "artist": "Ada", "artistRole": "artist", "year": "1820"},
            "N/N01234.jpg",
            "Ada",
            1820,
        ),
        (
            MOMA,
            {
                "Artist": "Ada Lee, Bo Ek",
                "ImageURL": "https://www.moma.org/media/W1siZiIsIjU5NDA1Il0.jpg?sha=137b",
                **{"ObjectID": "2", "Date": "1896", "Medium": "Ink", "AccessionNumber": "885.1996"},
            },
            "W1siZiIsIjU5NDA1Il0.jpg",
            "Ada Lee|Bo Ek",
            1896,
        ),
        (
            CARNEGIE,
            {
                **{
                    "accession_number": "2002.19",
                    "full_name": "Jo Baer",
                    "creation_date": "1964",
                },
                "id": "cmoa:things/871505af-a072-4a84-ab09-3abf932951b8",
            },
            "871505af-a072-4a84-ab09-3abf932951b8.jpg",
            "Jo Baer",
            1964,
        ),
        (
            CARNEGIE,
            {
                **{
                    "accession_number": "2002.19",
                    "full_name": "Jo Baer|Ada",
                    "creation_date": "1964",
                },
                "image_url": "http://collection.cmoa.org/CollectionImage.aspx?irn=114327&size=Medium",
            },
            "114327.jpg",
            "Jo Baer|Ada",
            1964,
        ),
        (
            NGA,
            {
                "objectid": "1138",
                "accessionnum": "1942.9.60",
                "attribution": "Ada",
                "beginyear": "1660",
            },
            "1942.9.60.jpg",
            "Ada",
            1660,
        ),
        (
            CLEVELAND,
            {
                **{
                    "accession_number": "1335.1917",
                    "creators": "Titian (Italian, c. 1488–1576), artist",
                },
                "image_web": "https://openaccess-cdn.clevelandart.org/1335.1917/1335.1917_web.jpg",
                "creation_date_earliest": "1530",
            },
            "1335.1917_web.jpg",
            "Titian",
            1530,
        ),
    ],
)
def test_known_catalogues(tmp_path, header, row, picture, artist, year):
    make(tmp_path, f"pictures/{picture}")
    write(tmp_path, "objects.csv", header, row)
    (work,) = read_folder(tmp_path, Asked()).works
    assert work.file_name == f"pictures/{picture}"
    assert work.file == tmp_path / "pictures" / picture
    assert work.labels == {"artist": artist}
    assert work.year == year


def test_the_pictures_of_a_second_table_are_found_by_its_names(tmp_path):
    make(tmp_path, "iiif/99758d9d-c10b.jpg")
    write(tmp_path, "objects.csv", NGA, {"objectid": "0", "attribution": "Ada"})
    rows = {"objectid": "0", "attribution": "Ada"}, {"objectid": "18", "attribution": "Bo"}
    write(tmp_path, "objects.csv", NGA, *rows)
    header = (
        "uuid,iiifurl,iiifthumburl,viewtype,sequence,width,height,maxpixels,openaccess,created,modified,"
        "depictstmsobjectid,assistivetext"
    )
    other = {"uuid": "aaaa-bbbb", "viewtype": "alternate", "depictstmsobjectid": "18"}
    main = {"uuid": "99758d9d-c10b", "viewtype": "primary", "depictstmsobjectid": "18"}
    write(tmp_path, "published_images.csv", header, other, main)
    assert labels(read_folder(tmp_path, Asked())) == {"iiif/99758d9d-c10b.jpg": "Bo"}


def test_a_list_of_iiif_images_names_the_folders_of_their_identifiers(tmp_path):
    make(tmp_path, "2f3a/full/843,/0/default.jpg", "77b1/full/843,/0/default.jpg")
    url = "https://x.org/iiif/2/{}/full/843,/0/default.jpg"
    rows = [
        {"image_url": url.format(of), "artist": artist}
        for of, artist in (("2f3a", "Ada"), ("77b1", "Bo"))
    ]
    write(tmp_path, "list.csv", "image_url,artist", *rows)
    assert labels(read_folder(tmp_path, Asked("artist"))) == {
        "2f3a/full/843,/0/default.jpg": "Ada",
        "77b1/full/843,/0/default.jpg": "Bo",
    }
    (tmp_path / "list.csv").unlink()
    with pytest.raises(
        DataError, match=r"2f3a, 77b1 are hardly classes of artist, since they look like"
    ):
        read_folder(tmp_path, Asked("artist"))


@pytest.mark.parametrize("header", [MET, TATE, MOMA, CARNEGIE, NGA, CLEVELAND])
def test_each_museum_is_known_by_columns_that_no_other_has(header):
    there = museum_of(header.split(","))
    assert [museum for museum in MUSEUMS if museum_of(museum.header) is there] == [there]
    columns = {column.lower().replace(" ", "_") for column in header.split(",")}
    elsewhere = {"image_uuid", "thumbnailurl"}  # of published_images.csv, and of an older header
    named = {*there.picture, *there.labels.values(), *there.year, there.title, *there.before}
    assert named - elsewhere <= columns


def test_settings_for_a_list_where_there_is_none_are_one_line(tmp_path):
    make(tmp_path, "Ada/1.jpg", "Bo/2.jpg")
    with pytest.raises(DataError, match="has no list of its pictures"):
        read_folder(tmp_path, Asked("artist", picture="Nr"))


def test_other_columns_of_a_known_catalogue_are_labels_where_they_are_asked_for(tmp_path):
    tate(tmp_path)
    asked = Asked(columns={"artist": "artist", "medium": "Medium", "year": "year"})
    first = read_folder(tmp_path, asked).works[0]
    assert first.labels == {"artist": "Blake, Robert", "medium": "oil"}
    assert first.year == 1922
    first = read_folder(tmp_path, Asked(wanted=("medium", "units"))).works[0]
    assert first.labels == {"artist": "Blake, Robert", "medium": "oil"}


def test_a_catalogue_in_own_words(tmp_path):
    make(tmp_path, "scans/0001.jpg", "scans/0002.jpg", "scans/0003.jpg")
    make(tmp_path, "scans/0004.jpg")
    write(tmp_path, "other.csv", "id,artist", {"id": "1", "artist": "Wrong"})
    write(
        tmp_path,
        "inventar.csv",
        "Nr,Hand,Rolle,Technik,Entstanden,Titel",
        {"Nr": "1", "Hand": "Ada", "Rolle": "Maler", "Technik": "Öl", "Entstanden": "um 1650"},
        {"Nr": "2", "Hand": "Bo; Cy", "Rolle": "Maler", "Technik": "Öl", "Titel": "See"},
        {"Nr": "3", "Hand": "Di", "Rolle": "Kopist", "Technik": "Tusche"},
        {"Nr": "77", "Hand": "Ed", "Rolle": "Maler", "Technik": "Tusche"},
    )
    asked = Asked(
        catalogue="inventar.csv",
        picture="Nr",
        columns={"artist": "Hand", "technik": "Technik", "year": "Entstanden", "title": "Titel"},
        rows="Rolle == maler",
        separator=";",
    )
    catalogue = read_folder(tmp_path, asked)
    assert [(w.file_name, w.labels, w.year, w.title) for w in catalogue.works] == [
        ("scans/0001.jpg", {"artist": "Ada", "technik": "Öl"}, 1650, ""),
        ("scans/0002.jpg", {"artist": "Bo|Cy", "technik": "Öl"}, -1, "See"),
    ]
    assert catalogue.class_names["technik"] == ("Öl",)
    assert [row.file_name for row in catalogue.skipped] == ["77"]
    assert any("1 rows do not count, since not rolle == maler" in note for note in catalogue.notes)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            {"catalogue": "inventr.csv"},
            "no file 'inventr.csv', which catalogue names; did you mean inv",
        ),
        ({"picture": "Number"}, "has no column 'number' (found: nr, hand)"),
        (
            {"picture": "Nr", "columns": {"artist": "Hnd"}},
            "no column 'hnd' (found: nr, hand); did you",
        ),
        ({"picture": "Nr", "rows": "Role == x"}, "has no column 'role'"),
        (
            {"picture": "Nr", "columns": {"artist": "Hand"}, "rows": "Hand == x"},
            "has no row with hand == x",
        ),
    ],
)
def test_settings_that_do_not_fit_the_list_are_one_line(tmp_path, asked, says):
    make(tmp_path, "1.jpg")
    write(tmp_path, "inventar.csv", "Nr,Hand", {"Nr": "1", "Hand": "Ada"})
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path, Asked("artist", **asked))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"rows": "role is artist"}, "rows must be 'all' or a condition such as"),
        ({"columns": ["medium"]}, "columns must give the column of each label"),
        ({"columns": {"image": "file"}}, "columns must give the column of each label"),
        ({"columns": {"Medium!": "medium"}}, "columns must give the column of each label"),
        ({"classes": "files"}, "classes can only be \"folders\", not 'files'"),
        ({"max_bad_rows": 20}, r"max_bad_rows must be a share in \[0, 1\], not 20"),
        ({"picture": 3}, "picture must be a text, not 3"),
    ],
)
def test_settings_that_cannot_be_are_one_line(asked, says):
    with pytest.raises(ConfigError, match=says):
        Asked(**asked).check()


def test_conditions():
    role = condition("Artist Role == 'Artist' | painter")
    assert role.holds({"artist_role": "Painter"})
    assert not role.holds({"artist_role": "engraver"})
    assert not condition("role != artist").holds({"role": "Artist"})
    assert condition("all") is None


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("a/b.jpg", "a/b.jpg"),
        ("https://x.org/a/Mona%20Lisa.jpg?w=300", "Mona Lisa.jpg"),
        ("https://api.nga.gov/iiif/99758d9d-c10b/full/!200,200/0/default.jpg", "99758d9d-c10b"),
        ("https://x.org/iiif/3/ab%2Fc/0,0,100,100/max/0/native.png", "ab/c"),
        ("http://x.org/CollectionDetail.aspx?item=1020660", "1020660"),
        ("https://x.org/search/436535", "436535"),
    ],
)
def test_what_a_cell_calls_a_picture(cell, name):
    assert picture_name(cell) == name
