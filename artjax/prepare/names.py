"""Names as museums write them: whose hand it is ("workshop of Rubens"), and several in one cell."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

PEOPLE = frozenset(
    (
        *(
            "artist",
            "painter",
            "author",
            "creator",
            "maker",
            "photographer",
            "sculptor",
            "printmaker",
        ),
        *("engraver", "etcher", "draughtsman", "illustrator", "designer", "architect", "potter"),
    )
)
"""Labels whose classes are people."""

# "school of" is a place as often as a person, see `joined`.
SCHOOL = "school"
_OF = r"(?:of|von|de|d'|des|du|di|del|della|van)"
_QUALIFIERS = (
    (r"attributed to|attr\.? to|ascribed to|zugeschrieben(?: an)?|attribue a|attribuito a|atribuido a|"
     r"toegeschreven aan|possibly(?: by)?|probably(?: by)?|presumably(?: by)?", "attributed to"),
    (r"(?:copy |copyist )?(?:after|nach|apres|d'apres|naar)|copy(?:ist)? of|kopie nach|copie d'apres",
     "after"),
    (rf"(?:the )?(?:workshop|studio|atelier|werkstatt|bottega|taller|shop|assistant|assistants) {_OF}",
     "workshop of"),
    (rf"(?:the )?(?:circle|umkreis|entourage|cerchia|cercle|circulo|kring|associate) {_OF}|near",
     "circle of"),
    (rf"(?:the )?(?:followers?|imitators?|pupils?|students?|nachfolger|schuler|suiveur|seguace|"
     rf"seguidor|volgeling) {_OF}", "follower of"),
    (rf"(?:in the )?(?:manner|style|maniera|stil) {_OF}|a la maniere de", "manner of"),
    (rf"(?:the )?(?:school|schule|ecole|scuola|escuela) {_OF}", SCHOOL),
)  # fmt: skip
_BEFORE = tuple((re.compile(rf"(?:{said})\b ?"), kind) for said, kind in _QUALIFIERS)
_BEHIND = re.compile(
    r"[,;(\[] ?(attributed|attr\.?|ascribed|copy|after|workshop|studio|atelier|circle|followers?|"
    r"imitator|pupil|manner|style|school)(?: (?:to|of|copy))?[ )\].]*$"
)
_KIND_BEHIND = {
    "attributed": "attributed to",
    "attr": "attributed to",
    "ascribed": "attributed to",
    "copy": "after",
    "after": "after",
    "workshop": "workshop of",
    "studio": "workshop of",
    "atelier": "workshop of",
    "circle": "circle of",
    "manner": "manner of",
    "style": "manner of",
    "school": SCHOOL,
}
_SEPARATORS = re.compile(r" ?\|+ ?| ?; ?")
# "A, B and C" is several; "Smith & Sons" and "Gilbert and George" are one workshop each.
_AND = re.compile(r" (?:and|&|und|et|en|y) ", re.IGNORECASE)
_FIRM = re.compile(r"\b(?:co|cie|sons?|söhne|fils|brothers|company|studio|workshop|family)\b", re.I)


class Qualified(NamedTuple):
    """A name that says how near a work is to somebody: the kind of nearness, and the name alone."""

    kind: str
    name: str


def folded(text: str) -> str:
    """Small letters without accents and with plain quotation marks, of the same length if it can be."""
    plain = text.translate({0x2019: "'", 0x2018: "'", 0xF8: "o", 0xD8: "O", 0x142: "l", 0x141: "L"})
    return "".join(unicodedata.normalize("NFD", char)[0].lower() for char in plain)


def qualified(name: str) -> Qualified | None:
    """The kind and the name in "Workshop of Rubens" or "Rubens (workshop of)"; None for a plain name."""
    plain = folded(name)
    if match := _BEHIND.search(plain):
        kind = _KIND_BEHIND.get(match[1].rstrip("."), "follower of")
        return Qualified(kind, name[: match.start()].strip(" ,"))
    for pattern, kind in _BEFORE:
        match = pattern.match(plain)
        if match and len(plain) > match.end():
            return Qualified(kind, name[match.end() :].strip())
    return None


def names_in(cell: str, people: bool) -> list[str]:
    """The names in a cell, in their order; one unless it has several, separated by `|` or `;`.

    Args:
      cell: such as "A|B", "A; B", or of people "A and B", "A & B".
      people: whether they are names of people. In other labels "and" and "&" belong to the name: "oil
        and tempera".
    """
    names = [name for part in _SEPARATORS.split(cell) if (name := part.strip(" ,"))]
    if people and not _FIRM.search(cell):
        names = [name for part in names for name in _people_in(part)]
    return names or [cell]


def _people_in(cell: str) -> list[str]:
    names = [name.strip(" ,") for name in _AND.split(cell)]
    # Two words or more each: "Gilbert and George" are one artist, "Anne and Patrick Poirier" too.
    if any(len(name.split()) < 2 for name in names):
        return [cell]
    return names
