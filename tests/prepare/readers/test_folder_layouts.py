import json
import os
from collections import Counter

import pytest
from PIL import Image

from artjax.data.splits import SPLITS, divide, shares_of
from artjax.errors import DataError
from artjax.prepare.readers.asked import Asked
from artjax.prepare.readers.folder_layouts import read_folder


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name, "JPEG")


def write(folder, name, text):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def listed(catalogue, label="artist"):
    """{file name: class}, where every picture was found where its name says."""
    for work in catalogue.works:
        assert work.picture is not None, work.file_name
        assert work.file.as_posix().endswith("/" + work.file_name)
    return {work.file_name: work.labels[label] for work in catalogue.works}


def splits(catalogue):
    """{file name: split}; what the folders leave open is divided where they say into what."""
    ours = [work for work in catalogue.works if work.split is None]
    divided = [None] * len(ours)
    if catalogue.divided_into != SPLITS:
        ids, classes = [work.work_id for work in ours], [work.labels.items() for work in ours]
        divided = divide(ids, classes, shares=shares_of(catalogue.divided_into))
    given = {work.file_name: work.split for work in catalogue.works}
    return given | {work.file_name: split for work, split in zip(ours, divided, strict=True)}


def problem(folder, label=""):
    with pytest.raises(DataError) as caught:
        read_folder(folder, Asked(label) if isinstance(label, str) else label)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# works.csv


def test_works_csv_comes_first(tmp_path):
    make(tmp_path, "a.jpg", "train/Bo/b.jpg")
    write(tmp_path, "works.csv", "path,artist\na.jpg,Ada\n")
    write(tmp_path, "metadata.csv", "file_name,artist\na.jpg,Bo\n")
    assert listed(read_folder(tmp_path, Asked("artist"))) == {"a.jpg": "Ada"}
    make(tmp_path, "train/Cy/b.jpg")
    insisted = read_folder(tmp_path, Asked("artist", classes="folders"))
    assert set(listed(insisted).values()) == {"Bo", "Cy"}


def test_lists_in_cells_are_read(tmp_path):
    make(tmp_path, "a.jpg", "b.jpg")
    write(
        tmp_path,
        "classes.csv",
        """filename,genre\na.jpg,['Baroque']\nb.jpg,"['Pop Art', 'Op Art']"\n""",
    )
    assert listed(read_folder(tmp_path, Asked("")), "genre") == {
        "a.jpg": "Baroque",
        "b.jpg": "Pop Art",
    }


def test_the_type_of_semart_is_a_genre(tmp_path):
    make(tmp_path, "Images/1.jpg", "Images/2.jpg")
    header = "IMAGE_FILE\tDESCRIPTION\tAUTHOR\tTITLE\tTECHNIQUE\tDATE\tTYPE\tSCHOOL\tTIMEFRAME"
    rows = ["1.jpg\t.\tAda\tÉté\t-\t1500\tportrait\tFrench\t1501-1550"]
    rows += ["2.jpg\t.\tBo\t.\t-\t1500\tlandscape\tDutch\t1501-1550"]
    (tmp_path / "semart_train.csv").write_text("\n".join([header, *rows]), encoding="latin-1")
    catalogue = read_folder(tmp_path, Asked(""))
    assert listed(catalogue, "genre") == {"Images/1.jpg": "portrait", "Images/2.jpg": "landscape"}
    assert catalogue.class_names["location"] == ("Dutch", "French")
    assert "semart_train.csv is not UTF-8, and was read as ISO-8859-1" in catalogue.notes


def test_the_note_names_what_divided_the_works(tmp_path):
    make(tmp_path, *(f"{i}.jpg" for i in range(3)))
    rows = [f"{i}.jpg,{'AB'[i % 2]},{split}" for i, split in enumerate(("train", "val", "test"))]
    write(tmp_path, "list.csv", "\n".join(["file_name,artist,split", *rows]))
    assert "splits: as the column 'split' has them" in read_folder(tmp_path, Asked("")).notes


def test_folders_inside_class_folders_are_noted(tmp_path):
    make(tmp_path, "Ada/early/a.jpg", "Ada/late/a.jpg", "Bo/b.jpg")
    notes = read_folder(tmp_path, Asked("artist")).notes
    assert "2 folders inside class folders (Ada/early, …) belong to the class above: Ada" in notes


def test_links_to_class_folders_are_followed_and_a_loop_ends(tmp_path):
    make(tmp_path / "elsewhere", "a.jpg")
    make(tmp_path / "museum", "Bo/b.jpg")
    (tmp_path / "museum" / "Ada").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "museum" / "Bo" / "again").symlink_to(tmp_path / "museum")
    (tmp_path / "elsewhere" / "self").symlink_to(tmp_path / "elsewhere")
    catalogue = read_folder(tmp_path / "museum", Asked("artist"))
    assert listed(catalogue) == {"Ada/a.jpg": "Ada", "Bo/b.jpg": "Bo"}


