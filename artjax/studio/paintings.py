"""The invented catalogue: painters, titles, years, and which picture is a detail of which."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from PIL import Image

from artjax.studio.hands import HANDS, tone_like
from artjax.studio.palettes import PALETTES
from artjax.studio.scenes import GENRES, compose

SHORT_SIDE_PX = 112
_DETAILS = 60
_HALF_CENTURY = 50


class Painter(NamedTuple):
    """An invented painter; active for fifty years from `begins`."""

    hand: str
    location: str
    style: str
    begins: int


PAINTERS = {
    "Ada Lindqvist": Painter("impasto", "Havenmark", "Impastist", 1840),
    "Bruno Castellane": Painter("swirls", "Vallorsa", "Impastist", 1850),
    "Cyprian Hallow": Painter("dots", "Havenmark", "Divisionist", 1830),
    "Dorothea Vint": Painter("commas", "Merrow Isles", "Divisionist", 1770),
    "Emil Sarkany": Painter("upright_hatching", "Vallorsa", "Linearist", 1700),
    "Fausta Merle": Painter("slanted_hatching", "Merrow Isles", "Linearist", 1730),
    "Gideon Thrale": Painter("dry_brush", "Havenmark", "Impastist", 1720),
    "Henrike Vos": Painter("knife", "Merrow Isles", "Divisionist", 1810),
    "Ilse Marchetti": Painter("cloisonne", "Vallorsa", "Linearist", 1780),
    "Jonas Akerby": Painter("sfumato", "Havenmark", "Tonalist", 1690),
    "Katya Zorin": Painter("chiaroscuro", "Merrow Isles", "Tonalist", 1660),
    "Lucien Dorval": Painter("watercolour", "Vallorsa", "Tonalist", 1750),
}

_TITLES = {
    "landscape": ("Hills near {}", "The Old Trees of {}", "Evening above {}", "A Path at {}"),
    "portrait": ("Portrait of {}", "{} Resting", "The Young {}", "Head of {}"),
    "seascape": ("Boats off {}", "Calm Water at {}", "The Return to {}", "Sails before {}"),
    "still life": ("Table with Fruit, {}", "The Jug of {}", "Fruit from {}", "{}'s Table"),
}
_PLACES = ("Aldmere", "Brask", "Corrin", "Dunvale", "Esterhagen", "Fennick", "Gralle", "Hollin")
_PEOPLE = ("Anselm", "Beata", "Corvin", "Delia", "Evander", "Florentine", "Gregor", "Hedda")


@dataclass(frozen=True)
class Painting:
    """One picture of the studio, as its catalogue has it; `draw` paints it.

    Attributes:
      file_name: the unique key.
      work_id: of the work; a detail has its whole picture's.
      title, year, artist, genre, location, style, period: what a catalogue says.
      seed: of the whole studio.
      work_name: from which, with the seed, everything in the picture follows.
      detail: whether this is an enlarged part of the work.
    """

    file_name: str
    work_id: str
    title: str
    year: int
    artist: str
    genre: str
    location: str
    style: str
    period: str
    seed: int
    work_name: str
    detail: bool = False

    def draw(self) -> np.ndarray:
        """Paints it; see `paint`."""
        return paint(self)


def catalogue(seed: int = 0, works: int = 1440) -> list[Painting]:
    """Lists the studio's pictures; nothing is painted.

    Args:
      seed: another one gives other pictures by the same painters.
      works: number of pictures in all; of 1,440, 60 are details of others.

    Returns:
      Painters are equally frequent, genres nearly so; sorted by painter.
    """
    each = works // len(PAINTERS)
    details = round(each * _DETAILS / 1440)
    paintings = []
    for name, painter in PAINTERS.items():
        folder = name.lower().replace(" ", "-")
        own = []
        for number in range(each - details):
            genre = tuple(GENRES)[number % len(GENRES)]
            work_name = f"{folder}/{genre.replace(' ', '-')}-{number:04d}"
            rng = _generator(seed, work_name, "catalogue")
            year = painter.begins + int(rng.integers(_HALF_CENTURY))
            start = year // _HALF_CENTURY * _HALF_CENTURY
            subject = str(rng.choice(_PEOPLE if genre == "portrait" else _PLACES))
            own.append(
                Painting(
                    file_name=f"{work_name}.jpg",
                    work_id=work_name,
                    title=str(rng.choice(_TITLES[genre])).format(subject),
                    year=year,
                    artist=name,
                    genre=genre,
                    location=painter.location,
                    style=painter.style,
                    period=f"{start}-{start + _HALF_CENTURY - 1}",
                    seed=seed,
                    work_name=work_name,
                )
            )
        chosen = _generator(seed, folder, "details").choice(len(own), details, replace=False)
        own += [
            replace(
                own[i],
                file_name=f"{own[i].work_name}-detail.jpg",
                title=f"{own[i].title} (detail)",
                detail=True,
            )
            for i in sorted(chosen)
        ]
        paintings += own
    return paintings


def paint(painting: Painting) -> np.ndarray:
    """Paints a picture, the same bytes whenever and wherever it is called.

    Returns:
      uint8 RGB [H, W, 3], shorter side 112.
    """
    rng = _generator(painting.seed, painting.work_name, "picture")
    tall = painting.genre == "portrait" and rng.random() < 0.85
    aspect = rng.uniform(0.62, 0.95) if tall else rng.uniform(0.95, 1.65)
    width = round(SHORT_SIDE_PX * max(1, aspect))
    height = round(SHORT_SIDE_PX * max(1, 1 / aspect))
    palette = PALETTES[rng.integers(len(PALETTES))]
    scene = compose(painting.genre, palette, height, width, rng)
    scene = scene._replace(colour=_tuned(scene.colour, rng))
    painter = PAINTERS[painting.artist]
    age = (painting.year - painter.begins) / _HALF_CENTURY
    picture = HANDS[painter.hand](scene, rng, 0.9 + 0.3 * age)  # painters grow broader with age
    picture = np.clip(tone_like(picture, scene.colour), 0, 1)
    picture = np.rint(picture * 255).astype(np.uint8)
    return _part_of(picture, rng) if painting.detail else picture


def _tuned(colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, saturation and cast of a day, independent of who paints."""
    grey = colour.mean(axis=-1, keepdims=True)
    colour = grey + rng.uniform(0.55, 1.35) * (colour - grey)
    colour = 0.5 + rng.uniform(0.75, 1.2) * (colour - 0.5) + rng.uniform(-0.1, 0.1)
    colour = colour + rng.uniform(-0.05, 0.05, 3).astype(np.float32)
    # A fine grain, so that a flat area has no single value (which would name a flat-painting hand).
    return np.clip(colour + 0.03 * rng.standard_normal((*colour.shape[:2], 1), np.float32), 0, 1)


def _part_of(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = picture.shape[:2]
    share = rng.uniform(0.6, 0.75)
    top = int(rng.uniform(0, 1 - share) * height)
    left = int(rng.uniform(0, 1 - share) * width)
    part = picture[top : top + int(share * height), left : left + int(share * width)]
    return np.asarray(Image.fromarray(part).resize((width, height), Image.Resampling.LANCZOS))


def _generator(seed: int, name: str, purpose: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\0{name}\0{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
