"""Titles and abbreviations to the words they stand for."""

from __future__ import annotations

import re

_TITLES = {
    "Mr": "Mister", "Mrs": "Mrs", "Ms": "Miz", "Dr": "Doctor", "Drs": "Doctors", "Prof": "Professor", "St": "Saint",
    "Mt": "Mount", "Ft": "Fort", "Gen": "General", "Gov": "Governor", "Sen": "Senator", "Rep": "Representative",
    "Capt": "Captain", "Lt": "Lieutenant", "Col": "Colonel", "Sgt": "Sergeant", "Cmdr": "Commander", "Rev": "Reverend",
    "Hon": "Honorable", "Pres": "President", "Supt": "Superintendent", "Cpl": "Corporal", "Maj": "Major",
    "Adm": "Admiral", "Fr": "Father", "Msgr": "Monsignor", "Messrs": "Messrs", "Mme": "Madame", "Mlle": "Mademoiselle",
    "Pvt": "Private", "Brig": "Brigadier", "Insp": "Inspector", "Sr": "Sister", "Br": "Brother",
}  # fmt: skip
# Titles that are written without a dot too; "Gen Z" and "Rep Power" are none.
_UNDOTTED = ("Mr", "Mrs", "Ms", "Dr", "Prof", "St", "Mt", "Lt", "Sgt", "Capt")
_ALWAYS = {
    "Mr.": "Mister", "Mrs.": "Mrs", "Ms.": "Miz", "Dr.": "Doctor", "Prof.": "Professor",
    "Jr.": "Junior", "Sr.": "Senior", "Esq.": "Esquire", "St.": "Street", "Mt.": "Mount", "Ave.": "Avenue",
    "Blvd.": "Boulevard", "Rd.": "Road", "Ln.": "Lane", "Hwy.": "Highway", "Pkwy.": "Parkway", "Ste.": "Suite",
    "Apt.": "Apartment", "Bldg.": "Building", "Ltd.": "Limited", "Inc.": "Incorporated", "Corp.": "Corporation",
    "Co.": "Company", "Bros.": "Brothers", "Dept.": "Department", "dept.": "department", "Univ.": "University",
    "Assn.": "Association", "Govt.": "Government", "govt.": "government", "approx.": "approximately",
    "Approx.": "Approximately", "vs.": "versus", "vs": "versus", "cf.": "compare", "Cf.": "Compare",
    "et al.": "et al", "etc.": "et cetera", "etc": "et cetera", "&c.": "et cetera",
    "viz.": "namely", "a.k.a.": "also known as",
    "aka": "also known as", "AKA": "also known as", "w/o": "without", "w/": "with", "b/c": "because",
    "incl.": "including", "excl.": "excluding", "misc.": "miscellaneous", "Misc.": "Miscellaneous",
    "appt.": "appointment", "hrs.": "hours", "yrs.": "years", "lbs.": "pounds", "oz.": "ounces", "ft.": "feet",
    "min.": "minutes", "mins.": "minutes", "secs.": "seconds", "p.a.": "per annum", "Atty.": "Attorney",
    "Mfg.": "Manufacturing", "Intl.": "International", "Natl.": "National", "BTW": "by the way",
    "FYI": "for your information",
    "WWI": "World War One", "WWII": "World War Two", "WW1": "World War One", "WW2": "World War Two",
    "IMO": "in my opinion", "TBD": "to be determined", "Sept.": "September",
}  # fmt: skip
# Only before a number: elsewhere they are words, or stand at the end of a sentence.
_BEFORE_NUMBER = {
    "p.": "page", "P.": "Page", "pp.": "pages", "Pp.": "Pages", "vol.": "volume", "Vol.": "Volume", "vols.": "volumes",
    "fig.": "figure", "Fig.": "Figure", "figs.": "figures", "Figs.": "Figures", "ch.": "chapter", "Ch.": "Chapter",
    "chap.": "chapter", "Chap.": "Chapter", "sec.": "section", "Sec.": "Section", "art.": "article", "Art.": "Article",
    "ed.": "edition", "est.": "established", "Est.": "Established", "c.": "circa", "ca.": "circa", "b.": "born",
    "d.": "died", "eq.": "equation", "Eq.": "Equation", "l.": "line", "ll.": "lines", "v.": "verse", "vv.": "verses",
    "op.": "opus", "Op.": "Opus", "Nos.": "Numbers", "nos.": "numbers", "No.": "Number", "para.": "paragraph",
    "ext.": "extension", "Ext.": "Extension", "tel.": "telephone", "Tel.": "Telephone", "cl.": "clause",
}  # fmt: skip
_SPEAKING = (
    "said say says saying answer answers answered reply replies replied is was were are a an his her my your their "
    "clear firm definite oh and or just simply still told whispered shouted cried means meant"
)
_TITLE = re.compile(
    rf"(?<![\w.])(?:({'|'.join(sorted(_TITLES, key=len, reverse=True))})\. ?|({'|'.join(_UNDOTTED)}) )(?=['\"“]?[A-Z])"
)
_WHOLE = re.compile(
    rf"(?<![\w.&])({'|'.join(re.escape(a) for a in sorted(_ALWAYS, key=len, reverse=True))})(?!\w)(?!\.\w)"
)
_number_words = "|".join(re.escape(word) for word in sorted(_BEFORE_NUMBER, key=len, reverse=True))
_COUNT = re.compile(rf"(?<![\w.'])({_number_words}) ?(?=\d|(?:[IVXLC]{{2,}}|[VX])\b)")
_ANY = re.compile(
    r"[A-Za-z]\.|/|\b(?:vs|etc|aka|AKA|BTW|FYI|IMO|TBD|WWI|WWII|WW1|WW2|Mr|Mrs|Ms|Dr|Prof|St|Mt|Lt|Sgt|Capt)\b"
)
_NO = re.compile(r"(?<![\w.'])(\w+[,:]? )?no\. ?(?=\d)")
_LETTERED = re.compile(r"(?<![\w.])([Ff]igs?\.|[Ee]q\.|[Ss]ec\.) ?(?=(?!I\b)[A-Z]\b)")
_STREETS = {"St": "Street", "Ave": "Avenue", "Rd": "Road", "Blvd": "Boulevard", "Ln": "Lane", "Dr": "Drive"}


