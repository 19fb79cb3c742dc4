"""What `import artjax` offers to notebooks: as the command line does it, and writes it, and says it."""

import importlib
import json
import shutil
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import pytest
from absl import logging
from guesses import predict
from PIL import Image, ImageOps
from tiny import ARTISTS, SPLITS, stripes, tiny_config, write_museum

import artjax
from artjax.command_line import parse
from artjax.config import load_config_file
from artjax.errors import ConfigError, DataError, WorkdirError
from artjax.runs import Run

ONE = {"devices": jax.devices()[:1]}
narrow_config = partial(tiny_config, model__name="narrow_bn")


@pytest.fixture(scope="module")
def runs(data_dir, tmp_path_factory):
    """Two runs with the same classes, and other seeds and steps."""
    folder = tmp_path_factory.mktemp("runs")
    for name, steps, seed in (("first", 30, 0), ("second", 12, 1)):
        artjax.train(narrow_config(steps=steps, seed=seed), folder / name, data_dir, **ONE)
    return folder


@pytest.fixture(scope="module")
def loaded(runs):
    return artjax.load(runs / "first")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    rng = np.random.default_rng(7)
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(6):
        stripes(i % 3, rng).save(folder / f"{i}-{ARTISTS[i % 3]}.png")
    return folder


def in_a_new_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_it_imports_no_library():
    found = in_a_new_process(
        "import sys; before = set(sys.modules); import artjax; dir(artjax)\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names)))"
    )
    assert found == ["artjax"]


@pytest.mark.slow
def test_a_module_that_is_imported_does_not_take_the_name_of_a_function():
    found = in_a_new_process(
        "import artjax.train, artjax.prepare.catalogue, artjax\n"
        "from artjax.train import Outcome\n"
        "print(artjax.train.__module__, artjax.prepare.__module__, Outcome.__module__)"
    )
    assert found == ["artjax.api.training", "artjax.api.preparing", "artjax.train"]


def test_every_public_name_is_there_once_and_no_other():
    assert set(artjax.__all__) == {*artjax._HOMES, "errors"}
    assert dir(artjax) == sorted([*artjax.__all__, "__version__"])
    for name, home in artjax._HOMES.items():
        found = getattr(artjax, name)
        assert found.__module__ == f"artjax.api.{home}"
        assert found.__doc__
    with pytest.raises(AttributeError, match="module 'artjax' has no attribute 'lod'"):
        artjax.lod  # noqa: B018 (to look the name up is the test)
    with pytest.raises(artjax.errors.ConfigError):
        artjax.load([])


@pytest.mark.slow
def test_a_loaded_run_says_what_it_is(loaded, runs):
    assert loaded.tasks == ("artist",)
    assert loaded.classes == {"artist": ARTISTS}
    assert (loaded.collection, loaded.version) == ("tiny", "1.0.0")
    run = Run.load(runs / "first")
    assert (loaded.step, loaded.fingerprint) == (run.step, run.record.fingerprint)
    assert artjax.load(str(runs / "first"), "last").step == 30
    with pytest.raises(ConfigError, match="--checkpoint lst: valid are best, last"):
        artjax.load(runs / "first", "lst")
    with pytest.raises(WorkdirError, match="no checkpoint in"):
        artjax.load(runs / "third")


@pytest.mark.slow
def test_predictions_are_those_of_the_mode(loaded, runs, pictures):
    of_mode = predict([Run.load(runs / "first")], [pictures]).guesses
    found = loaded.predict(pictures)
    assert [one.picture for one in found] == sorted(pictures.iterdir())
    assert list(loaded.predict_each(pictures)) == found
    ours = [
        (one.picture, "artist", rank, *guess, one.unsure["artist"], one.unlikeness)
        for one in found
        for rank, guess in enumerate(one.ranked["artist"], start=1)
    ]
    assert ours == [tuple(guess) for guess in of_mode]
    assert [one.best["artist"] for one in found] == [ARTISTS[i % 3] for i in range(6)]
    first = found[0].ranked["artist"][0]
    said = f"{pictures / '0-ada.png'}: artist ada ({first.probability:.1%}"
    assert str(found[0]) == f"{said}, unsure)"  # 20 validation works cannot promise 5 %
    of_views = loaded.predict(pictures, views=5)
    assert of_views != found
    assert [tuple(g) for g in predict(loaded.runs, [pictures], 5).guesses] == [
        (one.picture, "artist", rank, *guess, None, one.unlikeness)
        for one in of_views
        for rank, guess in enumerate(one.ranked["artist"], start=1)
    ]


