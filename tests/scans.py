"""A gallery, and a museum that shows other scans of some of its pictures."""

from collections.abc import Callable, Iterable
from pathlib import Path

from PIL import Image, ImageOps
from tiny import encoded, store

from artjax import studio

ARTISTS = ("ada", "bo")
# Works are numbers; each collection has them under names of its own.
GALLERY = {"train": range(16), "validation": range(16, 20), "test": range(20, 24)}
MUSEUM = {
    "train": range(24, 30),
    "validation": [17, 30, 31],
    "test": [0, 3, 5, 8, 18, 20, 32, 33, 34, 35],
}


def _scan(number: int, picture: Image.Image) -> Image.Image:
    """Half the size, and mirrored, turned or in a frame."""
    small = picture.reduce(2)
    ways: tuple[Callable[[Image.Image], Image.Image], ...] = (
        lambda image: image,
        ImageOps.mirror,
        lambda image: ImageOps.expand(image, 9, (70, 50, 20)),
        lambda image: image.transpose(Image.Transpose.ROTATE_90),
    )
    return ways[number % len(ways)](small)


def write_scans(data_dir: Path) -> None:
    """Prepares the collections `gallery` and `museum`, as others would: without artjax's reports."""
    # One hand paints flat seas that look alike in grey; these two paint portraits and still lifes.
    chosen = [p for p in studio.catalogue() if p.genre in ("portrait", "still life")][:360:10]
    pictures = [Image.fromarray(painting.draw()) for painting in chosen]

    def examples(split: str, numbers: Iterable[int], name: str) -> list[dict[str, object]]:
        return [
            {
                "image": encoded(_scan(n, pictures[n]) if name == "museum" else pictures[n]),
                "artist": n % 2,
                "file_name": f"{name}/{split}/{n}.jpg",
                "work_id": f"{name}/{n}",
            }
            for n in numbers
        ]

    for name, splits in (("gallery", GALLERY), ("museum", MUSEUM)):
        made = {split: examples(split, numbers, name) for split, numbers in splits.items()}
        store(data_dir, name, {"artist": ARTISTS}, made)


def number_of(file_name: str) -> int:
    """The number of a work."""
    return int(Path(file_name).stem)