def expand_abbreviations(text: str) -> str:
    """ "Mr. Smith" is "Mister Smith", "see p. 5" "see page 5", "in no. 5" "in number 5"; numbers stay digits."""
    if not _ANY.search(text):
        return text
    text = _COUNT.sub(lambda m: f"{_BEFORE_NUMBER[m[1]]} ", text)
    text = _LETTERED.sub(lambda m: f"{_BEFORE_NUMBER[m[1]]} ", text)
    text = _NO.sub(_no, text)
    text = _TITLE.sub(_title, text)
    return _WHOLE.sub(_whole, text)


def is_title(word: str) -> bool:
    """Whether a name follows the word, written with its dot."""
    return word.endswith(".") and word[:-1] in _TITLES


def precedes_number(word: str) -> bool:
    """Whether the abbreviation stands before a number only, such as "pp."."""
    return word in _BEFORE_NUMBER or word == "no."


def is_lettered(word: str) -> bool:
    """Whether a single letter may follow the abbreviation, as in "Fig. A"."""
    return _LETTERED.match(f"{word} A") is not None


def is_abbreviation(word: str) -> bool:
    """Whether the word, written with its dot, is an abbreviation."""
    return word in _ALWAYS


def _title(found: re.Match[str]) -> str:
    title = found[1] or found[2]
    if title in ("St", "Mt", "Ft", "Dr") and _is_street(found.string, found.start(), found.end()):
        return f"{_STREETS.get(title, _TITLES[title])}{'. ' if '.' in found[0] else ' '}"
    return f"{_TITLES[title]} "


def _is_street(text: str, start: int, end: int) -> bool:
    """Whether a name stands before and a new sentence begins after: "James St. He"."""
    before = re.search(r"([A-Z][a-z]+|\d+(?:st|nd|rd|th)) $", text[max(0, start - 30) : start])
    after = re.match(r"(?:He|She|It|They|We|You|The|A|An|In|On|At|But|And|This|That|There|Then)\b", text[end:])
    return before is not None and after is not None


def _whole(found: re.Match[str]) -> str:
    word = _ALWAYS[found[1]]
    ends = found[1].endswith(".") and not re.search(r"\w", found.string[found.end() :])
    has_stop = re.match(r"[.!?…]", found.string[found.end() :])
    return word + ("." if ends and not has_stop else "")


def _no(found: re.Match[str]) -> str:
    before = found[1] or ""
    if before.strip(" ,:").lower() in _SPEAKING.split() or before.rstrip().endswith((",", ":")):
        return found[0]
    return f"{before}number "
