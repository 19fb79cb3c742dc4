"""What is read of a file and of its pixels, beside the painting."""

import numpy as np
import pytest
from PIL import Image, ImageCms
from sources import picture

from artjax.prepare.picture_decoding import clean
from artjax.prepare.source_facts import facts_of_file, sharpness, source_facts


@pytest.fixture
def grey():
    return picture(np.random.default_rng(0)).convert("L")


def saved(folder, name, made, **options):
    made.save(folder / name, **options)
    return folder / name


def exif(**dates):
    made = Image.Exif()
    inner = made.get_ifd(0x8769)
    for tag, day in dates.items():
        (made if tag == "DateTime" else inner)[
            {"DateTime": 0x0132, "DateTimeOriginal": 0x9003, "DateTimeDigitized": 0x9004}[tag]
        ] = day
    return made.tobytes()


def test_a_jpeg_says_how_it_was_compressed(tmp_path, grey):
    tables = [[3] * 64, [*range(64)]]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options = {"qtables": tables, "subsampling": 2, "progressive": True, "icc_profile": profile}
    file = saved(tmp_path, "a.jpg", grey.convert("RGB"), **options)
    size = file.stat().st_size
    assert facts_of_file(file) == (size, "JPEG RGB 4:2:0 progressive", 3.0, 31.52, 1, "")
    assert facts_of_file(saved(tmp_path, "b.jpg", grey, qtables=tables[:1]))[1:] == (
        "JPEG L",
        3.0,
        0.0,
        0,
        "",
    )
    # The name does not decide.
    file = saved(tmp_path, "c.jpg", grey.convert("RGB"), format="PNG")
    assert facts_of_file(file)[1:] == ("PNG RGB", 0.0, 0.0, 0, "")


@pytest.mark.parametrize(
    ("dates", "day"),
    [
        ({"DateTime": "2014:03:31 12:00:00"}, "2014-03-31"),
        (
            {"DateTime": "2014:03:31 12:00:00", "DateTimeOriginal": "1999:12:01 00:00:00"},
            "1999-12-01",
        ),
        ({"DateTimeOriginal": "0000:00:00 00:00:00", "DateTime": "2001:02:03"}, "2001-02-03"),
        ({"DateTimeDigitized": "2001-02-03T00:00:00"}, "2001-02-03"),
        ({"DateTime": "in May"}, ""),
    ],
)
def test_the_date_is_that_in_the_file(tmp_path, grey, dates, day):
    assert facts_of_file(saved(tmp_path, "a.jpg", grey, exif=exif(**dates))).date == day


def test_damaged_exif_data_have_no_date(tmp_path, grey):
    broken = exif(DateTime="2014:03:31 12:00:00")[:-30]
    assert facts_of_file(saved(tmp_path, "a.jpg", grey, exif=broken)).date == ""


def test_a_picture_of_the_world_is_as_sharp_at_half_its_size_and_its_contrast_does_not_count(grey):
    assert all(0.5 < ratio < 2 for ratio in sharpness(grey)[:2])
    pale = Image.fromarray((np.asarray(grey) // 4 + 90).astype(np.uint8))
    assert sharpness(pale)[0] == pytest.approx(sharpness(grey)[0], abs=0.1)


def test_a_picture_that_was_scaled_up_is_not_sharp_and_grain_is(grey):
    whole = sharpness(grey)
    width, height = grey.size
    twice = sharpness(grey.resize((2 * width, 2 * height), Image.Resampling.BICUBIC))
    assert twice[0] < 0.4
    # Its half is the picture that it was.
    assert twice[1:] == pytest.approx(whole[:2], abs=0.3)
    noise = np.random.default_rng(0).integers(0, 256, (80, 80), np.uint8)
    assert sharpness(Image.fromarray(noise))[0] > 1.5


def test_flat_and_tiny_pictures_have_no_sharpness():
    assert sharpness(Image.new("L", (90, 90), 7)) == (0, 0, 0)
    assert sharpness(Image.new("L", (1, 2000))) == (0, 0, 0)


def test_the_detail_is_the_root_mean_square_of_the_laplacian(grey):
    scipy_ndimage = pytest.importorskip("scipy.ndimage")

    def detail(of):
        of = scipy_ndimage.laplace(np.asarray(of, float))[1:-1, 1:-1]
        return np.sqrt((of**2).mean())

    half = grey.reduce(2)
    assert sharpness(grey)[0] == pytest.approx(detail(grey) / detail(half), abs=1e-4)


def test_a_border_is_seen_and_all_facts_are_of_the_upright_picture(tmp_path, grey):
    framed = Image.new("RGB", (100, 200), "white")
    framed.paste(grey.resize((80, 160)), (10, 20))
    file = saved(tmp_path, "a.png", framed)
    facts = source_facts((100, 200), facts_of_file(file), clean(file).jpeg)
    assert facts.border == pytest.approx(1 - 0.8 * 0.8, abs=0.05)
    assert facts[:3] == (100, 200, file.stat().st_size)
    plain = saved(tmp_path, "b.png", grey)
    assert source_facts(grey.size, facts_of_file(plain), clean(plain).jpeg).border == 0