@pytest.mark.slow
def test_an_array_gives_what_its_file_gives(loaded, pictures):
    files = sorted(pictures.iterdir())[:3]
    of_files = [one.ranked for one in loaded.predict(list(map(str, files)))]
    arrays = [np.asarray(Image.open(file)) for file in files]
    for given in (arrays, [Image.open(file) for file in files], [files[0], *arrays[1:]]):
        assert [one.ranked for one in loaded.predict(given)] == of_files
    assert [one.picture for one in loaded.predict([files[0], *arrays[1:]])] == [files[0], 1, 2]
    (alone,) = loaded.predict(arrays[0])
    assert (alone.picture, alone.best) == (0, {"artist": "ada"})
    side = min(side for array in arrays for side in array.shape[:2])
    stacked = np.stack([array[:side, :side] for array in arrays])
    for_all = loaded.predict(stacked)
    assert [one.ranked for one in for_all] == [
        one.ranked for one in loaded.predict([array[:side, :side] for array in arrays])
    ]
    assert loaded.predict(jax.numpy.asarray(stacked)) == for_all
    names = np.array([str(file) for file in files], dtype=object)  # a column of a table
    assert [one.ranked for one in loaded.predict(names)] == of_files


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "LAB", "YCbCr", "HSV", "F"])
def test_an_image_of_any_mode_gives_what_its_file_gives(loaded, pictures, tmp_path, mode):
    image = Image.open(pictures / "1-bo.png")
    given = image.convert("L").convert(mode) if mode == "F" else image.convert(mode)
    (of_image,) = loaded.predict(given)
    lossless = given.convert("RGB") if mode in ("HSV", "YCbCr") else given
    lossless.save(tmp_path / "a.tiff")
    assert of_image.ranked == loaded.predict(tmp_path / "a.tiff")[0].ranked


@pytest.mark.slow
def test_an_image_is_not_compressed_as_its_file_was(loaded, pictures, tmp_path):
    picture = Image.open(pictures / "1-bo.png").convert("CMYK")
    picture.save(tmp_path / "lossy.tiff", compression="jpeg")
    lossy = Image.open(tmp_path / "lossy.tiff")
    assert loaded.predict(lossy)[0].ranked == loaded.predict(tmp_path / "lossy.tiff")[0].ranked


