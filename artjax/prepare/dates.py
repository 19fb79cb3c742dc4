"""Dates as museums write them ("c. 1650–55", "late 15th c.", "um 1520"): from which year to which.

Of the libraries for this, python-edtf 5.0 makes 2055 of "c. 1650–55", March 1503 of "1503/06" and
nothing of "late 15th c."; undate and dateparser read days. So the forms are in tables here, and in a
table of tests.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

CIRCA_YEARS = 5
"""To each side of a date with "c.", "about" or a question mark."""
OPEN_YEARS = 20
"""From "before" or "after" a date to the other end."""
_SHORT = 10  # years: "c." widens no date that spans as many
_LATEST = 2100


class Date(NamedTuple):
    """From which year to which a work was made, both included; years before Christ are negative."""

    first: int
    last: int

    @property
    def year(self) -> int:
        """The middle; of two middle years the later."""
        return (self.first + self.last + 1) // 2

    @property
    def uncertainty(self) -> int:
        """How many years `year` may be off."""
        return max(self.year - self.first, self.last - self.year)


_ORDINALS = (
    *(
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "seventh",
        "eighth",
        "ninth",
        "tenth",
    ),
    *("eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth"),
    *("eighteenth", "nineteenth", "twentieth", "twenty-first"),
)
_ROMAN = (
    *(
        "i",
        "ii",
        "iii",
        "iv",
        "v",
        "vi",
        "vii",
        "viii",
        "ix",
        "x",
        "xi",
        "xii",
        "xiii",
        "xiv",
        "xv",
    ),
    *("xvi", "xvii", "xviii", "xix", "xx", "xxi"),
)
_CENTURIES = {
    name: number for names in (_ORDINALS, _ROMAN) for number, name in enumerate(names, start=1)
}
_CENTURY = r"(?:centur(?:y|ies)|cent|c|siecle|s|jahrhunderts?|jhdt|jhd|jh|secolo|sec|siglo|eeuw)\.?"
_NTH = rf"(\d{{1,2}}|{'|'.join(sorted(_CENTURIES, key=len, reverse=True))})"

# What of a century or a decade is meant: from which share of it to which.
_PARTS = (
    (r"(?:first|1st|1\.|1(?:e|ere|er)|premiere?|erste|prima) (?:halfte|half|moitie|meta|helft)", 0, 2),
    (r"(?:second|2nd|2\.|2(?:e|eme|nde)|deuxieme|seconde?|zweite|last|later) "
     r"(?:halfte|half|moitie|meta|helft)", 1, 2),
    (r"(?:first|1st|1\.) (?:quarter|viertel|quart)", 0, 4),
    (r"(?:second|2nd|2\.) (?:quarter|viertel|quart)", 1, 4),
    (r"(?:third|3rd|3\.) (?:quarter|viertel|quart)", 2, 4),
    (r"(?:fourth|4th|4\.|last|letztes) (?:quarter|viertel|quart)", 3, 4),
    (r"(?:very )?(?:early|beginning|start|debut|fruhes|anfang|inizio|begin|principios)", 0, 3),
    (r"(?:mid|middle|mitte|milieu|meta|midden|mediados)", 1, 3),
    (r"(?:very )?(?:late|later|end|ende|fin|spates|fine|eind|einde|finales)", 2, 3),
)  # fmt: skip
_OF = r"(?:,? ?-?(?:of (?:the )?|des |du |del |der |van de |de |d'|dello )?)"

_CIRCA = re.compile(
    r"\?|\b(?:ca|circa|cca|um|vers|about|around|approx|approximately|environ|verso|rond|omstreeks|etwa|"
    r"gegen|hacia|probably|possibly|perhaps|likely|wohl|vermutlich)\b\.?|(?:^|(?<=[-/(,; ]))c\.? ?(?=\d)"
)
_SAID = re.compile(
    r"\b(?:active|fl|dated?|painted|executed|made|created|printed|published|signed|in|the year|a\.?d\.?|"
    r"c\.?e\.?|n\. ?chr|from|between|zwischen|entre|von)(?:\.|\b)(?! ?century)"
)
_BEFORE = re.compile(
    r"^(?:(?:in |on )?(?:or )?before|by|until|no later than|not after|vor|avant|prima del|voor|ante|"
    r"antes de) "
)
_AFTER = re.compile(
    r"^(?:(?:in |on )?(?:or )?after|since|no earlier than|not before|nach|apres|dopo il|na|post) "
)
_BEFORE_CHRIST = re.compile(r"\b(?:b\.? ?c\.?(?: ?e\.?)?|v\. ?chr\.?|av\.? j\.?-?c\.?)$")
_OR_LATER = re.compile(r"(.+?),? or (?:later|after)")
_OR_EARLIER = re.compile(r"(.+?),? or (?:earlier|before)")
_RANGE = re.compile(
    r" ?(?:-|/|\bto\b|\bbis\b|\band\b|\bor\b|\bund\b|\boder\b|\bet\b|\bou\b|\ba\b) ?"
)
_YEAR_IN_TEXT = re.compile(r"(?<!\d)[12]\d{3}(?!\d)")


@lru_cache(maxsize=1 << 16)  # a large list has each of its dates again and again
def read_date(text: str) -> Date | None:
    """The years that a cell such as "c. 1650–55" means; None if it cannot be read.

    A century is from its year 0 to 99, so that "17th century" is 1600 to 1699; early, mid and late are
    its thirds. "c." and a question mark mean 5 years to each side, "before" and "after" 20 years to one.
    Of a text in no such form that has years with four digits, it is from the first of them to the last;
    what stands in brackets counts alone where the rest has none ("Song dynasty (960-1279)").
    """
    outside, _, inside = text.partition("(")
    if inside and re.search(r"\d{3}", inside) and not re.search(r"\d{3}", outside):
        text = inside.partition(")")[0]
    plain = _plain(text)
    of_digits = _with_open_digits(plain)
    if of_digits:
        return of_digits
    circa = bool(_CIRCA.search(plain))
    plain = _tidy(_SAID.sub(" ", _CIRCA.sub(" ", plain)))
    found = _open_or_closed(plain)
    if found is None:
        years = [int(year) for year in _YEAR_IN_TEXT.findall(plain)]
        found = Date(min(years), max(years)) if years else None
    if found is None or found.last < found.first or found.last > _LATEST:
        return None
    if circa and found.last - found.first < _SHORT:
        found = Date(found.first - CIRCA_YEARS, found.last + CIRCA_YEARS)
    return found


def year_of(text: str) -> tuple[int, int]:
    """The middle of the years that a cell means, see `read_date`, and how many years it may be off.

    Both are -1 if it cannot be read.
    """
    date = read_date(text)
    return (date.year, date.uncertainty) if date else (-1, -1)


def _plain(text: str) -> str:
    """Small letters without accents, one kind of dash, and no brackets."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(char for char in letters if not unicodedata.combining(char))
    return _tidy(re.sub(r"[\[\](){}]", " ", re.sub(r"[‐-―−]", "-", letters)))