def test_pictures_without_a_suffix_are_read_in_class_folders(tmp_path):
    make(tmp_path, "Ada/scan 1", "Bo/b.jpg")
    write(tmp_path, "Ada/LICENSE", "no picture")
    catalogue = read_folder(tmp_path, Asked("artist"))
    assert listed(catalogue) == {"Ada/scan 1": "Ada", "Bo/b.jpg": "Bo"}
    assert "files that are no pictures of a class: 1 without a suffix" in catalogue.notes


@pytest.mark.parametrize("name", ["works.csv", "metadata.csv", "train.csv"])
def test_a_list_that_is_a_fifo_is_refused_and_not_waited_for(tmp_path, name):
    make(tmp_path, "Ada/a.jpg", "Bo/b.jpg")
    os.mkfifo(tmp_path / name)
    assert f"{name} is not a regular file" in problem(tmp_path, "artist")


def test_errors_of_works_csv_stay_its_own(tmp_path):
    write(tmp_path, "works.csv", "file_name,artist\na.jpg,Ada\n")
    assert "works.csv has no column 'path' (found: file_name, artist)" in problem(tmp_path)


# Hugging Face


def test_metadata_csv_names_pictures_from_its_own_folder(tmp_path):
    make(tmp_path, "data/a.jpg", "data/more/b.jpg", "a.jpg")
    write(
        tmp_path,
        "data/metadata.csv",
        "file_name,artist,title,year,work_id\na.jpg,Ada,Hills,c. 1480,w1\nmore/b.jpg,Bo,,,\n",
    )
    catalogue = read_folder(tmp_path, Asked(""))
    assert listed(catalogue) == {"data/a.jpg": "Ada", "data/more/b.jpg": "Bo"}
    first, second = catalogue.works
    assert (first.title, first.year, first.work_id) == ("Hills", 1480, "w1")
    assert (second.title, second.year, second.work_id) == ("", -1, "data/more/b.jpg")
    assert catalogue.class_names["artist"] == ("Ada", "Bo")


