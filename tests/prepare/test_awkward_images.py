"""A folder of odd and broken files, such as Pillow's own Tests/images, through the collection builder.

It does not travel with the project: give it as AWKWARD_IMAGES=FOLDER. The folder's `expected.csv` has a
row for each file: file, open, load (what Pillow makes of it: "ok", or "Error: message").
"""

import csv
import io
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from collection.collection_dataset_builder import Builder, CollectionConfig
from PIL import Image, ImageCms, ImageOps

from artjax.prepare import picture_decoding

FOLDER = os.environ.get("AWKWARD_IMAGES")

pytestmark = pytest.mark.skipif(not FOLDER, reason="AWKWARD_IMAGES=FOLDER names no folder")

# Mean absolute difference in levels of 255 for pictures that were scaled, since a decoder that scales
# stands between; those that were not are the same to the last bit.
TOLERANCE = 1.0
# What our reason says where the error's own words are not for users.
OUR_WORDS = {
    "UnidentifiedImageError": "not a picture in any known format",
    "DecompressionBombError": "pixels are more than the limit",
    "ValueError": "Decompressed data too large",
}


def rows():
    with (Path(FOLDER) / "expected.csv").open() as file:
        return list(csv.DictReader(file))


def oracle(path):
    """Upright sRGB by Pillow and ImageCms alone, at full size."""
    with Image.open(path) as image:
        image.load()
        profile = image.info.get("icc_profile")
        try:
            picture = ImageOps.exif_transpose(image)
        except Exception:  # EXIF data that cannot be read say nothing
            picture = image.copy()
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    if picture.mode == "I;16":
        samples = np.asarray(picture)
        # As docs/preparing.md says: what a scanner of 8, 10, 12 or 14 bits can have made is its.
        bits = next(bits for bits in (8, 10, 12, 14, 16) if samples.max() < 2**bits)
        picture = Image.fromarray((samples / (2**bits - 1) * 255).round().astype(np.uint8))
    if picture.mode not in ("L", "RGB", "CMYK", "LAB"):
        picture = picture.convert("RGB")
    if profile is None and picture.mode == "LAB":
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    elif profile is not None:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    else:
        return picture.convert("RGB")
    srgb = ImageCms.createProfile("sRGB")
    try:
        return ImageCms.profileToProfile(picture, source, srgb, outputMode="RGB")
    except ImageCms.PyCMSError:
        return picture.convert("RGB")


def scaled(picture):
    scale = picture_decoding.SHORT_SIDE_PX / min(picture.size)
    if scale >= 1:
        return picture, False
    size = [round(side * scale) for side in picture.size]
    return picture.resize(size, Image.Resampling.LANCZOS), True


def pixels(jpeg):
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image, np.float64)


def test_each_file_is_in_or_refused_with_its_reason(tmp_path):
    names = {}
    for number, row in enumerate(rows()):
        # The label is made up; class folders take files by their suffix, and one has none that counts.
        name = f"{('even', 'odd')[number % 2]}/{row['file'].replace('/', '-')}"
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to((Path(FOLDER) / row["file"]).resolve())
        names[name] = row
    config = CollectionConfig(name="awkward", label="genre", min_works=1)
    builder = Builder(data_dir=tmp_path / "data", config=config)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=tmp_path))
    with (Path(builder.data_dir) / "skipped.csv").open() as file:
        skipped = {row["file_name"]: row["reason"] for row in csv.DictReader(file)}
    skip = {"image": tfds.decode.SkipDecoding()}
    prepared = {
        work["file_name"].decode(): pixels(work["image"])
        for split in builder.info.splits
        for work in tfds.as_numpy(builder.as_dataset(split=split, decoders=skip))
    }
    assert prepared.keys() | skipped.keys() == names.keys()
    assert not prepared.keys() & skipped.keys()
    wrong = []
    for name, row in names.items():
        if row["load"] == "ok":
            truth, was_scaled = scaled(oracle(Path(FOLDER) / row["file"]))
            truth = pixels(picture_decoding.encode(np.asarray(truth)).jpeg)
            difference = np.inf
            if name in prepared and truth.shape == prepared[name].shape:
                difference = np.abs(prepared[name] - truth).mean()
            if difference > (TOLERANCE if was_scaled else 0):
                wrong.append((name, difference, skipped.get(name)))
            continue
        kind, _, message = (row["load"] or row["open"]).partition(": ")
        if OUR_WORDS.get(kind, message) not in skipped.get(name, ""):
            wrong.append((name, message, skipped.get(name)))
    assert not wrong
    # KiB on Linux; of the processes that cleaned, the largest.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 1_000_000
