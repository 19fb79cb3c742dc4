"""Repairs file names that were mangled on their way, so that lists and files match."""

from __future__ import annotations

import re
import unicodedata

# How UTF-8 bytes look when an archiver takes them for another encoding. cp1252 leaves five bytes
# undefined, which latin-1 has, and cp437 is what zip means when it does not say UTF-8.
_MISTAKEN_FOR = ("cp1252", "latin-1", "cp437")
# "í" is C3 AD in UTF-8, "Ã\xad" in latin-1, and "ã\xad" when that is put into lower case, as all 709
# mangled names of the official WikiArt lists were. No UTF-8 text begins so, so it can be undone.
_LOWERED = re.compile("[ãâ]([\u0080-\u00bf])")
_ROUNDS = 3


def canonical_name(name: str) -> str:
    """The same key for all spellings of a relative path.

    Undone are: backslashes, composed and decomposed accents (NFC and NFD), upper and lower case, raw
    bytes that the file system could not decode, and UTF-8 that was read as latin-1, cp1252 or cp437
    up to three times, also when it was put into lower case afterwards.

    Args:
      name: a relative path, as it is on disk or in a list.

    Returns:
      A key to compare by; it need not be a name on disk.
    """
    if name.isascii():  # nothing to repair, which is most names of a large list
        return name.replace("\\", "/").lower()
    return repaired_name(readable_name(name).replace("\\", "/")).casefold()


def repaired_name(name: str) -> str:
    """The name, composed (NFC), without UTF-8 that was read as latin-1, cp1252 or cp437."""
    for _ in range(_ROUNDS):
        repaired = _undo_once(unicodedata.normalize("NFC", name))
        if repaired == name:
            break
        name = repaired
    return unicodedata.normalize("NFC", name)


def readable_name(name: str) -> str:
    """The name as text that can be written anywhere.

    Python keeps bytes of a file name that are not UTF-8 as surrogates, which no file and no TFRecord
    takes. Such bytes were latin-1.
    """
    raw = name.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _undo_once(name: str) -> str:
    for encoding in _MISTAKEN_FOR:
        try:
            return name.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return _LOWERED.sub(_from_lowered, name)


def _from_lowered(match: re.Match[str]) -> str:
    lead = 0xC3 if match[0][0] == "ã" else 0xC2
    return bytes([lead, ord(match[1])]).decode("utf-8").replace("\u00a0", " ")
