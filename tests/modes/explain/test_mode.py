"""`--mode explain`: pages that hold together, lose nothing, and replace nothing else."""

import json
import shutil
from functools import partial

import jax
import numpy as np
import pytest
from PIL import Image
from tiny import ARTISTS, stripes, tiny_config

from artjax.command_line import main
from artjax.errors import ConfigError, DataError
from artjax.evaluation.alike import nearest_works
from artjax.modes.explain import classes, looked_at
from artjax.places import Places
from artjax.prepare.seeing import see
from artjax.runs import Run
from artjax.train import train

pytestmark = pytest.mark.slow
narrow_config = partial(tiny_config, model__name="narrow_bn", image_size=32)


@pytest.fixture(scope="module")
def workdir(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(narrow_config(steps=20), Places(folder, data_dir), devices=jax.devices()[:1])
    return folder


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        stripes(i, np.random.default_rng(i)).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def explained(workdir, *words):
    return main(["--workdir", str(workdir), "--mode", "explain", *map(str, words)])


def test_files_are_explained_and_an_unreadable_one_is_one_line(workdir, pictures, tmp_path, capsys):
    out = tmp_path / "page"
    assert explained(workdir, pictures, "--out", out) == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].endswith(
        "broken.png: not a usable image: not a picture in any known format"
    )
    assert "3 pictures explained" in said.out
    assert "Grad-CAM: stage3" in said.out
    text = (out / "index.html").read_text()
    for i in range(3):
        assert f"{pictures / f'{i}.png'}" in text
    # Every picture that the page names is there, and the maps have the proportions of their pictures.
    sources = [words.split('"')[0] for words in text.split('src="')[1:]]
    assert len(sources) == 3 * (3 + 5)
    for source in sources:
        assert (out / source).is_file()
    for i in range(3):
        with Image.open(pictures / f"{i}.png") as picture:
            aspect = picture.width / picture.height
        for method in ("gradcam", "integrated_gradients"):
            with Image.open(out / "heat" / f"{i:05d}-0-{method}.jpg") as laid:
                assert laid.width / laid.height == pytest.approx(aspect, abs=0.02)
    # A file that was named by itself decides the status; the others are explained all the same.
    assert explained(workdir, pictures, pictures / "broken.png", "--out", out) == 2
    with pytest.raises(DataError, match=r"broken.png is not a usable image"):
        explained(workdir, pictures / "broken.png", "--out", out)
    assert (out / "index.html").read_text().count("<section") == 3  # the page before stays


def test_works_of_a_split_have_their_labels_and_are_not_their_own_neighbours(workdir, tmp_path):
    out = tmp_path / "page"
    assert (
        explained(workdir, "--split", "train", "--works", "4", "--neighbours", "2", "--out", out)
        == 0
    )
    text = (out / "index.html").read_text()
    assert text.count("<section") == 4
    assert text.count("(right)") + text.count("(wrong)") == 4
    for section in text.split("<section")[1:]:
        own = section.split("<h2>")[1].split("<small>")[1].split("</small>")[0]
        near = section.split("Nearest works of train")[1]
        assert near.count("<figure") == 2
        assert own not in near


def test_the_nearest_works_of_a_work_of_train_begin_with_itself(workdir, data_dir, tmp_path):
    run = Run.load(workdir)
    stripes(1, np.random.default_rng(3)).save(tmp_path / "a.png")
    seen = see(tmp_path / "a.png", run.record.short_side_px, [40])
    (near,) = nearest_works(run, [seen], 60)
    assert len(near) == 60
    assert [one.similarity for one in near] == sorted((n.similarity for n in near), reverse=True)
    assert {one.labels["artist"] for one in near} == set(ARTISTS)
    # Painters differ in the direction of stripes: most of the nearest have the same.
    assert sum(one.labels["artist"] == "bo" for one in near[:10]) >= 6


def test_classes_are_drawn_and_ctrl_c_leaves_those_that_are_done(workdir, tmp_path, monkeypatch):
    monkeypatch.setattr(classes, "AT_ONCE", 2)
    draw = partial(classes.class_pictures, steps=2)
    calls = []

    def interrupted(run, numbers, **options):
        calls.append(numbers)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return draw(run, numbers, **options)

    monkeypatch.setattr(classes, "class_pictures", interrupted)
    out = tmp_path / "page"
    assert explained(workdir, "--class_pictures", "--out", out) == 130
    assert (out / "index.html").read_text().count("<figure") == 2
    monkeypatch.setattr(classes, "class_pictures", draw)
    assert explained(workdir, "--class_pictures", "--out", out) == 0
    text = (out / "index.html").read_text()
    assert text.count("<figure") == 3
    for artist in ARTISTS:
        assert f"picture of the class {artist}" in text


def test_ctrl_c_leaves_the_pictures_that_are_explained(workdir, pictures, tmp_path, monkeypatch):
    of_two, calls = looked_at.heat_maps, []

    def interrupted(*given, **options):
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return of_two(*given, **options)

    monkeypatch.setattr(looked_at, "heat_maps", interrupted)
    monkeypatch.setattr(looked_at, "_AT_ONCE", 1)
    out = tmp_path / "page"
    assert explained(workdir, pictures, "--neighbours", "0", "--out", out) == 130
    assert (out / "index.html").read_text().count("<section") == 1


def test_a_map_has_all_works_of_a_split(workdir, tmp_path):
    out = tmp_path / "page"
    assert explained(workdir, "--map", "--split", "test", "--out", out) == 0
    with Image.open(out / "map.png") as sheet:
        assert sheet.size == (2000, 2000)
        colours = sheet.convert("RGB").getcolors(2**24)
    assert len(colours) > 1000
    assert "19 works of test" in (out / "index.html").read_text()
    before = (out / "map.png").read_bytes()
    assert explained(workdir, "--map", "--split", "test", "--out", out) == 0
    assert (out / "map.png").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.png", "--split", "test"], "--split and pictures are two pages"),
        (["--map", "--class_pictures"], "--class_pictures and --map are two pages"),
        (["a.png", "--map"], "--map is of the works of a split"),
        (["a.png", "b.png", "--class_pictures"], "--class_pictures begins with one picture"),
        (["--works", "0"], "--works 0: it must be 1 or more"),
        (["--neighbours", "-1"], "--neighbours -1: it must be 0 or more"),
        (["--split", "tset"], "--split tset: valid are"),
    ],
)
def test_what_does_not_go_together_is_one_line(workdir, words, said):
    with pytest.raises(ConfigError, match=said):
        explained(workdir, *words)


def test_a_folder_of_somebody_else_is_not_replaced(workdir, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="is not a page that this mode has written"):
        explained(workdir, "--map", "--out", tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_several_networks_are_refused(workdir, tmp_path):
    folds = tmp_path / "folds"
    for fold in range(2):
        shutil.copytree(workdir, folds / f"fold{fold}")
    config = json.loads((workdir / "config.json").read_text()) | {"folds": 2}
    (folds / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="an explanation is that of one network"):
        explained(folds)
