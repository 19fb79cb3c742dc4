"""`--mode predict`: a table that grows, is continued, and is never mixed with another."""

import csv
import io
import json
import os
import resource
import shutil
import signal
from functools import partial

import jax
import numpy as np
import pytest
from tiny import ARTISTS, stripes, tiny_config

from artjax.command_line import main
from artjax.errors import ConfigError, DataError, WorkdirError
from artjax.modes.predict import mode, table
from artjax.modes.predict.forms import Columns
from artjax.modes.predict.request import harmless, request_for
from artjax.places import Places
from artjax.train import train

pytestmark = pytest.mark.slow
narrow_config = partial(tiny_config, model__name="narrow_bn")


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(narrow_config(steps=4), Places(folder, data_dir), devices=jax.devices()[:1])
    return folder


@pytest.fixture
def workdir(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture
def pictures(tmp_path):
    return drawn(tmp_path / "pictures", 12)


def drawn(folder, count):
    folder.mkdir()
    for i in range(count):
        stripes(i % 3, np.random.default_rng(i)).save(folder / f"{i:03d}.png")
    return folder


def predicted(workdir, *words):
    return main(["--workdir", str(workdir), "--mode", "predict", *map(str, words)])


def rows_of(file):
    with file.open(newline="", encoding="utf-8") as stream:
        return {row["file"]: row for row in csv.DictReader(stream)}


@pytest.fixture
def computed(monkeypatch):
    """The names of the files that each call predicts."""
    calls = []

    def answers(runs, files, judges, **options):
        calls.append([file.name for file in files])
        return of_mode(runs, files, judges, **options)

    of_mode = mode.answers
    monkeypatch.setattr(mode, "answers", answers)
    return calls


def test_a_row_a_picture_and_a_summary_of_many(workdir, pictures, capsys):
    (pictures / "deep").mkdir()
    (pictures / "000.png").rename(pictures / "deep" / "000.png")
    (pictures / "notes.txt").write_text("no picture")
    assert predicted(workdir, pictures, "--top", 2) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "12 pictures predicted; 1 not usable"
    assert len(said.out) < 1500
    assert f"{pictures / 'notes.txt'}: not a usable image: not a picture in any" in said.err
    rows = rows_of(workdir / "predict" / "predictions.csv")
    assert list(rows) == [
        *(f"{i:03d}.png" for i in range(1, 12)),
        "deep/000.png",
        "notes.txt",
    ]
    assert list(rows["001.png"]) == [
        *("file", "artist", "artist_probability", "artist_unsure", "unlike_train", "unlikeness"),
        *("artist_2", "artist_2_probability", "error"),
    ]
    assert rows["notes.txt"]["error"] == "not a picture in any known format"
    assert not rows["notes.txt"]["artist"]
    counts = [sum(row["artist"] == name for row in rows.values()) for name in ARTISTS]
    for name, count in zip(ARTISTS, counts, strict=True):
        assert (f"{name} {count}" in said.out) == (count > 0)
    for row in list(rows.values())[:-1]:
        assert float(row["artist_probability"]) >= float(row["artist_2_probability"])
        assert row["artist"] != row["artist_2"]


def test_ctrl_c_keeps_what_is_done_and_the_same_command_continues(
    workdir, tmp_path, computed, monkeypatch, capsys
):
    folder = drawn(tmp_path / "many", 150)
    (folder / "010.png").write_text("broken")
    out = tmp_path / "labels.csv"
    add = table.Table.add
    on_disk = []

    def interrupted(self, rows):
        add(self, rows)
        if rows:
            on_disk.append(len(rows_of(out)))
            signal.raise_signal(signal.SIGINT)

    # Whatever ran before in this process: Ctrl-C raises, as where a person types it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(table.Table, "add", interrupted)
            assert predicted(workdir, folder, "--out", out) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    said = capsys.readouterr().err
    assert f"interrupted; 65 of 150 pictures are done and kept in {out}: the same command" in said
    assert on_disk == [65]  # before the file is closed
    assert len(rows_of(out)) == 65
    assert predicted(workdir, folder, "--out", out) == 0
    assert "149 pictures predicted, 64 of them before; 1 not usable" in capsys.readouterr().out
    assert computed[1] == ["010.png", *(f"{i:03d}.png" for i in range(65, 150))]
    assert predicted(workdir, folder, "--out", tmp_path / "at-once.csv") == 0
    assert rows_of(out) == rows_of(tmp_path / "at-once.csv")
    assert not list(tmp_path.glob(".*"))


def test_after_a_kill_the_half_of_a_row_is_computed_again(workdir, pictures, computed):
    assert predicted(workdir, pictures) == 0
    out = workdir / "predict" / "predictions.csv"
    whole = out.read_bytes()
    for left in (len(whole) - 1, len(whole) - 30):
        out.write_bytes(whole[:left])
        assert predicted(workdir, pictures) == 0
        assert out.read_bytes() == whole
    assert computed[1:] == [["011.png"], ["011.png"]]
    assert predicted(workdir, pictures) == 0
    assert computed[3] == []


def test_what_is_new_changed_or_was_unusable_is_computed_and_what_is_gone_goes(
    workdir, pictures, computed
):
    (pictures / "003.png").write_text("broken")
    assert predicted(workdir, pictures) == 0
    out = workdir / "predict" / "predictions.csv"
    before = rows_of(out)
    assert before["003.png"]["error"]
    stripes(0, np.random.default_rng(50)).save(pictures / "003.png")
    stripes(1, np.random.default_rng(51)).save(pictures / "012.png")
    stripes(2, np.random.default_rng(52)).save(pictures / "001.png")
    os.utime(pictures / "001.png", (0, 0))  # as `cp -p` leaves it
    (pictures / "002.png").unlink()
    assert predicted(workdir, pictures) == 0
    assert computed[1] == ["001.png", "003.png", "012.png"]
    after = rows_of(out)
    assert set(after) == set(before) - {"002.png"} | {"012.png"}
    changed = {name for name in before.keys() & after.keys() if before[name] != after[name]}
    assert changed == {"001.png", "003.png"}
    # Files of the same folder share a table; only what is asked for is shown and computed.
    assert predicted(workdir, pictures / "004.png", pictures / "005.png") == 0
    assert computed[2] == []
    assert rows_of(out) == after


def test_a_table_of_something_else_is_not_touched(workdir, pictures, tmp_path, capsys):
    out = tmp_path / "labels.csv"
    out.write_text("mine\n")
    with pytest.raises(ConfigError, match=r"labels\.csv is not a table that this mode has written"):
        predicted(workdir, pictures, "--out", out)
    assert out.read_text() == "mine\n"
    out.unlink()
    assert predicted(workdir, pictures, "--out", out) == 0
    kept = out.read_bytes()
    with pytest.raises(ConfigError, match=r"other predictions: their --top is 5, and not 1;"):
        predicted(workdir, pictures, "--out", out, "--top", 1)
    with pytest.raises(ConfigError, match=r"their eval\.views is \[1\], and not \[5\]"):
        predicted(workdir, pictures, "--out", out, "--config.eval.views=5")
    (pictures / "deep").mkdir()
    (pictures / "000.png").rename(pictures / "deep" / "000.png")
    with pytest.raises(ConfigError, match=r"their folder is .*pictures, and not .*deep"):
        predicted(workdir, pictures / "deep", "--out", out)
    copy = shutil.copytree(workdir, tmp_path / "copy")
    known = json.loads((copy / "reliability.json").read_text())
    known["distances"] = [2 * distance for distance in known["distances"]]
    (copy / "reliability.json").write_text(json.dumps(known))
    with pytest.raises(ConfigError, match=r"they are of .*run \(best\)"):
        predicted(copy, pictures, "--out", out)
    assert out.read_bytes() == kept
    # The same workdir with another checkpoint, or one that says otherwise: begun anew, nothing is lost.
    shutil.copy(copy / "reliability.json", workdir)
    capsys.readouterr()
    assert predicted(workdir, pictures, "--out", out) == 0
    assert f"are now in {tmp_path / 'labels-1.csv'}: the checkpoint in" in capsys.readouterr().out
    assert (tmp_path / "labels-1.csv").read_bytes() == kept
    assert len(rows_of(out)) == 12


def test_the_default_table_gives_way_and_only_a_short_one_is_lost(workdir, pictures):
    folder = workdir / "predict"
    assert predicted(workdir, pictures) == 0
    long = (folder / "predictions.csv").read_bytes()
    assert predicted(workdir, pictures / "000.png", "--top", 1) == 0
    assert predicted(workdir, pictures / "000.png", "--top", 2) == 0
    assert sorted(path.name for path in folder.glob("*.csv")) == [
        "predictions-1.csv",
        "predictions.csv",
    ]
    assert (folder / "predictions-1.csv").read_bytes() == long
    assert len(rows_of(folder / "predictions.csv")) == 1


def test_the_works_of_a_catalogue_have_their_ids(workdir, pictures, tmp_path, capsys):
    with pytest.raises(DataError, match=r"--catalogue: no works\.csv in"):
        predicted(workdir, pictures, "--catalogue")
    with pytest.raises(ConfigError, match="--catalogue needs one folder"):
        predicted(workdir, pictures / "000.png", "--catalogue")
    listed = 'path,work_id,title\n000.png,A 1,"Two, seated"\n001.png,A 1,=1+1\ngone.png,A 3,\n'
    (pictures / "works.csv").write_text(listed)
    assert predicted(workdir, pictures) == 0
    assert "has a works.csv: with --catalogue" in capsys.readouterr().out
    assert predicted(workdir, pictures, "--catalogue") == 0
    assert "works.csv: with" not in capsys.readouterr().out
    out = workdir / "predict" / "predictions.csv"
    rows = rows_of(out)
    assert [(r["file"], r["work_id"], r["title"], r["error"]) for r in rows.values()] == [
        ("gone.png", "A 3", "", "no such file"),
        ("000.png", "A 1", "Two, seated", ""),
        ("001.png", "A 1", "'=1+1", ""),
    ]
    (pictures / "works.csv").write_text(listed.replace("A 1,=1+1", "A 2,Flowers"))
    assert predicted(workdir, pictures, "--catalogue") == 0
    assert rows_of(out)["001.png"]["work_id"] == "A 2"
    assert rows_of(out)["001.png"]["title"] == "Flowers"


def test_a_list_without_labels_is_a_catalogue(pictures):
    header = "accession_number,artist,artistRole,title,thumbnailUrl"
    rows = [
        "N1,Turner,artist,Sunrise,https://tate.example/000.png",
        "N2,,after,Copy,https://tate.example/001.png",
        "N2,Blake,artist,Copy again,https://tate.example/001.png",
        "N3,Turner,artist,Elsewhere,https://tate.example/gone.png",
    ]
    (pictures / "artwork_data.csv").write_text("\n".join([header, *rows]))
    found = request_for([pictures], catalogue=True).pictures
    assert {name: (p.title, p.reason) for name, p in found.items()} == {
        "000.png": ("Sunrise", ""),
        "001.png": ("Copy", ""),
        "https://tate.example/gone.png": ("", "no such file"),
    }
    (pictures / "artwork_data.csv").write_text("file_name,title\n000.png,Sunrise\ngone.png,\n")
    found = request_for([pictures], catalogue=True).pictures
    assert {name: (p.title, p.reason) for name, p in found.items()} == {
        "000.png": ("Sunrise", ""),
        "gone.png": ("", "no such file"),
    }
    (pictures / "artwork_data.csv").write_text("title\nSunrise\n")
    with pytest.raises(DataError, match="has no column that names the pictures"):
        request_for([pictures], catalogue=True)


def test_no_cell_begins_like_a_formula(workdir, tmp_path, computed):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("=cmd.png", "-1.png", "plain.png"):
        stripes(0, np.random.default_rng(0)).save(folder / name)
    for _ in range(2):
        assert predicted(workdir, folder) == 0
    rows = rows_of(workdir / "predict" / "predictions.csv")
    assert sorted(rows) == ["./-1.png", "./=cmd.png", "plain.png"]
    assert all((folder / name).is_file() for name in rows)
    assert computed[1] == []
    assert [harmless(cell) for cell in ("=1", "@x", "-", "-3.5", "+1 x", "a\nb", "a=b")] == [
        *("'=1", "'@x", "'-", "-3.5", "'+1 x", "a b", "a=b")
    ]


def test_where_it_cannot_write_it_says_so_and_keeps_what_is_there(workdir, pictures, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        WorkdirError, match=r"cannot write .*labels.csv: a folder in its path is a file;"
    ):
        predicted(workdir, pictures, "--out", tmp_path / "file" / "labels.csv")
    with pytest.raises(WorkdirError, match=r"is a folder; name a file, such as --out"):
        predicted(workdir, pictures, "--out", tmp_path)
    with pytest.raises(WorkdirError, match=r"/dev/full is not a regular file"):
        predicted(workdir, pictures, "--out", "/dev/full")
    with pytest.raises(ConfigError, match="--top 0: it must be 1 or more"):
        predicted(workdir, pictures, "--top", 0)
    out = tmp_path / "labels.csv"
    with (
        table.alone(out),
        pytest.raises(WorkdirError, match=r"another process is writing .*labels\.csv"),
    ):
        predicted(workdir, pictures, "--out", out)


def test_a_full_disk_loses_no_row(tmp_path):
    out = tmp_path / "labels.csv"
    origin = table.Origin(["x"], ["run"], {})
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text("")
    request = request_for([tmp_path])
    rows = [{"file": "a.png", "error": ""}, {"file": "b.png", "error": "x" * 9000}]
    columns = Columns(("file", "error"), frozenset(), frozenset())
    given = (out, columns, origin, request, False)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    with table.opened(*given, lambda row: None) as opened:
        opened.add(rows[:1])
        try:  # a limit for files ends a write as a full disk does
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
            with pytest.raises(WorkdirError, match=r"cannot write .*; the rows before are kept"):
                opened.add(rows[1:])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    kept = []
    with table.opened(*given, kept.append) as opened:
        assert opened.kept == {"a.png"}
    assert kept == rows[:1]


def test_passes_with_dropout_say_how_far_they_are_apart(workdir, pictures, tmp_path, capsys):
    asked = "--config.eval.mc_dropout=4"
    out = tmp_path / "all.csv", tmp_path / "some.csv"
    assert predicted(workdir, pictures, "--out", out[0], asked) == 0
    assert "the mean of 4 passes with dropout: not calibrated" in capsys.readouterr().out
    (pictures / "010.png").rename(pictures / "renamed.png")
    assert predicted(workdir, *sorted(pictures.iterdir())[8:], "--out", out[1], asked) == 0
    everything, some = rows_of(out[0]), rows_of(out[1])
    for row in everything.values():
        entropy, apart = (
            float(row[f"artist_{of}"]) for of in ("predictive_entropy", "mutual_information")
        )
        assert 0 < apart < entropy < np.log(3) + 1e-6
        assert row["artist_unsure"] == ""
    kept = ("artist", "artist_probability", "artist_mutual_information")
    for name, before in (("renamed.png", "010.png"), ("011.png", "011.png")):
        # Names, order and batch do not count.
        assert [some[name][of] for of in kept] == [everything[before][of] for of in kept]


def test_an_evaluation_with_dropout_has_its_own_columns(workdir, data_dir, capsys):
    words = ["--workdir", str(workdir), "--mode", "evaluate", "--data_dir", str(data_dir)]
    assert main([*words, "--config.eval.mc_dropout=4"]) == 0
    assert "the mean of 4 passes with dropout, without a temperature" in capsys.readouterr().out
    folder = workdir / "evaluation" / "test"
    result = json.loads((folder / "metrics.json").read_text())
    row = result["tasks"]["artist"]
    assert result["mc_dropout"] == 4
    assert row["temperature"] is row["n_sure"] is None
    with (folder / "predictions.csv").open(newline="") as stream:
        apart = [float(one["mutual_information"]) for one in csv.DictReader(stream)]
    assert row["mutual_information"] == pytest.approx(np.mean(apart))
    assert min(apart) > 0


def test_the_nearest_works_of_train_have_columns(workdir, pictures, tmp_path):
    assert predicted(workdir, pictures, "--neighbours", "2") == 0
    rows = rows_of(workdir / "predict" / "predictions.csv")
    assert len(rows) == 12
    for row in rows.values():
        assert row["near_1"].startswith("train/")
        assert row["near_1_artist"] in ARTISTS
        assert 1 >= float(row["near_1_similarity"]) >= float(row["near_2_similarity"])
        assert "near_3" not in row
    with pytest.raises(ConfigError, match="the nearest works are those of one network, and 2 are"):
        predicted(workdir, "--workdir", workdir, pictures, "--neighbours", "2")


def test_json_lines_are_continued_and_say_what_the_table_says(workdir, pictures, tmp_path, capsys):
    csv_file, lines_file = tmp_path / "all.csv", tmp_path / "all.jsonl"
    (pictures / "notes.txt").write_text("no picture")
    assert predicted(workdir, pictures, "--out", csv_file, "--top", 2) == 0
    assert predicted(workdir, pictures, "--out", lines_file, "--top", 2) == 0
    whole = lines_file.read_text()
    for line in map(json.loads, whole.splitlines()):
        row = rows_of(csv_file)[line["file"]]
        assert line["artist"] == (row["artist"] or None)
        if row["error"]:
            assert line["error"] == row["error"]
            assert line["artist_probability"] is line["artist_unsure"] is None
        else:
            assert line["artist_2_probability"] == float(row["artist_2_probability"])
            assert line["artist_unsure"] is {"yes": True, "no": False}[row["artist_unsure"]]
    kept = whole.splitlines(keepends=True)[:5]
    lines_file.write_text("".join(kept) + '{"file": "cut off')
    capsys.readouterr()
    assert predicted(workdir, pictures, "--out", lines_file, "--top", 2) == 0
    assert "of them before" in capsys.readouterr().out
    assert lines_file.read_text() == whole


def test_pictures_come_from_standard_input_and_patterns(workdir, pictures, tmp_path, monkeypatch):
    names = [str(path) for path in sorted(pictures.iterdir())[:3]]
    for text in ("\n".join(names) + "\n", "\0".join(names) + "\0"):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        out = tmp_path / f"{len(text)}-{text.count(chr(0))}.csv"
        assert predicted(workdir, "-", "--out", out) == 0
        assert len(rows_of(out)) == 3
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(DataError, match="-: standard input names no file"):
        predicted(workdir, "-")
    assert predicted(workdir, pictures / "00[0-4].png", "--out", tmp_path / "five.csv") == 0
    assert len(rows_of(tmp_path / "five.csv")) == 5
    (pictures / "what[1].png").write_bytes((pictures / "000.png").read_bytes())  # no pattern
    assert predicted(workdir, pictures / "what[1].png", "--out", tmp_path / "one.csv") == 0
    with pytest.raises(DataError, match=r"\*\.tif: no file fits this pattern"):
        predicted(workdir, pictures / "*.tif")


def test_a_page_is_written_beside_the_table(workdir, data_dir, pictures, tmp_path):
    some = sorted(pictures.iterdir())[:2]
    words = ["--out", tmp_path / "few.csv", "--report", "--data_dir", data_dir]
    assert predicted(workdir, *some, *words) == 0
    page = (tmp_path / "few-page" / "index.html").read_text()
    assert page.count("<img") >= 4  # each with its heat map
    assert len(rows_of(tmp_path / "few.csv")) == 2
    with pytest.raises(
        ConfigError, match="--report shows what one network looks at, and 2 are given"
    ):
        predicted(workdir, "--workdir", workdir, *some, "--report")