def test_metadata_jsonl(tmp_path):
    make(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    rows = [
        {"file_name": "a.jpg", "artist": "Ada", "year": 1480, "style": None},
        {"file_name": "b.jpg", "artist": "B\u2028ö", "date": "c. 1520"},
        {"file_name": "c.jpg", "artist": None, "genre": "portrait"},
    ]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    write(tmp_path, "metadata.jsonl", text + "\n\n")
    works = read_folder(tmp_path, Asked("")).works
    assert [work.labels for work in works] == [
        *({"artist": "Ada"}, {"artist": "B ö"}, {"genre": "portrait"}),
    ]
    assert [work.year for work in works] == [1480, 1520, -1]


@pytest.mark.parametrize("name", ["validation", "val", "valid", "dev", "Val"])
def test_metadata_in_split_folders(tmp_path, name):
    make(tmp_path, "train/1.jpg", f"{name}/1.jpg", "test/1.jpg")
    write(tmp_path, "train/metadata.csv", "file_name,artist\n1.jpg,Ada\n")
    write(tmp_path, f"{name}/metadata.csv", "file_name,artist\n1.jpg,Bo\n")
    write(tmp_path, "test/metadata.jsonl", '{"file_name": "1.jpg", "artist": "Cy"}\n')
    catalogue = read_folder(tmp_path, Asked(""))
    assert listed(catalogue) == {"train/1.jpg": "Ada", f"{name}/1.jpg": "Bo", "test/1.jpg": "Cy"}
    assert splits(catalogue) == {
        **{"train/1.jpg": "train", f"{name}/1.jpg": "validation", "test/1.jpg": "test"},
    }
    assert "splits: as the folders have them" in catalogue.notes
    assert catalogue.official == ()


def test_one_metadata_file_above_split_folders(tmp_path):
    make(tmp_path, "train/1.jpg", "validation/1.jpg", "test/1.jpg")
    rows = "train/1.jpg,Ada\nvalidation/1.jpg,Bo\ntest/1.jpg,Ada\n"
    write(tmp_path, "metadata.csv", "file_name,artist\n" + rows)
    assert list(splits(read_folder(tmp_path, Asked(""))).values()) == [
        "train",
        "validation",
        "test",
    ]


def test_metadata_comes_before_other_lists(tmp_path):
    make(tmp_path, "a.jpg")
    write(tmp_path, "metadata.csv", "file_name,artist\na.jpg,Ada\n")
    write(tmp_path, "labels.csv", "file_name,artist\na.jpg,Bo\n")
    assert listed(read_folder(tmp_path, Asked(""))) == {"a.jpg": "Ada"}


def test_metadata_without_the_label_leaves_the_class_folders(tmp_path):
    make(tmp_path, "Ada/a.jpg", "Bo/b.jpg")
    write(tmp_path, "metadata.csv", "file_name,caption\nAda/a.jpg,Hills\nBo/b.jpg,Lake\n")
    catalogue = read_folder(tmp_path, Asked("artist"))
    assert listed(catalogue) == {"Ada/a.jpg": "Ada", "Bo/b.jpg": "Bo"}
    assert any("ignored: " in note and "metadata.csv" in note for note in catalogue.notes)


def test_a_broken_list_of_one_split_is_not_passed_over(tmp_path):
    make(tmp_path, "train/a.jpg", "test/b.jpg")
    write(tmp_path, "train/metadata.csv", "file_name,artist\na.jpg,Ada\n")
    write(tmp_path, "test/metadata.jsonl", '{"file_name": "b.jpg"\n')
    assert "metadata.jsonl, line 1: not JSON" in problem(tmp_path)
    (tmp_path / "test/metadata.jsonl").unlink()
    write(tmp_path, "test/metadata.csv", "file_name,artist\nlost.jpg,Ada\n")
    assert "names no picture below" in problem(tmp_path)


def test_parquet_says_what_to_do(tmp_path):
    write(tmp_path, "data/train-00000-of-00001.parquet", "PAR1")
    assert "train-00000-of-00001.parquet: pictures and lists in .parquet" in problem(tmp_path)


# Splits


def test_what_the_folders_lack_is_cut_from_train(tmp_path):
    names = [f"train/{i}.jpg" for i in range(200)] + [f"test/{i}.jpg" for i in range(50)]
    make(tmp_path, *names)
    rows = "".join(f"{name},{'AB'[i % 2]}\n" for i, name in enumerate(names))
    write(tmp_path, "metadata.csv", "file_name,artist\n" + rows)
    catalogue = read_folder(tmp_path, Asked(""))
    divided = splits(catalogue)
    assert {name for name, split in divided.items() if split == "test"} == set(names[200:])
    assert Counter(divided.values())["validation"] == 20
    assert any("validation is cut from their train" in note for note in catalogue.notes)
    write(tmp_path, "metadata.csv", "file_name,artist\n" + rows.replace("test/", "val/"))
    for i in range(50):
        (tmp_path / "val").mkdir(exist_ok=True)
        (tmp_path / f"test/{i}.jpg").rename(tmp_path / f"val/{i}.jpg")
    counts = Counter(splits(read_folder(tmp_path, Asked(""))).values())
    assert counts["validation"] == 50
    assert counts["test"] == 20


def test_details_are_cut_with_their_work_and_straddling_ones_stay(tmp_path):
    names = [f"train/{i}.jpg" for i in range(100)] + ["test/0.jpg"]
    make(tmp_path, *names)
    rows = "".join(f"{name},{'AB'[i % 2]},w{i // 10}\n" for i, name in enumerate(names[:-1]))
    write(tmp_path, "metadata.csv", f"file_name,artist,work_id\n{rows}test/0.jpg,A,w3\n")
    catalogue = read_folder(tmp_path, Asked(""))
    divided = splits(catalogue)
    of_work = {}
    for work in catalogue.works[:-1]:
        of_work.setdefault(work.work_id, set()).add(divided[work.file_name])
    assert all(len(of) == 1 for of in of_work.values())
    assert divided["test/0.jpg"] == "test"


def test_one_split_alone_is_cut_by_the_builder(tmp_path):
    make(tmp_path, "train/a.jpg", "train/b.jpg", "test/c.jpg")
    write(tmp_path, "train.csv", "image,artist\na.jpg,Ada\nb.jpg,Bo\n")
    write(tmp_path, "test.csv", "image,size\nc.jpg,3\n")
    catalogue = read_folder(tmp_path, Asked(""))
    assert splits(catalogue) == {"train/a.jpg": None, "train/b.jpg": None}
    assert any("test.csv has no column for the label" in note for note in catalogue.notes)
    assert any(note.startswith("splits: only train has labelled") for note in catalogue.notes)


def test_nothing_to_train_on_is_one_line(tmp_path):
    make(tmp_path, "val/Ada/a.jpg", "test/Ada/b.jpg")
    assert "none to train on" in problem(tmp_path, "artist")


@pytest.mark.parametrize("column", ["split", "subset"])
def test_a_column_says_the_split(tmp_path, column):
    make(tmp_path, *(f"images/{i}.jpg" for i in range(3)))
    rows = "0.jpg,A,Training\n1.jpg,B,val\n2.jpg,A,test\n"
    write(tmp_path, "classes.csv", f"filename,artist,{column}\n{rows}")
    assert list(splits(read_folder(tmp_path, Asked(""))).values()) == [
        "train",
        "validation",
        "test",
    ]


# Kaggle: lists


@pytest.mark.parametrize(
    "column",
    [
        *("file_name", "filename", "File", "path", "filepath", "image", "image path", "image_id"),
        *("img", "id"),
    ],
)
@pytest.mark.parametrize("cell", ["7.x", "7.x.jpg"])
@pytest.mark.parametrize("where", ["", "images/", "train_1/", "images/images/deep/"])
def test_a_list_finds_its_pictures_in_any_folder(tmp_path, column, cell, where):
    make(tmp_path, f"{where}7.x.jpg", f"{where}8.jpg")
    write(tmp_path, "labels.csv", f"{column};painter\n{cell};Ada\n8.jpg;Bo\n")
    assert listed(read_folder(tmp_path, Asked(""))) == {
        f"{where}7.x.jpg": "Ada",
        f"{where}8.jpg": "Bo",
    }


@pytest.mark.parametrize(
    ("column", "label"),
    [
        *(("artist_name", "artist"), ("painter", "artist"), ("genre", "genre")),
        *(("style", "style"), ("school", "location"), ("period", "period")),
    ],
)
def test_columns_that_say_what_they_hold(tmp_path, column, label):
    make(tmp_path, "1.jpg")
    write(tmp_path, "list.csv", f"id,{column}\n1,Ada\n")
    assert [work.labels for work in read_folder(tmp_path, Asked("")).works] == [{label: "Ada"}]


def test_a_school_is_the_location_not_where_the_work_hangs(tmp_path):
    make(tmp_path, "1.jpg")
    write(tmp_path, "list.csv", "id,location,school\n1,Louvre,Italian\n")
    assert listed(read_folder(tmp_path, Asked("")), "location") == {"1.jpg": "Italian"}


@pytest.mark.parametrize("column", ["label", "class", "target"])
def test_a_generic_column_is_what_the_config_says(tmp_path, column):
    make(tmp_path, "train/1.jpg")
    write(tmp_path, "train.csv", f"id,{column}\n1,Ada\n")
    said = problem(tmp_path)
    assert f"train.csv: say what its column '{column}' holds: --config artist (or genre" in said
    assert listed(read_folder(tmp_path, Asked("genre")), "genre") == {"train/1.jpg": "Ada"}


def test_a_column_of_the_label_itself_comes_before_a_generic_one(tmp_path):
    make(tmp_path, "1.jpg")
    write(tmp_path, "list.csv", "id,label,artist\n1,portrait,Ada\n")
    assert read_folder(tmp_path, Asked("artist")).works[0].labels == {"artist": "Ada"}
    assert read_folder(tmp_path, Asked("genre")).works[0].labels == {
        "artist": "Ada",
        "genre": "portrait",
    }


def test_paths_of_another_machine_are_found_by_their_end(tmp_path):
    make(tmp_path, "pictures/Ada/1.jpg", "pictures/Bo/1.jpg")
    rows = "/kaggle/input/art/pictures/Ada/1.jpg,Ada\nBo\\1.jpg,Bo\n"
    write(tmp_path, "lists/all.csv", "path,artist\n" + rows)
    assert listed(read_folder(tmp_path, Asked(""))) == {
        **{"pictures/Ada/1.jpg": "Ada", "pictures/Bo/1.jpg": "Bo"},
    }


def test_a_missing_picture_is_not_another_of_its_name(tmp_path):
    make(tmp_path, "images/Bo/1.jpg", "images/Ada/2.jpg")
    write(tmp_path, "all.csv", "path,artist\nAda/1.jpg,Ada\nBo/1.jpg,Bo\nAda/2.jpg,Ada\n")
    catalogue = read_folder(tmp_path, Asked(""))
    assert [bool(work.picture) for work in catalogue.works] == [False, True, True]
    assert catalogue.works[0].file_name == "Ada/1.jpg"
    assert "read all.csv: 2 of 3 pictures found by 'path', artist from 'artist'" in catalogue.notes


def test_of_two_pictures_with_a_name_the_one_of_the_split_is_meant(tmp_path):
    make(tmp_path, "train/1.jpg", "test/1.jpg", "other/1.jpg")
    write(tmp_path, "trainLabels.csv", "id,artist\n1,Ada\n")
    write(tmp_path, "testLabels.csv", "id,artist\n1,Bo\n")
    catalogue = read_folder(tmp_path, Asked(""))
    assert listed(catalogue) == {"test/1.jpg": "Bo", "train/1.jpg": "Ada"}
    assert splits(catalogue)["test/1.jpg"] == "test"


def test_the_lists_of_splits_may_share_a_folder_of_pictures(tmp_path):
    make(tmp_path, *(f"train/{i}.jpg" for i in range(3)))
    for i, name in enumerate(("train", "val", "test")):
        write(tmp_path, f"{name}.csv", f"image,artist\n{i}.jpg,{'AB'[i % 2]}\n")
    assert splits(read_folder(tmp_path, Asked(""))) == {
        **{"train/0.jpg": "train", "train/1.jpg": "validation", "train/2.jpg": "test"},
    }


def test_the_columns_with_paths_come_before_ids_if_they_find_any(tmp_path):
    make(tmp_path, "images/a.jpg", "images/1.jpg")
    write(tmp_path, "list.csv", "id,image,artist\n1,a.jpg,Ada\n")
    assert listed(read_folder(tmp_path, Asked(""))) == {"images/a.jpg": "Ada"}
    write(tmp_path, "list.csv", "id,image,artist\n1,https://x/y.jpg,Ada\n")
    assert listed(read_folder(tmp_path, Asked(""))) == {"images/1.jpg": "Ada"}


def test_submissions_are_no_lists(tmp_path):
    make(tmp_path, "train/1.jpg", "test/2.jpg")
    write(tmp_path, "train.csv", "id,artist\n1,Ada\n")
    write(tmp_path, "sample_submission.csv", "id,artist\n2,Ada\n")
    assert listed(read_folder(tmp_path, Asked(""))) == {"train/1.jpg": "Ada"}


def test_a_picture_listed_twice_is_in_test_and_one_with_two_labels_is_one_line(tmp_path):
    make(tmp_path, "images/1.jpg", "images/2.jpg")
    write(tmp_path, "train.csv", "id,artist\n1,Ada\n2,Bo\n")
    write(tmp_path, "test.csv", "id,artist\n2,Bo\n")
    catalogue = read_folder(tmp_path, Asked(""))
    assert splits(catalogue)["images/2.jpg"] == "test"
    assert len(catalogue.works) == 2
    assert any(note.startswith("1 rows list a picture again") for note in catalogue.notes)
    write(tmp_path, "test.csv", "id,artist\n2,Ada\n")
    said = problem(tmp_path)
    assert "test.csv, row 2, 'images/2.jpg': its picture is listed with other labels" in said
    assert "(see train.csv, row 3)" in said


def test_links_to_a_store_of_files_are_read(tmp_path, tmp_path_factory):
    """Hugging Face's cache keeps files in `blobs`, and a snapshot of links to them."""
    blobs = tmp_path_factory.mktemp("blobs")
    make(blobs, "1f3c")
    (tmp_path / "a.jpg").symlink_to(blobs / "1f3c")
    write(tmp_path, "metadata.csv", "file_name,artist\na.jpg,Ada\n")
    assert listed(read_folder(tmp_path, Asked(""))) == {"a.jpg": "Ada"}


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            {"a.csv": "image,artist\n1.jpg,A\n", "b.csv": "image,artist\n1.jpg,A\n"},
            "has several lists of its pictures: a.csv, b.csv; keep one, and move the others elsewhere",
        ),
        (
            {
                "metadata.csv": "file_name,artist\nimages/1.jpg,A\n",
                "metadata.jsonl": '{"file_name": "images/1.jpg", "artist": "A"}\n',
            },
            "has several lists of its pictures: metadata.csv, metadata.jsonl",
        ),
        (
            {"labels.csv": "photo,artist\n1.jpg,A\n"},
            "labels.csv has no column that names the pictures (found: photo, artist); call it file_name",
        ),
        (
            {"labels.csv": "image,artist\nfar/9.jpg,A\n"},
            "labels.csv: its column 'image' names no picture below",
        ),
        ({"labels.csv": "image,artist\nfar/9.jpg,A\n"}, "(the first: far/9.jpg)"),
        (
            {"labels.csv": "image,price\n1.jpg,3\n"},
            "no column for the label, such as artist or genre (found: image, price)",
        ),
        ({"labels.csv": "image,artist\n1.jpg,A\n,B\n"}, "row 3: the cell below 'image' is empty"),
        ({"labels.csv": "image,artist,artist\n1.jpg,A,B\n"}, "'artist' more than once"),
        ({"labels.csv": 'image,artist\n1.jpg,"A\n'}, "its quotation marks do not match"),
        ({"metadata.jsonl": "[1]\n"}, "metadata.jsonl, line 1: not an object like"),
        ({}, "no works.csv in"),
    ],
)
def test_what_is_not_clear_is_one_line(tmp_path, files, says):
    make(tmp_path, "images/1.jpg")
    for name, text in files.items():
        write(tmp_path, name, text)
    assert says in problem(tmp_path)


