import io
import os
import shutil
import socket
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import EpsImagePlugin, Image, ImageCms, ImageOps

from artjax.errors import ImageError
from artjax.prepare import picture_decoding


def scene(height=60, width=90):
    """A picture that looks different from every side."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)


def save(folder, picture, name, **settings):
    path = folder / name
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **settings)
    return path


def assert_close(ours, theirs, tolerance):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == np.uint8
    assert np.abs(ours.astype(float) - theirs).mean() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_pictures_come_out_upright(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path, scene(), f"a.{suffix}", exif=exif, quality=95)
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    assert_close(picture_decoding.decode(path), upright, 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_modes_become_rgb_as_pillow_makes_them(tmp_path, mode):
    image = Image.fromarray(scene()).convert(mode)
    path = save(tmp_path, image, "a.tif")
    with Image.open(path) as saved:
        assert_close(picture_decoding.decode(path), saved.convert("RGB"), 0)


def test_transparency_is_white(tmp_path):
    rgba = np.dstack([scene(), np.zeros((60, 90), np.uint8)])
    rgba[:, 45:, 3] = 255
    picture = picture_decoding.decode(save(tmp_path, rgba, "a.png"))
    assert (picture[:, :45] == 255).all()
    np.testing.assert_array_equal(picture[:, 45:], scene()[:, 45:])


def test_sixteen_bits_keep_their_tones(tmp_path):
    grey = np.linspace(0, 65535, 90, dtype=np.uint16)[None].repeat(60, 0)
    for name in ("a.png", "a.tif"):
        picture = picture_decoding.decode(save(tmp_path, Image.fromarray(grey), name))
        assert np.abs(picture[..., 0].astype(float) - grey / 257).max() <= 1


def in_sixteen_bits(folder, eight, bits, kind):
    """A file whose samples of 16 bits hold a uint8 picture in the lowest bits."""
    samples = np.rint(eight * ((2**bits - 1) / 255)).astype(np.uint16)
    if kind.startswith("grey"):
        order, suffix = kind.split()[1:]
        return save(folder, Image.fromarray(samples[..., 0].astype(f"{order}u2")), f"a.{suffix}")
    path = folder / f"a.{kind.split()[1]}"
    if kind.startswith("RGBA"):
        opaque = np.full((*samples.shape[:2], 1), 65535, np.uint16)
        samples = np.concatenate([samples, opaque], axis=2)
    pyvips.Image.new_from_array(samples).copy(interpretation="rgb16").write_to_file(str(path))
    return path


@pytest.mark.parametrize(
    "kind", ["grey < png", "grey < tif", "grey > tif", "RGB png", "RGB tif", "RGBA png", "RGBA tif"]
)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_samples_of_sixteen_bits_are_scaled_by_what_they_use(tmp_path, kind, bits):
    eight = scene()
    path = in_sixteen_bits(tmp_path, eight, bits, kind)
    expected = eight[..., :1].repeat(3, -1) if kind.startswith("grey") else eight
    decoded = picture_decoding.decode(path)
    assert np.abs(decoded.astype(int) - expected).max() <= 1
    small = picture_decoding.decode(path, short_side_px=20)
    theirs = Image.fromarray(expected).resize((30, 20), Image.Resampling.LANCZOS)
    assert_close(small, theirs, 2)
    with Image.open(io.BytesIO(picture_decoding.clean(path).jpeg)) as image:
        said = image.info.get("comment", b"")
    assert said == (b"" if bits == 16 else b"%d bits" % bits)


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_integers_of_thirty_two_bits_are_scaled_by_what_they_use(tmp_path, bits):
    eight = scene()[..., 0]
    samples = (eight * ((2**bits - 1) / 255 / (1 + (bits == 32)))).astype(np.int32)  # signed
    decoded = picture_decoding.decode(save(tmp_path, Image.fromarray(samples), "a.tif"))
    shown = decoded[..., 0].astype(int) * (1 + (bits == 32))
    assert np.abs(shown - eight).max() <= 2


def test_lab_becomes_srgb(tmp_path):
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    path = save(tmp_path, ImageCms.applyTransform(Image.fromarray(scene()), to_lab), "a.tif")
    assert_close(picture_decoding.decode(path), scene(), 3)


def test_a_broken_profile_is_ignored(tmp_path):
    path = save(tmp_path, scene(), "a.png", icc_profile=b"not a profile")
    assert_close(picture_decoding.decode(path), scene(), 0)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.fromarray(scene()), Image.new("RGB", (90, 60), "red")]
    path = save(
        tmp_path, frames[0], "a.webp", save_all=True, append_images=frames[1:], lossless=True
    )
    assert_close(picture_decoding.decode(path), scene(), 0)


def test_the_name_does_not_matter(tmp_path):
    path = save(tmp_path, scene(), "a.png").rename(tmp_path / "a.jpg")
    assert_close(picture_decoding.decode(path), scene(), 0)


@pytest.mark.parametrize(("height", "width"), [(1500, 1100), (1024, 3000), (20, 4000)])
def test_large_pictures_are_scaled_to_the_shorter_side(tmp_path, height, width):
    path = save(tmp_path, scene(height, width), "a.jpg", quality=95)
    ours = picture_decoding.decode(path, short_side_px=256)
    scale = min(1, 256 / min(height, width))
    size = (round(width * scale), round(height * scale))
    with Image.open(path) as image:
        theirs = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    assert_close(ours, theirs, 3)  # they differ where the JPEG was decoded at half its size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_large_pictures_come_out_upright(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path, scene(400, 600), f"a.{suffix}", exif=exif)
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    size = (150, 100) if orientation < 5 else (100, 150)
    theirs = upright.resize(size, Image.Resampling.LANCZOS)
    assert_close(picture_decoding.decode(path, short_side_px=100), theirs, 2)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGBA", "LA", "I;16"])
def test_large_pictures_of_any_mode_are_scaled_as_pillow_does(tmp_path, mode):
    smooth = scene(1300, 1900)
    smooth[..., 2] = 90
    if mode == "I;16":
        image = Image.fromarray(smooth[..., 0].astype(np.uint16) * 257)
        plain = Image.fromarray(smooth[..., 0]).convert("RGB")
    else:
        image = Image.fromarray(smooth).convert(mode)
        plain = image.convert("RGB")
    path = save(tmp_path, image, "a.tif")
    theirs = plain.resize((146, 100), Image.Resampling.LANCZOS)
    assert_close(picture_decoding.decode(path, short_side_px=100), theirs, 2)


def test_scrolls_are_kept_within_what_a_jpeg_can_hold(tmp_path):
    path = save(tmp_path, Image.new("RGB", (70_000, 64), "red"), "a.png")
    cleaned = picture_decoding.clean(path, short_side_px=64)
    assert (cleaned.width, cleaned.height) == (2048, 2)
    cleaned = picture_decoding.clean(path, short_side_px=512)
    assert (cleaned.width, cleaned.height) == (16384, 15)


def test_wide_gamut_scans_do_not_come_out_dull(tmp_path):
    # A profile with AdobeRGB's primaries and gamma, made of LittleCMS's sRGB: tags of 20 bytes "XYZ ".
    path = save(tmp_path, scene(), "a.png", icc_profile=wide_gamut_profile())
    ours = picture_decoding.decode(path)
    with Image.open(path) as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        theirs = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
    np.testing.assert_array_equal(ours, np.asarray(theirs))
    red_and_green = (0, -1), (-1, 0)
    assert all(ours[place].max() >= scene()[place].max() for place in red_and_green)
    assert (
        np.ptp(ours.astype(int), axis=-1).mean()
        > 1.05 * np.ptp(scene().astype(int), axis=-1).mean()
    )


def wide_gamut_profile():
    """An ICC profile whose green and red are those of AdobeRGB (1998), D50-adapted."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {
        b"rXYZ": (0.60974, 0.31111, 0.01947),
        b"gXYZ": (0.20528, 0.62567, 0.06087),
        b"bXYZ": (0.14919, 0.06322, 0.74457),
    }
    tags = int.from_bytes(data[128:132], "big")
    for i in range(tags):
        entry = 132 + 12 * i
        name, offset = (
            bytes(data[entry : entry + 4]),
            int.from_bytes(data[entry + 4 : entry + 8], "big"),
        )
        for k, value in enumerate(primaries.get(name, ())):
            place = offset + 8 + 4 * k
            data[place : place + 4] = round(value * 65536).to_bytes(4, "big")
    return bytes(data)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-400])
    return path


