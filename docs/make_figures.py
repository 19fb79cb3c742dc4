"""Draws the pictures of the README: the studio's contact sheet and the curves of a run.

make train && make figures
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

from artjax import studio
from artjax.logs import read_rows

IMAGES = Path(__file__).parent / "images"
COLUMNS = 8


def draw_contact_sheet(path: Path) -> None:
    """Eight pictures of each painter."""
    sheet = Image.fromarray(studio.contact_sheet(studio.catalogue(), COLUMNS, cell_px=96))
    sheet.save(path, quality=88, optimize=True)


def draw_curves(workdir: Path, path: Path) -> None:
    """Loss and top-1 of training and validation over the epochs."""
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


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    draw_contact_sheet(IMAGES / "studio.jpg")
    draw_curves(
        Path(sys.argv[1] if sys.argv[1:] else "runs/artist-studio"), IMAGES / "training.png"
    )