def test_a_label_that_the_list_lacks_is_one_line(tmp_path):
    make(tmp_path, "images/1.jpg")
    write(tmp_path, "labels.csv", "image,artist\n1.jpg,A\n")
    assert "no column for the genre (found: image, artist)" in problem(tmp_path, "genre")


# Class folders


def test_class_folders_below_split_folders(tmp_path):
    make(tmp_path, "train/Ada/1.jpg", "train/Bo/deep/2.jpg", "valid/Ada/3.jpg", "test/Bo/4.jpg")
    catalogue = read_folder(tmp_path, Asked("artist"))
    assert listed(catalogue) == {
        **{"train/Ada/1.jpg": "Ada", "train/Bo/deep/2.jpg": "Bo"},
        **{"valid/Ada/3.jpg": "Ada", "test/Bo/4.jpg": "Bo"},
    }
    assert splits(catalogue) == {
        **{"train/Ada/1.jpg": "train", "train/Bo/deep/2.jpg": "train"},
        **{"valid/Ada/3.jpg": "validation", "test/Bo/4.jpg": "test"},
    }
    assert "--config artist" in problem(tmp_path)


@pytest.mark.parametrize("wrapper", ["images/images", "archive", "a/b/c"])
def test_class_folders_in_wrappers(tmp_path, wrapper):
    make(tmp_path, f"{wrapper}/Ada/1.jpg", f"{wrapper}/Bo/2.jpg", "cover.jpg")
    assert listed(read_folder(tmp_path, Asked("artist"))) == {
        **{f"{wrapper}/Ada/1.jpg": "Ada", f"{wrapper}/Bo/2.jpg": "Bo"},
    }