def test_unusable_files_are_refused_with_the_reason(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    (tmp_path / "text.jpg").write_text("I am no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    cases = [
        (tmp_path / "text.jpg", "not a picture in any known format"),
        (tmp_path / "empty.png", "an empty file"),
        (tmp_path / "nowhere.png", "No such file"),
        (truncated(save(tmp_path, noise, "cut.jpg")), "truncated"),
        (truncated(save(tmp_path, noise, "cut.png")), "truncated"),
        (truncated(save(tmp_path, noise.repeat(20, 0).repeat(20, 1), "large.jpg")), "truncated"),
        (truncated(save(tmp_path, noise.repeat(20, 0).repeat(20, 1), "large.tif")), "truncated"),
    ]
    for path, reason in cases:
        with pytest.raises(ImageError) as caught:
            picture_decoding.decode(path)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_large_scans_below_the_limit_are_read(tmp_path):
    # 200 megapixels: more than Pillow takes by itself.
    path = save(tmp_path, Image.new("1", (20_000, 10_000), 1), "a.png")
    assert picture_decoding.decode(path, short_side_px=16).shape == (16, 32, 3)


def test_pillow_is_as_before_when_the_last_of_several_threads_is_done(tmp_path):
    good = save(tmp_path, scene(), "a.png")
    (tmp_path / "b.png").write_text("no picture")
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters), warnings.showwarning
    inside = threading.Barrier(2)

    def first():
        with picture_decoding._permissive_pillow():
            inside.wait(10)  # the other is in
            inside.wait(10)  # the other is out
            return Image.MAX_IMAGE_PIXELS

    def second():
        inside.wait(10)
        with pytest.raises(ImageError):
            picture_decoding.decode(tmp_path / "b.png")
        picture_decoding.decode(good)
        during = Image.MAX_IMAGE_PIXELS
        inside.wait(10)
        return during

    with ThreadPoolExecutor() as pool:
        during = [pool.submit(first), pool.submit(second)]
    assert [future.result() for future in during] == [None, None]
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters), warnings.showwarning) == before
    assert before[0]


