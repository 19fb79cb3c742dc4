"""Builds whose work Apache Beam distributes: the same bytes as without, whatever the runner."""

import csv
import re
import shutil
import socket
import subprocess
import sys

import apache_beam
import numpy as np
import pytest
import tensorflow_datasets as tfds
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability import prism_runner
from collection import collection_dataset_builder
from PIL import Image
from processes import kill_while_cleaning, slow_cleaning, times_of, wait_for
from tqdm import tqdm

from artjax.errors import DataError
from artjax.prepare import beam_runner, cleaning, picture_decoding
from artjax.prepare.beam_runner import without_download
from artjax.prepare.catalogue import Work
from artjax.prepare.cleaning import clean_works

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def museum(tmp_path_factory):
    """80 works: two near-duplicates, one missing, two broken, one of a class that is too small."""
    folder = tmp_path_factory.mktemp("museum")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(80):
        noise = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
        noise.resize((80, 60), Image.Resampling.BICUBIC).save(folder / f"{i:02d}.png")
        rows.append([f"{i:02d}.png", ("Ada", "Bö")[i % 2], f"Work {i}"])
    shutil.copyfile(folder / "00.png", folder / "40.png")
    (folder / "07.png").write_text("no picture")
    (folder / "33.png").write_bytes((folder / "33.png").read_bytes()[:200])
    (folder / "50.png").unlink()
    rows[60][1] = "Cy"
    with (folder / "works.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "artist", "title"], *rows])
    return folder


def build(data_dir, manual_dir, runner=None, **options):
    builder = collection_dataset_builder.Builder(data_dir=data_dir)
    beam = PipelineOptions.from_dictionary(options) if options else None
    settings = tfds.download.DownloadConfig(
        manual_dir=manual_dir, beam_runner=runner, beam_options=beam
    )
    builder.download_and_prepare(download_config=settings)
    return files_of(data_dir)


def files_of(data_dir):
    folder = data_dir / "collection" / "works" / "2.0.0"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def without_beam(museum, tmp_path_factory):
    files = build(tmp_path_factory.mktemp("data"), museum)
    assert files["skipped.csv"].count(b"\n") == 5
    assert files["near_duplicates.csv"].count(b"\n") == 2
    return files


def test_a_killed_build_is_continued_in_another_process(
    museum, without_beam, tmp_path, monkeypatch
):
    folder = tmp_path / "collection" / "works" / "cleaned.2.0.0"
    slow = slow_cleaning(museum, folder, '{"beam": ["FnApiRunner", null]}')
    kill_while_cleaning(slow, folder, pictures=5)
    left, at_the_end, remove = times_of(folder), {}, shutil.rmtree

    def watched(path, **options):
        if path == folder:
            at_the_end.update(times_of(folder))
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", watched)
    another = {"direct_running_mode": "multi_processing", "direct_num_workers": 1}
    assert build(tmp_path, museum, "FnApiRunner", **another) == without_beam
    assert 5 <= len(left) < len(at_the_end) == 77
    assert left.items() <= at_the_end.items()
    assert not folder.exists()


@pytest.fixture
def job_service(tmp_path):
    """The port of a job service of Beam's own, as a cluster has one."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main"]
    with (tmp_path / "service.log").open("w") as log:
        service = subprocess.Popen([*command, "-p", str(port)], stdout=log, stderr=log)
    try:

        def listens():
            assert service.poll() is None, (tmp_path / "service.log").read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("localhost", port)) == 0

        wait_for(listens)
        yield port
    finally:
        service.terminate()
        service.wait(30)


def test_through_a_job_service_the_bytes_are_the_same(museum, without_beam, tmp_path, job_service):
    service = {"job_endpoint": f"localhost:{job_service}", "environment_type": "LOOPBACK"}
    assert build(tmp_path / "data", museum, "PortableRunner", **service) == without_beam


def test_no_program_is_downloaded(museum, without_beam, tmp_path, monkeypatch):
    """What Beam calls `DirectRunner` begins with a download, and goes on without where that fails."""
    started = []
    monkeypatch.setattr(prism_runner.PrismRunner, "__init__", lambda *_: started.append("prism"))
    assert build(tmp_path, museum, "DirectRunner") == without_beam
    assert not started


@pytest.mark.parametrize(
    ("runner", "named", "given", "then"),
    [
        (None, None, "FnApiRunner", None),
        ("direct", "", "FnApiRunner", "FnApiRunner"),
        (None, "", None, "FnApiRunner"),
        (None, "apache_beam.runners.DirectRunner", None, "FnApiRunner"),
        (None, "FlinkRunner", None, "FlinkRunner"),
        ("PortableRunner", None, "PortableRunner", None),
    ],
)
def test_only_the_runner_that_downloads_is_replaced(runner, named, given, then):
    options = None
    if named is not None:
        options = PipelineOptions.from_dictionary({"runner": named} if named else {})
    assert without_download(runner, options) == given
    assert options is None or options.view_as(StandardOptions).runner == then


def test_progress_is_counted_by_the_pictures_that_are_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(beam_runner, "_SECONDS", 0.01)
    monkeypatch.setattr(
        beam_runner, "tqdm", lambda **options: tqdm(**options | {"delay": 0, "mininterval": 0})
    )
    with beam_runner.counted(tmp_path, 4):
        for name in ("a.jpg", "b.jpg", "c.txt"):
            (tmp_path / name).touch()
        wait_for(lambda: "2/4" in capsys.readouterr().err)
    assert "4/4" in capsys.readouterr().err


def make_works(folder, count):
    return [Work(f"{i:02d}.png", {}, folder / f"{i:02d}.png") for i in range(count)]


def test_a_decoder_that_fails_in_an_unforeseen_way_costs_one_picture(museum, tmp_path, monkeypatch):
    oriented = picture_decoding._oriented

    def failing(picture, original):
        if original.filename.endswith("03.png"):
            raise RuntimeError("unforeseen")
        return oriented(picture, original)

    monkeypatch.setattr(picture_decoding, "_oriented", failing)
    cleaned = clean_works(make_works(museum, 6), tmp_path, 512, beam=("FnApiRunner", None))
    assert [c.problem for c in cleaned if c.problem] == [
        "cannot be decoded (RuntimeError: unforeseen)"
    ]


def says(works, folder):
    with pytest.raises(DataError) as caught:
        clean_works(works, folder, 512, beam=("FnApiRunner", None))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_workers_that_do_not_see_the_pictures_are_one_line(museum, tmp_path, monkeypatch):
    def elsewhere(path):
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(picture_decoding, "upright_size", elsewhere)
    said = says(make_works(museum, 3), tmp_path)
    assert f"workers of Apache Beam do not see {museum / '00.png'}" in said
    assert "on a disk that all of them share" in said


def test_workers_with_a_data_dir_of_their_own_are_one_line(museum, tmp_path, monkeypatch):
    write, local = apache_beam.io.WriteToText, tmp_path / "their own disk"
    monkeypatch.setattr(apache_beam.io, "WriteToText", lambda path: write(f"{local}{path}"))
    assert f"do not see {tmp_path / 'cleaned'};" in says(
        make_works(museum, 3), tmp_path / "cleaned"
    )


def test_cleaned_pictures_that_are_not_where_they_should_be_are_one_line(
    museum, tmp_path, monkeypatch
):
    monkeypatch.setattr(cleaning, "_write_whole", lambda path, data: None)
    assert f"do not see {tmp_path};" in says(make_works(museum, 3), tmp_path)


def test_a_full_disk_ends_the_build_and_skips_no_picture(museum, tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cleaning, "_write_whole", full)
    said = says(make_works(museum, 3), tmp_path)
    assert re.search(r"on Apache Beam's worker .*: cannot keep .*\.jpg: No space left", said)