@pytest.mark.parametrize("of", ["data/{}", "{0}/{0}", "{}/images"])
def test_class_folders_in_wrappers_and_split_folders(tmp_path, of):
    make(tmp_path, *(f"{of.format(s)}/{a}/1.jpg" for s in ("train", "test") for a in ("Ada", "Bo")))
    catalogue = read_folder(tmp_path, Asked("artist"))
    assert catalogue.class_names["artist"] == ("Ada", "Bo")
    assert splits(catalogue)[f"{of.format('test')}/Ada/1.jpg"] == "test"


def test_best_artworks_of_all_time(tmp_path):
    """Kaggle's: nested folders, a flat copy of the pictures, and a list of artists, not of pictures."""
    for name in ("Vincent_van_Gogh", "Edgar_Degas"):
        for i in range(1, 4):
            make(
                tmp_path, f"images/images/{name}/{name}_{i}.jpg", f"resized/resized/{name}_{i}.jpg"
            )
    header = "id,name,years,genre,nationality,bio,wikipedia,paintings\n"
    rows = (
        "0,Vincent van Gogh,1853 – 1890,Post-Impressionism,Dutch,,,3\n1,Edgar Degas,,Realism,,,,3\n"
    )
    write(tmp_path, "artists.csv", header + rows)
    catalogue = read_folder(tmp_path, Asked("artist"))
    assert len(listed(catalogue)) == 6
    assert catalogue.class_names["artist"] == ("Edgar_Degas", "Vincent_van_Gogh")
    assert any("6 in no class folder" in note for note in catalogue.notes)
    assert "say what they are: --config artist" in problem(tmp_path)
    said = problem(tmp_path, "genre")  # which the folders are not
    assert "artists.csv: its column 'id' names no picture" in said
    assert "so this list of the genre is not used" in said