def _tidy(text: str) -> str:
    return " ".join(text.split()).strip(" .,;:")


def _with_open_digits(plain: str) -> Date | None:
    """Librarians' "165-" and "19--"."""
    match = re.fullmatch(r"(\d{3})[-_x?]\??|(\d{2})[-_x?]{2}\??", plain)
    if match is None:
        return None
    decade, century = match.groups()
    return _span(int(decade) * 10, 10) if decade else _span(int(century) * 100, 100)


def _span(first: int, years: int) -> Date:
    return Date(first, first + years - 1)


def _open_or_closed(plain: str) -> Date | None:
    if match := _BEFORE_CHRIST.search(plain):
        found = _open_or_closed(_tidy(plain[: match.start()]))
        # Of "200-100 BC", the first is the larger number, and `_between` has put it last.
        return Date(-found.last, -found.first) if found else None
    if match := _BEFORE.match(plain):
        found = _point(plain[match.end() :])
        return Date(found.first - OPEN_YEARS, found.first) if found else None
    if match := _AFTER.match(plain):
        found = _point(plain[match.end() :])
        return Date(found.last, found.last + OPEN_YEARS) if found else None
    if match := _OR_LATER.fullmatch(plain):
        found = _point(match[1])
        return Date(found.first, found.last + OPEN_YEARS) if found else None
    if match := _OR_EARLIER.fullmatch(plain):
        found = _point(match[1])
        return Date(found.first - OPEN_YEARS, found.last) if found else None
    return _point(plain) or _between(plain)


def _between(plain: str) -> Date | None:
    """ "1650-55", "1503/06", "1820s-30s", "15th-16th century", "between 1870 and 1890"."""
    for match in _RANGE.finditer(plain):
        left, right = plain[: match.start()], plain[match.end() :]
        first = _point(left) or _point(f"{left} century")
        if first is None:
            continue
        last = _abbreviated(left, right) or _point(right)
        if last is not None:
            return Date(min(first.first, last.first), max(first.last, last.last))
    return None


def _abbreviated(left: str, right: str) -> Date | None:
    """ "55" after "1650", "30s" after "1820s". A smaller number is a month: "1898-02"."""
    begins, ends = re.search(r"(\d{4})s?$", left), re.fullmatch(r"(\d{1,2})(s?)", right)
    if begins is None or ends is None:
        return None
    year, digits = int(begins[1]), len(ends[1])
    last = year // 10**digits * 10**digits + int(ends[1])
    return _span(last if last > year else year, 10 if ends[2] else 1)


def _point(plain: str) -> Date | None:
    """A year, a decade, a century, or a part of the last two."""
    for pattern, part, parts in _PARTS:
        match = re.match(rf"{pattern}{_OF}(?=\S)", plain)
        whole = _whole(plain[match.end() :]) if match else None
        if whole is not None:
            years = whole.last - whole.first + 1
            return Date(
                whole.first + years * part // parts, whole.first + years * (part + 1) // parts - 1
            )
    return _whole(plain)


def _whole(plain: str) -> Date | None:
    for pattern, dates in _WHOLE:
        match = re.fullmatch(pattern, plain)
        if match is not None:
            return dates(match)
    return None


def _century(match: re.Match[str]) -> Date:
    name = next(filter(None, match.groups()))
    number = int(name) if name.isdigit() else _CENTURIES[name]
    return _span((number - 1) * 100, 100)


# The "1600s" may be a decade, too; the century has it in it.
_WHOLE: tuple[tuple[str, Callable[[re.Match[str]], Date]], ...] = (
    (r"(-?\d{1,4})", lambda match: _span(int(match[1]), 1)),
    (r"(\d{4})-\d\d-\d\d(?:t.*)?", lambda match: _span(int(match[1]), 1)),
    (r"(\d{1,2}00)'?s", lambda match: _span(int(match[1]), 100)),
    (r"(?:the )?(\d{2,3}0)(?:'?s|er(?: ?jahre)?)", lambda match: _span(int(match[1]), 10)),
    (rf"(?:the )?{_NTH}(?:st|nd|rd|th|e|er|eme|\.)?[ -]?{_CENTURY}", _century),
    (rf"(?:siglo|secolo|sec\.?|s\.) {_NTH}", _century),
)
