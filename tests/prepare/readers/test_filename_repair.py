import unicodedata

import pytest

from artjax.prepare.readers.filename_repair import canonical_name

NAMES = [
    "Impressionism/joaquín-sorolla_beach.jpg",
    "Symbolism/arnold-böcklin_Äpfel.jpg",
    "Realism/antónio-de-carvalho_tête à tête.png",
]


def misread(name, encoding):
    return name.encode("utf-8").decode(encoding)


MANGLED = {
    "as it is": lambda name: name,
    "decomposed": lambda name: unicodedata.normalize("NFD", name),
    "upper case": str.upper,
    "backslashes": lambda name: name.replace("/", "\\"),
    "utf-8 read as latin-1": lambda name: misread(name, "latin-1"),
    "utf-8 read as cp437": lambda name: misread(name, "cp437"),
    "twice": lambda name: misread(misread(name, "latin-1"), "latin-1"),
    "decomposed, then misread": lambda name: misread(unicodedata.normalize("NFD", name), "latin-1"),
    "latin-1 bytes on disk": lambda name: name.encode("latin-1").decode("utf-8", "surrogateescape"),
    "as in the official lists": lambda name: misread(name.lower(), "latin-1").lower(),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mangled", MANGLED)
def test_mangled_names_find_each_other(name, mangled):
    assert canonical_name(MANGLED[mangled](name)) == canonical_name(name)


def test_cp1252_where_it_has_all_bytes():
    name = "Symbolism/arnold-böcklin_é.jpg"
    assert canonical_name(misread(name, "cp1252")) == canonical_name(name)


def test_different_names_stay_different():
    names = ["a/é.jpg", "a/e.jpg", "a/è.jpg", "b/é.jpg", "a/ã.jpg", "a/â.jpg", "a/é (1).jpg"]
    assert len({canonical_name(name) for name in names}) == len(names)
