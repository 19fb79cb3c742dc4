import csv

import jax
import numpy as np
import pytest
from drawn import detail, drawn
from html_page import Page
from PIL import ImageOps
from tiny import encoded, store, tiny_config

from artjax.evaluation import copies, embeddings, evaluate, report, train_embeddings
from artjax.evaluation.copies import _extracted as extracted
from artjax.places import Places
from artjax.runs import open_run
from artjax.train import train

COPIED = {
    1: detail,
    4: lambda p: ImageOps.mirror(detail(p)),
}  # by test work, of the train work after it


def example(name, number, picture):
    return {
        "image": encoded(picture),
        "artist": number % 2,
        "file_name": f"{name}/{number}.jpg",
        "work_id": f"{name}/{number}",
    }


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run whose test split has two details of train works among six."""
    data_dir = tmp_path_factory.mktemp("copied")
    pictures = {
        "train": [drawn(i) for i in range(12)],
        "validation": [drawn(100 + i) for i in range(4)],
        "test": [COPIED[i](drawn(i + 1)) if i in COPIED else drawn(200 + i) for i in range(6)],
    }
    splits = {
        name: [example(name, i, picture) for i, picture in enumerate(of)]
        for name, of in pictures.items()
    }
    store(data_dir, "copied", {"artist": ("ada", "bo")}, splits)
    folder = tmp_path_factory.mktemp("run")
    config = tiny_config(
        collection="copied",
        model__name="narrow",
        canvas_size=128,
        steps=2,
        eval_every=2,
        batch_size=4,
    )
    train(config, Places(folder, data_dir), devices=jax.devices()[:1])
    return folder


def table(workdir):
    with (workdir / "evaluation" / "test" / "copies.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("looked_up", [20_000, 0])
def test_copies_of_train_works_are_counted_and_left_out(workdir, looked_up, monkeypatch):
    monkeypatch.setattr(copies, "MOST_LOOKED_UP", looked_up)
    monkeypatch.setattr(copies, "NEAREST", 5 if looked_up else 12)
    result = evaluate.evaluate_workdir(workdir, "test")
    assert result["copies"] == {"pairs": 2, "works": 2}
    pairs = {(row["file_name"], row["train_file_name"]) for row in table(workdir)}
    assert pairs == {(f"test/{i}.jpg", f"train/{i + 1}.jpg") for i in COPIED}
    task = result["tasks"]["artist"]
    assert (task["n"], task["n_without_copies"]) == (6, 4)
    with (workdir / "evaluation" / "test" / "predictions.csv").open() as file:
        right = [row["label"] == row["predicted"] for row in csv.DictReader(file)]
    left = [r for i, r in enumerate(right) if i not in COPIED]
    assert task["top1_without_copies"] == pytest.approx(sum(left) / 4)
    said = "\n".join(report.report_lines(result))
    assert (
        f"without the 2 that look like a copy or a detail of a train work, top-1 {sum(left) / 4:.1%}"
        in said
    )
    assert "warning: 2 test works look like a copy or a detail of a train work" in said


def test_the_same_works_are_compared_once(workdir, monkeypatch):
    first = evaluate.evaluate_workdir(workdir, "test")["copies"]
    before = table(workdir)
    with monkeypatch.context() as patch:
        patch.setattr(copies, "_compared", None)  # calling it fails
        assert evaluate.evaluate_workdir(workdir, "test")["copies"] == first
    assert table(workdir) == before
    # Other train works are compared again, and only those that are new are looked at.
    opened = open_run(workdir)
    test, train = (opened.data.split(name, {"artist": "artist"}) for name in ("test", "train"))
    points = train_embeddings.of_works(opened, test)
    copies._remembered.of(opened.data).clear()
    looked = []
    monkeypatch.setattr(
        copies, "_extracted", lambda split, rows: looked.extend(rows) or extracted(split, rows)
    )
    for rows, new in ((range(3), 9), (range(3), 0), (range(6), 3)):
        looked.clear()
        some = train.only(np.asarray(rows))
        found = {pair.train_file_name for pair in copies.find_copies(opened, (test, points), some)}
        assert found == {f"train/{i + 1}.jpg" for i in COPIED} & set(some.file_names.tolist())
        assert len(looked) == new


def test_pairs_are_shown_side_by_side_without_a_network(workdir):
    evaluate.evaluate_workdir(workdir, "test")
    folder = workdir / "evaluation" / "test" / "copies"
    page = Page(folder / "index.html")
    assert len(page.sources) == 4
    assert all((folder / source).is_file() for source in page.sources)
    assert all(page.alternatives)
    assert page.tags.isdisjoint(("script", "link", "iframe"))
    text = "".join(page.text)
    assert "test/1.jpg (test)" in text
    assert "train/2.jpg (train)" in text


def test_similarity_is_that_of_the_embeddings(workdir):
    evaluate.evaluate_workdir(workdir, "test")
    opened = evaluate.open_run(workdir, "best")
    splits = [opened.data.split(name, {"artist": "artist"}) for name in ("test", "train")]
    test, trained = (
        dict(
            zip(
                split.file_names,
                embeddings.embed(opened.run.network, opened.run.variables, split),
                strict=True,
            )
        )
        for split in splits
    )
    for row in table(workdir):
        cosine = test[row["file_name"]] @ trained[row["train_file_name"]]
        assert float(row["similarity"]) == pytest.approx(cosine, abs=1e-3)


def test_without_opencv_one_line_says_that_copies_are_not_known(workdir, monkeypatch):
    monkeypatch.setattr(copies, "available", lambda: False)
    result = evaluate.evaluate_workdir(workdir, "test")
    assert result["copies"] is None
    assert result["tasks"]["artist"]["top1_without_copies"] is None
    said = report.report_lines(result)
    assert sum("OpenCV is not installed" in line for line in said) == 1
    folder = workdir / "evaluation" / "test"
    assert not (folder / "copies.csv").exists()
    assert not (folder / "copies").exists()  # what an earlier evaluation found


def test_works_of_other_splits_are_not_looked_for(workdir):
    assert "copies" not in evaluate.evaluate_workdir(workdir, "validation")
