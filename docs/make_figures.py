"""Draws the pictures of README.md and docs/: studio, augmentations, the curves of a run, its report.

The report is drawn by Chromium, where there is one.

make train && make figures
"""

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from artjax import augment, studio
from artjax.config import default_config
from artjax.data.decoding import squash
from artjax.training.logs import read_rows

IMAGES = Path(__file__).parent / "images"
COLUMNS = 8
AUGMENTATIONS = (
    {},
    {"min_area": 0.3, "max_stretch": 4 / 3, "flip": True},
    {"rotate_degrees": 15.0},
    {"brightness": 0.4},
    {"contrast": 0.6},
    {"saturation": 0.8},
    {"hue": 0.1},
    {"pca_color": 0.5},
    {"blur": 2.0},
    {"noise": 0.15},
    {"drop_pixels": 0.3},
    {"erase": 0.3},
    {"mixup": 0.4},
    {"cutmix": 1.0},
)


def draw_contact_sheet(path: Path) -> None:
    """A row of eight pictures for each painter."""
    sheet = Image.fromarray(studio.contact_sheet(studio.catalogue(), COLUMNS, cell_px=96))
    sheet.save(path, quality=88, optimize=True)


def draw_augmentations(path: Path, pictures: int = 5, size: int = 88) -> None:
    """A few paintings with each augmentation alone, pixel for pixel as the network sees them."""
    paintings = studio.catalogue()
    canvases, aspects = [], []
    for painting in paintings[7 :: len(paintings) // pictures + 1]:
        png = io.BytesIO()
        Image.fromarray(painting.draw()).save(png, "PNG")
        canvas, aspect = squash(png.getvalue(), size * 8 // 7)
        canvases.append(canvas)
        aspects.append(aspect)
    gap, name_px, halves = 6, 118, 2
    step, rows = size + gap, -(-len(AUGMENTATIONS) // halves)
    half_px = name_px + pictures * step
    sheet = Image.new("RGB", (halves * half_px + gap, rows * step + gap), (246, 243, 236))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, changes in enumerate(AUGMENTATIONS):
        magnitudes = default_config().augment
        magnitudes.update({"min_area": 1.0, "max_stretch": 1.0, "flip": False} | changes)
        seen, _ = augment.augmented(
            jax.random.key(3), np.stack(canvases), np.asarray(aspects, np.float32), magnitudes, size
        )
        bytes_seen = np.clip(np.rint(seen), 0, 255).astype(np.uint8)
        left, top = number // rows * half_px + gap, number % rows * step + gap
        lines = [f"{name} {value:.2g}" for name, value in changes.items() if name != "flip"]
        lines += ["flip"] * ("flip" in changes)
        text = "\n".join(lines or ["none"])
        draw.multiline_text((left, top + size / 2), text, (60, 54, 48), font, anchor="lm")
        for column, picture in enumerate(bytes_seen):
            sheet.paste(Image.fromarray(picture), (left + name_px - gap + column * step, top))
    sheet.save(path, quality=80, optimize=True)


def draw_curves(workdir: Path, path: Path) -> None:
    """Loss and top-1 of training and validation by epoch."""
    rows = read_rows(workdir)
    epoch_of = {row["step"]: row["epoch"] for row in rows if "epoch" in row}
    steps_per_epoch = max(step / epoch for step, epoch in epoch_of.items())
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for axis, name, title in zip(axes, ("loss", "top1"), ("loss", "top-1 accuracy"), strict=True):
        for part, colour in (("train", "#b5482e"), ("validation", "#34506a")):
            points = [
                (row["step"] / steps_per_epoch, row[f"{part}/{name}"])
                for row in rows
                if f"{part}/{name}" in row
            ]
            axis.plot(*zip(*points, strict=True), color=colour, label=part)
        axis.set(xlabel="epoch", title=title)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=110)


def draw_report(workdir: Path, path: Path, height_px: int = 1800) -> None:
    """The top of the report, and beside it its surest errors, as Chromium shows them."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        print(f"{path} stays as it is: it needs Chromium to show the report")
        return
    page = workdir / "report" / "index.html"
    only_errors = (
        "<style>h1, nav, h1 + div, #task-1 > :not(#errors-1, #errors-1 ~ *) { display: none }"
    )
    parts = []
    for style in ("", f"{only_errors} #errors-1 {{ margin-top: 0 }}</style>"):
        copy = page.with_name("shown.html")
        copy.write_text(page.read_text().replace("</head>", f"{style}</head>"))
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "page.png"
            flags = ["--headless", "--disable-gpu", "--no-sandbox", "--hide-scrollbars"]
            flags += [f"--screenshot={picture}", f"--window-size=1160,{height_px}"]
            subprocess.run(
                [browser, *flags, copy.resolve().as_uri()], check=True, capture_output=True
            )
            parts.append(Image.open(picture).convert("RGB"))
        copy.unlink()
    both = Image.new("RGB", (2 * parts[0].width, height_px), "white")
    for number, part in enumerate(parts):
        both.paste(part, (number * part.width, 0))
    small = both.resize((1500, 1500 * height_px // both.width), Image.Resampling.LANCZOS)
    small.quantize(160).save(path, optimize=True)


if __name__ == "__main__":
    workdir = Path(sys.argv[1] if sys.argv[1:] else "runs/artist-studio")
    IMAGES.mkdir(exist_ok=True)
    draw_contact_sheet(IMAGES / "studio.jpg")
    draw_augmentations(IMAGES / "augmentations.jpg")
    draw_curves(workdir, IMAGES / "training.png")
    draw_report(workdir, IMAGES / "report.png")