def test_too_many_pixels_are_refused_before_decoding(tmp_path):
    path = save(tmp_path, Image.new("1", (5000, 5000)), "a.png")
    with pytest.raises(
        ImageError, match=r"5000 x 5000 pixels are more than the limit of 1,000,000"
    ):
        picture_decoding.decode(path, max_pixels=1_000_000)


def test_cleaned_picture_is_a_jpeg_of_the_same_pixels(tmp_path):
    cleaned = picture_decoding.clean(save(tmp_path, scene(), "a.png"))
    with Image.open(io.BytesIO(cleaned.jpeg)) as image:
        assert (image.format, image.size) == ("JPEG", (cleaned.width, cleaned.height))
        assert_close(scene(), image, 2)


EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 9 9
%%EndComments
showpage
"""


@pytest.mark.parametrize("name", ["a.jpg", "a.eps", "a"])
def test_no_file_makes_pillow_run_a_program(tmp_path, monkeypatch, name):
    gs = tmp_path / "bin" / "gs"
    gs.parent.mkdir()
    gs.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", f"{gs.parent}:/usr/bin:/bin")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    path = tmp_path / name
    path.write_bytes(EPS)
    for read in (picture_decoding.decode, picture_decoding.upright_size):
        with pytest.raises(ImageError, match="not a picture in any known format"):
            read(path)
    assert not (tmp_path / "ran").exists()
    with Image.open(path) as image, pytest.raises(OSError, match="cannot identify"):
        image.load()  # the fake one writes no picture
    assert (tmp_path / "ran").exists()


def test_libvips_opens_nothing_that_it_does_not_trust():
    pyvips = picture_decoding._pyvips()
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>'
    with pytest.raises(pyvips.Error, match="operation is blocked"):
        pyvips.Image.svgload_buffer(svg)


@pytest.mark.parametrize("name", ["a.heic", "a.jpg"])
def test_heic_is_read_upright_under_any_name(tmp_path, name):
    """40 x 24 pixels, red rises to the right and green downwards, and its EXIF data turn it."""
    path = tmp_path / name
    shutil.copy(Path(__file__).parents[1] / "fixtures" / "turned.heic", path)
    assert picture_decoding.upright_size(path) == (24, 40)
    picture = picture_decoding.decode(path).astype(int)
    assert picture.shape == (40, 24, 3)
    assert picture[-1, 0, 0] > 200 > 30 > picture[0, 0, 0]
    assert picture[0, 0, 1] > 200 > 30 > picture[0, -1, 1]
    smaller = picture_decoding.decode(path, short_side_px=12)
    assert smaller.shape == (20, 12, 3)
    assert "HEIF" not in Image.OPEN


@pytest.mark.parametrize("kind", ["socket", "device", "link to a fifo"])
def test_what_is_no_regular_file_is_not_opened(tmp_path, kind):
    path = tmp_path / "a.jpg"
    with socket.socket(socket.AF_UNIX) as a_socket:
        if kind == "socket":
            a_socket.bind(str(path))
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            os.mkfifo(tmp_path / "fifo")
            path.symlink_to("fifo")
        for read in (picture_decoding.decode, picture_decoding.upright_size):
            with pytest.raises(ImageError, match="not a regular file"):
                read(path)


def test_an_empty_file_is_called_that(tmp_path):
    path = tmp_path / "a.jpg"
    path.touch()
    for read in (picture_decoding.decode, picture_decoding.upright_size):
        with pytest.raises(ImageError, match=r"^an empty file$"):
            read(path)