def test_ids_that_find_a_picture_by_chance_make_no_list(tmp_path):
    make(tmp_path, *(f"{name}/{i}.jpg" for name in ("Ada", "Bo") for i in range(9)), "Bo/9.jpg")
    rows = "".join(f"{i},Realism\n" for i in range(30))
    write(tmp_path, "artists.csv", "id,genre\n" + rows)
    assert "so this list of the genre is not used" in problem(tmp_path, "genre")
    insisted = read_folder(tmp_path, Asked("genre", classes="folders"))
    assert len(listed(insisted, "genre")) == 19


def test_mangled_class_folders_are_one_class(tmp_path):
    mangled = "Albrecht_Du\u0308rer".encode().decode("cp437")
    make(tmp_path, "Albrecht_Dürer/1.jpg", f"{mangled}/2.jpg", "Bo/3.jpg")
    catalogue = read_folder(tmp_path, Asked("artist"))
    assert catalogue.class_names["artist"] == ("Albrecht_Dürer", "Bo")
    assert len(catalogue.works) == 3
    assert any("are one class" in note for note in catalogue.notes)


def test_the_only_class_of_a_split_is_no_wrapper(tmp_path):
    make(tmp_path, "train/Ada/1.jpg", "train/Bo/2.jpg", "test/Ada/old/3.jpg", "test/Ada/new/4.jpg")
    assert read_folder(tmp_path, Asked("artist")).class_names["artist"] == ("Ada", "Bo")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("train/Ada/1.jpg", "Bo/2.jpg"), "rename 'train' if it is a class"),
        (("images/Ada/1.jpg", "images/Cy/3.jpg", "Bo/2.jpg"), "rename 'images' if it is a class"),
        (
            ("images/Ada/1.jpg", "images/Bo/1.jpg", "data/Cy/1.jpg", "data/Bo/1.jpg"),
            "each has class folders; move all but one elsewhere",
        ),
        (("train/1.jpg", "test/2.jpg"), "make a folder for each artist"),
        (("images/images/1.jpg",), "make a folder for each artist"),
    ],
)
def test_folders_that_are_not_clear_are_one_line(tmp_path, names, says):
    make(tmp_path, *names)
    assert says in problem(tmp_path, "artist")


