"""BibTeX entries: their keys, and the line that people read.

Only as much of BibTeX as a reference needs: one entry, braced or quoted fields, no macros.
"""

from __future__ import annotations

import re
import unicodedata

_ENTRY = re.compile(r"\s*@(\w+)\s*\{\s*([^\s,{}]+)\s*,(.*)\}\s*", re.DOTALL)

_FIELD = re.compile(r"(\w+)\s*=\s*")


def bibtex_key(entry: str) -> str:
    """The key of a BibTeX entry, ``zhang2022opt`` of ``@article{zhang2022opt, ...}``.

    Parameters
    ----------
    entry : str
        One entry.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        The text is not one BibTeX entry with balanced braces.
    """
    match = _ENTRY.fullmatch(entry)
    if match is None or entry.count("{") != entry.count("}"):
        raise ValueError(f"no valid BibTeX entry: {' '.join(entry.split())[:60]!r}")
    return match[2]


def bibtex_fields(entry: str) -> dict[str, str]:
    """Fields of a BibTeX entry.

    Parameters
    ----------
    entry : str
        One entry.

    Returns
    -------
    dict of str to str
        Values by lower-case name, without their outer braces or quotes.

    Raises
    ------
    ValueError
        The text is not one BibTeX entry with balanced braces.
    """
    bibtex_key(entry)
    match = _ENTRY.fullmatch(entry)
    assert match is not None
    body, fields, at = match[3], {}, 0
    while found := _FIELD.search(body, at):
        value, at = _value(body, found.end())
        fields[found[1].lower()] = " ".join(value.split())
    return fields


def _value(body: str, at: int) -> tuple[str, int]:
    """A field's value from ``at`` on, and where it ends: braced, quoted, or a bare number."""
    opening = body[at : at + 1]
    closing = {"{": "}", '"': '"'}.get(opening, ",")
    first = at if closing == "," else at + 1
    depth = 0
    for end in range(first, len(body)):
        if depth == 0 and body[end] == closing:
            return body[first:end], end + 1
        depth += (body[end] == "{") - (body[end] == "}")
    return body[first:], len(body)


def citation_line(entry: str) -> str:
    """Authors, year, journal, volume and pages: what a summary prints.

    More than three authors are given as the first and "et al.". An entry that has no author or
    year is given by its key.

    Parameters
    ----------
    entry : str
        One entry.

    Returns
    -------
    str

    Examples
    --------
    >>> citation_line("@article{a, author={Doe, Jo}, year={2020}, journal={Brain}, volume={3}}")
    'Doe (2020). Brain 3.'
    """
    fields = bibtex_fields(entry)
    if not {"author", "year"} <= fields.keys():
        return bibtex_key(entry)
    names = [_plain(_family_name(name)) for name in fields["author"].split(" and ")]
    if len(names) > 3 or names[-1] == "others":
        who = f"{names[0]} et al."
    else:
        who = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    where = fields.get("journal") or fields.get("booktitle") or fields.get("institution", "")
    if volume := fields.get("volume"):
        where += f" {volume}"
    if pages := fields.get("pages"):
        where += f", {pages}"
    return f"{who} ({fields['year']}).{_plain(f' {where}.') if where else ''}"


def _family_name(name: str) -> str:
    """``Doe`` of ``Doe, Jo`` and of ``Jo Doe``; all of ``{The Doe Group}``."""
    family, comma, _ = name.strip().partition(",")
    return family if comma or family.startswith("{") else family.split()[-1]


_ACCENTS = {"'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303"}


def _plain(text: str) -> str:
    """LaTeX as plain text: accents, no braces, single dashes for ranges, plain quotes."""

    def accented(match: re.Match[str]) -> str:
        return unicodedata.normalize("NFC", match[2] + _ACCENTS[match[1]])

    text = re.sub(r"\\(['`^\"~])\{?(\w)\}?", accented, text)
    for latex, plain in (("{", ""), ("}", ""), ("``", "'"), ("''", "'"), ("--", "-"), (r"\&", "&")):
        text = text.replace(latex, plain)
    return text