@pytest.mark.slow
def test_an_image_that_cannot_be_read_is_reported(loaded, pictures, tmp_path):
    whole = (pictures / "0-ada.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with Image.open(tmp_path / "half.png") as image:
        good, half = loaded.predict([pictures / "0-ada.png", image])
    assert good.usable
    assert (half.picture, half.ranked) == (1, {})
    assert half.reason.startswith("cannot be read (OSError: ")


@pytest.mark.slow
def test_damaged_exif_data_do_not_matter(loaded, pictures, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 1
    exif[0x011A] = "no number"  # the resolution, which cannot be written again
    image = Image.open(pictures / "0-ada.png")
    image.load()
    image._exif = exif
    assert loaded.predict(image)[0].ranked == loaded.predict(pictures / "0-ada.png")[0].ranked


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_an_image_keeps_its_orientation(loaded, pictures, tmp_path, suffix):
    upright = Image.open(pictures / "0-ada.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # the picture is shown turned by 90 degrees
    file = tmp_path / f"turned.{suffix}"
    upright.transpose(Image.Transpose.ROTATE_90).save(file, exif=exif)
    turned = Image.open(file)
    stored = np.asarray(upright.transpose(Image.Transpose.ROTATE_90))
    assert ImageOps.exif_transpose(turned).tobytes() == upright.tobytes()
    assert loaded.predict(Image.open(file))[0].ranked == loaded.predict(upright)[0].ranked
    assert loaded.predict(stored)[0].ranked != loaded.predict(upright)[0].ranked


@pytest.mark.slow
def test_unusable_pictures_are_reported_and_not_raised(loaded, pictures, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    good = pictures / "0-ada.png"
    found = loaded.predict([good, tmp_path / "nowhere.jpg", tmp_path, good])
    assert [(one.picture, one.reason, one.usable) for one in found] == [
        (good, "", True),
        (tmp_path / "nowhere.jpg", "no such file or folder", False),
        (tmp_path / "notes.txt", "not a picture in any known format", False),
        (good, "", True),
    ]
    assert [one.ranked for one in found] == [found[0].ranked, {}, {}, found[0].ranked]
    assert str(found[1]) == f"{tmp_path / 'nowhere.jpg'}: no such file or folder"
    with pytest.raises(DataError, match=r"notes.txt is not a usable image: not a picture in any"):
        loaded.predict(tmp_path)
    with pytest.raises(DataError, match=r"nowhere.jpg is not .*\(all 2 files are unusable\)"):
        loaded.predict([tmp_path / "nowhere.jpg", tmp_path])
    with pytest.raises(DataError, match=r"notes.txt is not a usable image: .*; leave it out"):
        loaded.features([good, tmp_path])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "no pictures were given"),
        (np.zeros((8, 8), np.uint8), r"not uint8 \[8, 8\]"),
        (np.zeros((8, 8, 4), np.uint8), r"not uint8 \[8, 8, 4\]"),
        (np.zeros((8, 8, 3)), r"not float64 \[8, 8, 3\]"),
        (np.zeros((2, 0, 8, 3), np.uint8), r"no pixels: its shape is \[2, 0, 8, 3\]"),
        (3, "not int"),
        ([b"x"], "not bytes"),
    ],
)
def test_what_is_no_picture_is_one_line(loaded, given, says):
    with pytest.raises(DataError, match=says) as caught:
        loaded.predict(given)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_predicting_needs_no_checkpoint_again_and_writes_nothing(runs, pictures, tmp_path):
    workdir = shutil.copytree(runs / "first", tmp_path / "run")
    once = artjax.load(workdir)
    before = once.predict(pictures)
    shutil.rmtree(workdir)
    assert once.predict(pictures) == before
    assert once.features(pictures).shape[0] == 6
    assert not workdir.exists()


@pytest.mark.slow
def test_several_workdirs_are_the_mean(loaded, runs, pictures):
    both = artjax.load([runs / "first", str(runs / "second")])
    other = artjax.load(runs / "second")
    assert (both.step, both.collection) == (None, "tiny")
    for one, first, second in zip(
        *(network.predict(pictures) for network in (both, loaded, other)), strict=True
    ):
        for label, probability in one.ranked["artist"]:
            mean = (dict(first.ranked["artist"])[label] + dict(second.ranked["artist"])[label]) / 2
            assert probability == pytest.approx(mean, abs=1e-6)
    assert [member["checkpoint_step"] for member in both.evaluate()["members"]] == [
        loaded.step,
        other.step,
    ]
    with pytest.raises(ConfigError, match="features are those of one network, and 2 are loaded"):
        both.features(pictures)


@pytest.mark.slow
def test_evaluating_gives_and_writes_what_training_wrote(loaded, runs, data_dir, tmp_path):
    file = runs / "first" / "evaluation" / "test" / "metrics.json"
    written = json.loads(file.read_text())
    file.unlink()
    assert loaded.evaluate() == written == json.loads(file.read_text())
    assert loaded.evaluate(views=5)["views"] == 5
    assert loaded.evaluate("validation")["tasks"]["artist"]["n"] == SPLITS["validation"]
    with pytest.raises(ConfigError, match=r"--split tst: .*did you mean test"):
        loaded.evaluate("tst")
    with pytest.raises(DataError, match="no prepared data set 'tiny'"):
        loaded.evaluate(data_dir=tmp_path)
    moved = shutil.copytree(data_dir / "tiny", tmp_path / "tiny").parent
    assert loaded.evaluate(data_dir=moved, canvas_dir=tmp_path / "canvases") == written


@pytest.mark.slow
def test_the_head_on_the_features_gives_the_probabilities(loaded, pictures):
    features = loaded.features(pictures)
    assert features.dtype == np.float32
    head = loaded.runs[0].variables["params"]["head_artist"]
    assert features.shape == (6, head["kernel"].shape[0])
    logits = features @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for one, row in zip(loaded.predict(pictures), shares, strict=True):
        found = dict(one.ranked["artist"])
        np.testing.assert_allclose([found[name] for name in ARTISTS], row, atol=2e-3)


@pytest.mark.slow
def test_folds_are_trained_and_are_one_network(data_dir, tmp_path, pictures):
    config = narrow_config(folds=2, steps=8, eval_every=4, log_every=4)
    before = config.to_json()
    outcome = artjax.train(config, tmp_path, data_dir, **ONE)
    assert config.to_json() == before
    assert list(outcome.results) == ["folds"]
    folds = artjax.load(tmp_path)
    assert [run.workdir.name for run in folds.runs] == ["fold0", "fold1"]
    assert folds.evaluate()["tasks"]["artist"]["n"] == sum(SPLITS.values())
    with pytest.raises(ConfigError, match="is a cross-validation, which tests all works"):
        folds.evaluate("train")
    of_one = [artjax.load(tmp_path / f"fold{fold}").predict(pictures)[0] for fold in (0, 1)]
    mean = sum(dict(one.ranked["artist"])["ada"] for one in of_one) / 2
    (found,) = folds.predict(pictures / "0-ada.png")
    assert dict(found.ranked["artist"])["ada"] == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize(
    ("given", "typed"),
    [
        ({}, ["--config", "configs/artist.py:wga"]),
        ({"recipe": "style"}, ["--config", "configs/style.py:wga"]),
        (
            {"task": ("style", "genre"), "settings": {"epochs": 3, "augment.flip": False}},
            [
                *("--config", "configs/artist.py:wga", "--config.task=style,genre"),
                *("--config.epochs=3", "--config.augment.flip=false"),
            ],
        ),
        ({"task": "style"}, ["--config", "configs/artist.py:wga", "--config.task=style"]),
    ],
)
def test_the_configuration_is_that_of_the_command_line(given, typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert artjax.default_config("wga", **given).to_dict() == parse(typed).config().to_dict()


def test_without_a_name_the_collection_is_chosen_and_said(tmp_path, capsys):
    assert artjax.default_config(data_dir=tmp_path).collection == "studio"
    assert f"because wikiart is not prepared with artist in {tmp_path}" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"no config file configs/artst\.py"):
        artjax.default_config("wga", recipe="artst")
    with pytest.raises(ConfigError, match=r"field --config\.epoch; did you mean epochs"):
        artjax.default_config("wga", settings={"epoch": 3})


def test_another_package_called_configs_does_not_win(tmp_path, monkeypatch, pytestconfig):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "__init__.py").write_text("")
    (tmp_path / "configs" / "common.py").write_text("theirs = True")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("configs", "configs.common"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    path = list(sys.path)
    for imported in (False, True):
        if imported:
            assert importlib.import_module("configs.common").theirs
        there = {name: sys.modules.get(name) for name in ("configs", "configs.common")}
        config = load_config_file(pytestconfig.rootpath / "configs" / "artist.py", "collection")
        assert config.optim.peak_lr == 0.05  # of configs/common.py
        assert {name: sys.modules.get(name) for name in there} == there
    assert sys.path == path


def test_a_recipe_of_ones_own_may_use_those_of_artjax(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "ours.py").write_text("epochs = 7.0")
    for folder in (tmp_path / "configs", tmp_path / "museum"):
        folder.mkdir(exist_ok=True)
        (folder / "mine.py").write_text(
            "from configs import common, ours\n"
            "def get_config(collection):\n"
            "    config = common.get_config(collection)\n"
            "    config.epochs = ours.epochs\n"
            "    return config\n"
        )
        config = artjax.default_config("collection", recipe=str(folder / "mine.py"))
        assert (config.epochs, config.optim.peak_lr) == (7.0, 0.05)


@pytest.fixture(scope="module")
def museum(tmp_path_factory):
    folder = tmp_path_factory.mktemp("museum")
    write_museum(folder)
    (folder / ARTISTS[0] / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.mark.slow
def test_preparing_builds_what_tfds_builds_and_says_what_to_use_next(museum, tmp_path):
    from collection.collection_dataset_builder import Builder

    from artjax.data import prepared

    hook, level = sys.excepthook, logging.get_verbosity()
    with pytest.raises(DataError, match=r"no works\.csv in .*config=artist"):
        artjax.prepare(museum, tmp_path / "ours")
    assert (sys.excepthook, logging.get_verbosity()) == (hook, level)
    ours = artjax.prepare(museum, tmp_path / "ours", "artist")
    assert (ours.collection, ours.data_dir) == ("collection/artist", tmp_path / "ours")
    assert sum(ours.works.values()) == 30
    assert ours.classes["artist"] == ARTISTS
    assert "broken.jpg" in ours.reports["skipped.csv"].read_text()
    import tensorflow_datasets as tfds

    theirs = Builder(config="artist", data_dir=tmp_path / "theirs")
    theirs.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=museum))
    for file in ours.directory.iterdir():
        assert (
            file.read_bytes()
            == (tmp_path / "theirs/collection/artist/2.0.0" / file.name).read_bytes()
        )
    config = artjax.default_config(ours.collection)
    found = prepared.find(config.collection, config.task, ours.data_dir)
    assert (found.directory, found.version) == (ours.directory, ours.version)


