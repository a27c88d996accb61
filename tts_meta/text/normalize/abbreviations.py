"""Expansion of titles and abbreviations: "Mr." to "Mister"."""

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
# Titles that are also written without a dot. Others are ambiguous without one: "Gen Z", "Rep Power".
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
# Expanded only before a number. In other places they are words, or the dot ends a sentence.
_BEFORE_NUMBER = {
    "p.": "page", "P.": "Page", "pp.": "pages", "Pp.": "Pages", "vol.": "volume", "Vol.": "Volume", "vols.": "volumes",
    "fig.": "figure", "Fig.": "Figure", "figs.": "figures", "Figs.": "Figures", "ch.": "chapter", "Ch.": "Chapter",
    "chap.": "chapter", "Chap.": "Chapter", "sec.": "section", "Sec.": "Section", "art.": "article", "Art.": "Article",
    "ed.": "edition", "est.": "established", "Est.": "Established", "c.": "circa", "ca.": "circa", "b.": "born",
    "d.": "died", "eq.": "equation", "Eq.": "Equation", "l.": "line", "ll.": "lines", "v.": "verse", "vv.": "verses",
    "op.": "opus", "Op.": "Opus", "Nos.": "Numbers", "nos.": "numbers", "No.": "Number", "para.": "paragraph",
    "ext.": "extension", "Ext.": "Extension", "tel.": "telephone", "Tel.": "Telephone", "cl.": "clause",
}  # fmt: skip
_BEFORE_ANSWER_NO = (
    "said say says saying answer answers answered reply replies replied is was were are a an his her my your their "
    "clear firm definite oh and or just simply still told whispered shouted cried means meant"
)
_TITLE = re.compile(
    rf"(?<![\w.])(?:({'|'.join(sorted(_TITLES, key=len, reverse=True))})\. ?|({'|'.join(_UNDOTTED)}) )(?=['\"“]?[A-Z])"
)
_FIXED = re.compile(
    rf"(?<![\w.&])({'|'.join(re.escape(a) for a in sorted(_ALWAYS, key=len, reverse=True))})(?!\w)(?!\.\w)"
)
_number_words = "|".join(re.escape(word) for word in sorted(_BEFORE_NUMBER, key=len, reverse=True))
_NUMBERED = re.compile(rf"(?<![\w.'])({_number_words}) ?(?=\d|(?:[IVXLC]{{2,}}|[VX])\b)")
_ANY = re.compile(
    r"[A-Za-z]\.|/|\b(?:vs|etc|aka|AKA|BTW|FYI|IMO|TBD|WWI|WWII|WW1|WW2|Mr|Mrs|Ms|Dr|Prof|St|Mt|Lt|Sgt|Capt)\b"
)
_NO = re.compile(r"(?<![\w.'])(\w+[,:]? )?no\. ?(?=\d)")
_LETTERED = re.compile(r"(?<![\w.])([Ff]igs?\.|[Ee]q\.|[Ss]ec\.) ?(?=(?!I\b)[A-Z]\b)")
_STREETS = {"St": "Street", "Ave": "Avenue", "Rd": "Road", "Blvd": "Boulevard", "Ln": "Lane", "Dr": "Drive"}


def expand_abbreviations(text: str) -> str:
    """Expand abbreviations, but no numbers: "Mr. Smith" to "Mister Smith", "p. 5" to "page 5"."""
    if not _ANY.search(text):
        return text
    text = _NUMBERED.sub(lambda m: f"{_BEFORE_NUMBER[m[1]]} ", text)
    text = _LETTERED.sub(lambda m: f"{_BEFORE_NUMBER[m[1]]} ", text)
    text = _NO.sub(_no, text)
    text = _TITLE.sub(_title, text)
    return _FIXED.sub(_fixed, text)


def is_title(word: str) -> bool:
    """Return whether the word, with its dot, is a title, so that a name follows."""
    return word.endswith(".") and word[:-1] in _TITLES


def precedes_number(word: str) -> bool:
    """Return whether the abbreviation is used only before a number, such as "pp."."""
    return word in _BEFORE_NUMBER or word == "no."


def is_lettered(word: str) -> bool:
    """Return whether a single letter may follow the abbreviation, as in "Fig. A"."""
    return _LETTERED.match(f"{word} A") is not None


def is_abbreviation(word: str) -> bool:
    """Return whether the word, with its dot, is an abbreviation."""
    return word in _ALWAYS


def _title(match: re.Match[str]) -> str:
    title = match[1] or match[2]
    if title in ("St", "Mt", "Ft", "Dr") and _is_street(match.string, match.start(), match.end()):
        return f"{_STREETS.get(title, _TITLES[title])}{'. ' if '.' in match[0] else ' '}"
    return f"{_TITLES[title]} "


def _is_street(text: str, start: int, end: int) -> bool:
    """Return whether a name precedes the word and a new sentence follows it, as in "James St. He"."""
    before = re.search(r"([A-Z][a-z]+|\d+(?:st|nd|rd|th)) $", text[max(0, start - 30) : start])
    after = re.match(r"(?:He|She|It|They|We|You|The|A|An|In|On|At|But|And|This|That|There|Then)\b", text[end:])
    return before is not None and after is not None


def _fixed(match: re.Match[str]) -> str:
    word = _ALWAYS[match[1]]
    is_at_end = match[1].endswith(".") and not re.search(r"\w", match.string[match.end() :])
    has_stop = re.match(r"[.!?…]", match.string[match.end() :])
    return word + ("." if is_at_end and not has_stop else "")


def _no(match: re.Match[str]) -> str:
    before = match[1] or ""
    if before.strip(" ,:").lower() in _BEFORE_ANSWER_NO.split() or before.rstrip().endswith((",", ":")):
        return match[0]
    return f"{before}number "