def test_what_programs_put_between_pictures_is_counted_and_no_picture(tmp_path):
    classes = [f"{artist}/{i}.jpg" for artist in ("Ada", "Bo") for i in range(3)]
    make(tmp_path, *classes)
    make(tmp_path, *(f"{name.split('/')[0]}/@eaDir/{name.split('/')[1]}" for name in classes))
    make(tmp_path, *(f"__MACOSX/{name}" for name in classes))
    make(tmp_path, *(f"thumbs/{name}" for name in classes), "Ada/thumbnails/0.jpg")
    make(tmp_path, "Ada/.ipynb_checkpoints/0-checkpoint.jpg", "Bo/._0.jpg", ".AppleDouble/0.jpg")
    write(tmp_path, "Ada/Thumbs.db", "no picture")
    catalogue = read_folder(tmp_path, Asked("artist"))
    assert sorted(listed(catalogue)) == classes
    assert catalogue.class_names["artist"] == ("Ada", "Bo")
    assert "files that are no pictures of a class: 1 .db" in catalogue.notes
    said = next(note for note in catalogue.notes if "passed over" in note)
    assert said.startswith("pictures passed over, as made by other programs: 6 in ")
    assert {"6 in @eaDir", "6 in __MACOSX", "6 in thumbs"} <= set(said.split(": ")[1].split(", "))


def test_small_copies_are_the_pictures_where_there_are_no_others(tmp_path):
    make(tmp_path, "thumbs/Ada/1.jpg", "thumbs/Bo/2.jpg")
    assert read_folder(tmp_path, Asked("artist")).class_names["artist"] == ("Ada", "Bo")


def test_a_list_may_name_a_small_copy_and_else_means_the_picture(tmp_path):
    make(tmp_path, "images/1.jpg", "thumbs/1.jpg", "thumbs/2.jpg")
    write(tmp_path, "list.csv", "file_name,artist\n1.jpg,Ada\nthumbs/2.jpg,Bo\n")
    assert listed(read_folder(tmp_path, Asked())) == {"images/1.jpg": "Ada", "thumbs/2.jpg": "Bo"}


@pytest.mark.parametrize("name", ["Test", "train", "images", "Pictures"])
def test_a_folder_of_pictures_without_a_class_is_no_class(tmp_path, name):
    make(tmp_path, "Ada/1.jpg", "Bo/2.jpg", f"{name}/3.jpg")
    said = problem(tmp_path, "artist")
    assert "the first looks like a folder of pictures without a class" in said
    assert f"move '{name}' elsewhere, or, if it is a class, rename it or insist" in said
    insisted = read_folder(tmp_path, Asked("artist", classes="folders"))
    assert set(insisted.class_names["artist"]) == {"Ada", "Bo", name}


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["A/A00/1.jpg", "N/N01/2.jpg"], "what is in them begins with their names (A/A00)"),
        (["ab/abcd.jpg", "cd/cdef.jpg", "cd/cd01.jpg"], "what is in them begins with their names"),
        ([f"{i:02x}/{i}z.jpg" for i in range(40)], "the beginning of a hash"),
        (
            ["N01234/1.jpg", "N01235/1.jpg", "1975.1.3/1.jpg"],
            "like numbers of works, with 1 picture",
        ),
        (
            ["99758d9d-c10b/a.jpg", "99758d9d-c10b/b.jpg", "0a1b2c3d/c.jpg"],
            "like numbers of works, with 1.5 picture",
        ),
    ],
)
def test_folders_that_are_hardly_classes_are_refused(tmp_path, names, why):
    make(tmp_path, *names)
    said = problem(tmp_path, "artist")
    assert "are hardly classes of artist, since" in said
    assert why in said
    assert 'insist with the setting "classes": "folders"' in said
    write(tmp_path, "Katalog.xlsx", "no list")
    assert "not used: " in (said := problem(tmp_path, "artist"))
    assert "Katalog.xlsx is a spreadsheet" in said
    assert len(read_folder(tmp_path, Asked("artist", classes="folders")).works) == len(names)