@pytest.mark.slow
def test_settings_of_the_builder_have_a_name_of_their_own(museum, tmp_path):
    few = {"name": "few", "label": "artist", "min_works": 11}
    with pytest.raises(DataError):  # no artist has so many
        artjax.prepare(museum, tmp_path, few)
    few["min_works"] = 2
    assert artjax.prepare(museum, tmp_path, few).collection == "collection/few"
    described = tmp_path / "collection/few/2.0.0/dataset_info.json"
    written = described.stat().st_mtime_ns
    artjax.prepare(museum, tmp_path, few)
    assert described.stat().st_mtime_ns == written
    artjax.prepare(museum, tmp_path, few, overwrite=True)
    assert described.stat().st_mtime_ns > written


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (
            {"collection": "wikart"},
            ConfigError,
            "unknown collection 'wikart'.*did you mean wikiart",
        ),
        ({"collection": "wikiart"}, ConfigError, "several configs: artist, genre, style; name one"),
        ({"config": "artst"}, ConfigError, "config=artst: collection has .*did you mean artist"),
        ({"config": {"nme": "x"}}, ConfigError, "config: no setting 'nme'; did you mean name"),
        ({"config": "{"}, ConfigError, "is not valid JSON"),
        ({"folder": "nowhere"}, DataError, "nowhere, does not exist"),
        ({"folder": None}, ConfigError, "'collection' needs the folder with its pictures"),
        ({"collection": "studio"}, ConfigError, "'studio' draws its own pictures"),
        ({"collection": "studio", "folder": None, "config": "x"}, ConfigError, "has no configs"),
    ],
)
def test_what_cannot_be_prepared_is_one_line(given, error, says, museum, tmp_path):
    with pytest.raises(error, match=says) as caught:
        artjax.prepare(**{"folder": museum, "data_dir": tmp_path, **given})
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_collection_is_built_whatever_else_has_its_name(tmp_path, museum):
    """TFDS would import the package `collection`, which may be another one."""
    code = (
        "import sys, types, artjax\n"
        "sys.modules['collection'] = types.ModuleType('collection')\n"
        "found = artjax.prepare(sys.argv[1], sys.argv[2], 'artist')\n"
        "print(found.directory)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, museum, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    described = json.loads((tmp_path / "collection/artist/2.0.0/dataset_info.json").read_text())
    assert described["moduleName"] == "collection.collection_dataset_builder"
    assert described["description"].startswith("Anybody's own pictures.")  # its README.md


@pytest.mark.slow
def test_explained_pictures_are_the_pictures_with_heat(loaded, pictures, runs):
    file = sorted(pictures.iterdir())[0]
    (laid,) = loaded.explain(file)
    with Image.open(file) as picture:
        assert laid.size == picture.size
        # Somewhere it is coloured by the map.
        changed = np.abs(np.asarray(laid, int) - np.asarray(picture.convert("RGB"), int)).max()
    assert changed > 60
    with pytest.raises(ConfigError, match="heat maps are those of one network, and 2 are loaded"):
        artjax.load([runs / "first", runs / "second"]).explain(file)
    with pytest.raises(DataError, match=r"nowhere.png is not a usable image: no such file"):
        loaded.explain([file, pictures / "nowhere.png"])
