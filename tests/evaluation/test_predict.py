import csv
from functools import partial

import jax
import numpy as np
import pytest
from guesses import predict
from tiny import ARTISTS, stripes, tiny_config

from artjax import command_line as launch
from artjax.errors import DataError
from artjax.evaluation.embeddings import unit
from artjax.evaluation.predict import answers_of, batch_of, judges_of
from artjax.places import Places
from artjax.prepare.seeing import see_all
from artjax.runs import Run
from artjax.train import train

pytestmark = pytest.mark.slow


narrow_config = partial(tiny_config, model__name="narrow_bn")


@pytest.fixture(scope="module")
def workdir(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(narrow_config(steps=30), Places(folder, data_dir), devices=jax.devices()[:1])
    return folder


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(7)
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for i in range(9):
        stripes(i % 3, rng).save(folder / ("deep" if i % 2 else "") / f"{ARTISTS[i % 3]}-{i}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_folder_is_predicted_and_written(workdir, pictures):
    result = predict([Run.load(workdir)], [pictures])
    assert [(path.name, reason) for path, reason in result.unusable] == [
        ("notes.txt", "not a picture in any known format")
    ]
    best = {guess.path.name: guess.label for guess in result.guesses if guess.rank == 1}
    assert len(best) == 9
    assert sum(name.startswith(label) for name, label in best.items()) >= 8
    for path in {guess.path for guess in result.guesses}:
        own = [guess.probability for guess in result.guesses if guess.path == path]
        assert own == sorted(own, reverse=True)
        assert sum(own) == pytest.approx(1)  # of three classes all are shown


@pytest.mark.slow
def test_prediction_of_a_file_equals_its_evaluation(workdir, data_dir, tmp_path):
    """Predict computes the same pixels as the builder and the canvases."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(data_dir / "tiny" / "1.0.0"))
    dataset = builder.as_dataset(split="test", decoders={"image": tfds.decode.SkipDecoding()})
    with (workdir / "evaluation" / "test" / "predictions.csv").open() as file:
        evaluated = {row["file_name"]: row for row in csv.DictReader(file)}
    for work in list(tfds.as_numpy(dataset))[:5]:
        path = tmp_path / "work.jpg"
        path.write_bytes(work["image"])
        row = evaluated[work["file_name"].decode()]
        guess = predict([Run.load(workdir)], [path]).guesses[0]
        # The builder's JPEG is encoded again here, which changes pixels by a level or two.
        assert guess.label == row["predicted"]
        assert guess.probability == pytest.approx(float(row["probability"]), abs=0.05)


def test_many_images_are_predicted_in_several_batches(workdir, tmp_path):
    rng = np.random.default_rng(1)
    for i in range(70):
        stripes(i % 3, rng).save(tmp_path / f"{i:02d}.png")
    together = [g for g in predict([Run.load(workdir)], [tmp_path]).guesses if g.rank == 1]
    assert len({guess.path for guess in together}) == 70
    alone = predict([Run.load(workdir)], [tmp_path / "69.png"]).guesses[0]
    same = next(guess for guess in together if guess.path.name == "69.png")
    assert alone.label == same.label
    assert alone.probability == pytest.approx(same.probability, abs=1e-3)


def test_an_unusable_path_is_one_line(workdir, pictures, tmp_path):
    def of(path):
        launch.main(["--workdir", str(workdir), "--mode", "predict", str(path)])

    with pytest.raises(DataError, match=r"notes.txt is not a usable image: not a picture"):
        of(pictures / "notes.txt")
    with pytest.raises(
        DataError, match=r"nowhere.jpg is not a usable image: no such file or folder"
    ):
        of(tmp_path / "nowhere.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no files"):
        of(tmp_path / "empty")


def test_distances_and_answers_of_one_program_are_those_of_two(workdir, pictures):
    """The trunk is computed once for both, and probabilities keep their bits."""
    run = Run.load(workdir, devices=jax.devices()[:1])
    seen = list(see_all(sorted(pictures.glob("*.png")), run.record.short_side_px, [40]))
    batch = batch_of(run, seen)
    logits, outputs = run.network.logits_and_trunk_outputs(run.variables, batch)
    for task, alone in run.network.logits(run.variables, batch).items():
        np.testing.assert_array_equal(logits[task], alone)
    alone = run.network.trunk_outputs(run.variables, batch)
    np.testing.assert_allclose(outputs, np.asarray(alone), rtol=2e-3, atol=2e-3)
    (judge,) = judges_of([run])
    assert judge.reliability.farthest is not None
    answers = answers_of([run], seen, [judge])
    of_alone = judge.reliability.unlikeness(unit(np.asarray(alone))[: len(seen)])
    np.testing.assert_allclose(answers.unlikeness, of_alone, rtol=0.01, atol=0.01)