@pytest.mark.parametrize(
    "names",
    [
        ["A/1.jpg", "B/2.jpg"],
        ["0/1.jpg", "0/2.jpg", "0/3.jpg", "1/4.jpg", "1/5.jpg", "1/6.jpg"],
        ["Ada/Ada_1.jpg", "Bo/Bo_2.jpg"],
        ["Al/Al_1.jpg", "Bo/Bo_2.jpg"],
        ["cat/cat1.jpg", "dog/dog2.jpg"],
        ["1850/a.jpg", "1850/b.jpg", "1850/c.jpg", "1900/d.jpg", "1900/e.jpg", "1900/f.jpg"],
    ],
)
def test_short_and_numbered_classes_are_classes(tmp_path, names):
    make(tmp_path, *names)
    assert len(read_folder(tmp_path, Asked("artist")).class_names["artist"]) == 2


def test_many_numbered_classes_are_classes(tmp_path):
    make(tmp_path, *(f"{i:03d}/{name}.jpg" for i in range(40) for name in "abc"))
    assert len(read_folder(tmp_path, Asked("artist")).class_names["artist"]) == 40


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Katalog.xlsx", "Katalog.xlsx is a spreadsheet, which is not read; save it as CSV UTF-8"),
        ("list.ods", "is a spreadsheet"),
        ("pictures.zip", "pictures.zip is an archive, which is not read; unpack it there"),
        ("pictures.tar.gz", "is an archive"),
        ("export.xml", "may be a catalogue, and is not read"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, name, says):
    make(tmp_path, "1.jpg", "2.jpg")
    write(tmp_path, name, "no list")
    assert says in problem(tmp_path)
    assert says in problem(tmp_path, "artist")
    make(tmp_path, "Ada/1.jpg", "Bo/2.jpg")
    notes = read_folder(tmp_path, Asked("artist")).notes
    assert any(note.startswith("ignored: ") and says in note for note in notes)


# JSON


@pytest.mark.parametrize(
    "wrap", [lambda rows: rows, lambda rows: {"info": {"total": 2}, "data": rows}]
)
def test_a_json_array_is_a_list(tmp_path, wrap):
    make(tmp_path, "images/a_web.jpg", "images/b_web.jpg")
    rows = [
        {
            "images": {"web": {"url": f"https://x.org/1/{name}_web.jpg", "width": 3}},
            "creators": [{"description": artist}, {"description": "Cy"}, {"role": "artist"}],
            "culture": ["Dutch", "Flemish"],
            "title": None,
        }
        for name, artist in (("a", "Ada"), ("b", "Bo"))
    ]
    write(tmp_path, "data.json", json.dumps(wrap(rows)))
    columns = {"artist": "creators_description", "culture": "culture"}
    catalogue = read_folder(tmp_path, Asked(picture="images_web_url", columns=columns))
    assert listed(catalogue) == {"images/a_web.jpg": "Ada|Cy", "images/b_web.jpg": "Bo|Cy"}
    assert catalogue.works[0].labels["culture"] == "Dutch|Flemish"
    assert catalogue.works[0].title == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"@context": "http://iiif.io/api/presentation/2/context.json"}', "is an IIIF manifest"),
        ('{"images": [{"id": 1}], "annotations": [{"id": 1}]}', "is no JSON array of objects"),
        ("[1, 2]", "is no JSON array of objects"),
        ("[", "is not JSON"),
    ],
)
def test_other_json_is_named(tmp_path, text, says):
    make(tmp_path, "a.jpg")
    write(tmp_path, "data.json", text)
    assert says in problem(tmp_path)


def test_of_a_catalogue_in_csv_and_json_the_first_is_read(tmp_path):
    make(tmp_path, "a.jpg")
    write(tmp_path, "list.csv", "image,artist\na.jpg,Ada\n")
    write(tmp_path, "list.json", '[{"image": "a.jpg", "artist": "Bo"}]')
    assert listed(read_folder(tmp_path, Asked())) == {"a.jpg": "Ada"}
    for i in range(4):
        write(tmp_path, f"records/{i}.json", '[{"image": "a.jpg", "artist": "Cy"}]')
    (tmp_path / "list.csv").unlink()
    assert listed(read_folder(tmp_path, Asked())) == {"a.jpg": "Bo"}


def test_a_json_file_for_each_work_is_no_list(tmp_path):
    make(tmp_path, *(f"{artist}/{i}.jpg" for artist in ("Ada", "Bo") for i in range(3)))
    for i in range(6):
        write(tmp_path, f"records/{i}.json", '[{"id": 1, "artist": "Cy"}]')
    catalogue = read_folder(tmp_path, Asked("artist"))
    assert catalogue.class_names["artist"] == ("Ada", "Bo")
    assert not any("records" in note for note in catalogue.notes)
