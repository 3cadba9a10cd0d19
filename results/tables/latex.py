"""Tables as LaTeX, of the packages booktabs, longtable, siunitx and array."""

import re

from results.tables.sheet import Kind, Sheet
from results.wording import unbroken

HEAD = (
    "% \\usepackage{booktabs,longtable,siunitx,array}\n"
    "% Scores and settings fit a text of 5.5 inches (NeurIPS); provenance and published tables\n"
    "% need up to 6.875. In a document of two columns, make each table a table*.\n"
    "% A character that pdfTeX has no letter for is its code there, and itself by other engines.\n"
    "\\providecommand\\bychar[2]{\\ifdefined\\Umathcode#2\\else U+#1\\fi\\allowbreak}\n"
)
"""What a file of tables begins with."""

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")

_LOOK = r"\setlength{\belowcaptionskip}{4pt}"
_SIZES = {
    12: r"\footnotesize\setlength{\tabcolsep}{4pt}",
    99: r"\scriptsize\setlength{\tabcolsep}{2pt}",
}
"""Up to how many columns, which size: so a table fits a page."""

_PAGE = 35
"""Lines that a page has room for, with a caption, in the sizes that journals print."""

_LONG = 24
"""Characters from which on a column of text is wrapped."""

_LINE = 15
"""Characters that a line of such a column has room for at least."""

_CODE = len("U+98DE")

_WORD = 16
"""Characters from which on a word in such a column may be broken."""

_SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "\N{MINUS SIGN}": r"$-$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "Δ": r"$\Delta$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "†": r"\textdagger{}",
    "§": r"\S{}",
    "\N{EN DASH}": r"\textendash{}",
    "—": r"\textemdash{}",
    "\N{NO-BREAK SPACE}": "~",
    "…": r"\ldots{}",
    # At the beginning of a row these would belong to the end of the row above.
    "[": "{[}",
    "*": "{*}",
    # Else it would turn a question mark before it.
    "`": "{`}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}

_ACCENTED = "".join(map(chr, [*range(0xC0, 0xD7), *range(0xD8, 0xF7), *range(0xF8, 0x100)]))
_KNOWN = frozenset(_ACCENTED) - frozenset("ÐÞðþ")
"""Letters that LaTeX knows in its first encoding, OT1."""


def as_latex(sheet: Sheet) -> str:
    """Return a table with its caption, its label and rules; a short caption for the list.

    Numbers stand in columns of siunitx, whatever else is in them beside it. What names of users
    mean to TeX is taken from them. It goes into a document after `HEAD`; one that may be longer
    than a page is no float, and continues on the next.
    """
    columns = list(zip(*sheet.rows, strict=True)) or [()] * len(sheet.head)
    formats = "@{}" + "".join(map(_column, columns, sheet.kinds)) + "@{}"
    head = _line(sheet.head, ["number" if kind == "number" else "text" for kind in sheet.kinds])
    head = f"\\toprule\n{head}\n\\midrule\n"
    rows = "".join(
        ("\\midrule\n" if at in sheet.breaks else "") + _line(row, sheet.kinds) + "\n"
        for at, row in enumerate(sheet.rows)
    )
    title = escape(sheet.title)
    caption = f"\\caption[{{{title}}}]{{{title}. {escape(unbroken(sheet.note))}}}"
    if sheet.label:
        caption += f"\n\\label{{tab:{sheet.label}}}"
    look = _LOOK + next(size for most, size in _SIZES.items() if len(sheet.head) <= most)
    if sum(map(_lines, sheet.rows)) > _PAGE:
        return (
            f"{{{look}\\setlength{{\\LTcapwidth}}{{\\linewidth}}\n"
            f"\\begin{{longtable}}{{{formats}}}\n{caption} \\\\\n{head}\\endfirsthead\n"
            f"{head}\\endhead\n\\bottomrule\n\\endfoot\n{rows}\\end{{longtable}}}}\n"
        )
    return (
        f"\\begin{{table}}\n\\centering{look}\n{caption}\n\\begin{{tabular}}{{{formats}}}\n"
        f"{head}{rows}\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )


def escape(text: str) -> str:
    """Return a text that TeX prints as it is; `HEAD` has what other alphabets need."""
    # Two of a kind would be a dash, or a quotation mark.
    return re.sub(r"([-'])(?=\1)", r"\1{}", "".join(map(_sign, text)))


def _sign(sign: str) -> str:
    if sign in _SIGNS:
        return _SIGNS[sign]
    if sign.isascii() or sign in _KNOWN:
        return sign
    return f"\\bychar{{{ord(sign):04X}}}{{{sign}}}"


def _line(cells: list[str], kinds: list[Kind]) -> str:
    return " & ".join(map(_cell, cells, kinds)) + " \\\\"


def _cell(cell: str, kind: Kind) -> str:
    if kind == "number":
        return _number(cell) or (f"{{{escape(cell)}}}" if cell else "")
    return _breakable(cell)


def _number(cell: str) -> str:
    """Return a number as siunitx reads it; empty if it is none."""
    plain = cell.replace("\N{MINUS SIGN}", "-")
    return plain if _NUMBER.fullmatch(plain) else ""


def _breakable(text: str) -> str:
    """Return a text whose long words may be broken: behind a sign, or after some letters."""
    if _length(text) <= _LONG:
        return escape(text)
    return " ".join(_word(word) if len(word) > _WORD else escape(word) for word in text.split(" "))


def _lines(row: list[str]) -> int:
    """Return about how many lines a row takes."""
    return max(-(-_length(cell) // _LINE) if _length(cell) > _LONG else 1 for cell in row)


def _length(text: str) -> int:
    """Return how many characters pdfTeX prints; of other alphabets, codes such as U+98DE."""
    return sum(1 if sign in _SIGNS or sign.isascii() or sign in _KNOWN else _CODE for sign in text)


def _word(word: str) -> str:
    pieces = re.findall(r"\d+(?:\.\d+)+|[^/_.:,=+-]{1,12}[/_.:,=+-]?|[/_.:,=+-]", word)
    return "\\allowbreak{}".join(map(escape, pieces))


def _column(cells: tuple[str, ...], kind: Kind) -> str:
    if kind == "number":
        return f"S[{_format(list(filter(None, map(_number, cells))))}]"
    if kind == "right":
        return "r"
    if max(map(_length, cells), default=0) <= _LONG:
        return "l"
    share = "0.3" if kind == "prose" else "0.2"
    return f">{{\\raggedright\\arraybackslash}}p{{{share}\\linewidth}}"


def _format(numbers: list[str]) -> str:
    """Return the format of a column of siunitx: digits before and behind the point, and a sign."""
    signed = any(number[0] in "+-" for number in numbers)
    parts = [number.lstrip("+-").partition(".") for number in numbers]
    before = max((len(whole) for whole, _, _ in parts), default=1)
    behind = max((len(rest) for _, _, rest in parts), default=0)
    plus = ",retain-explicit-plus" if signed else ""
    return f"table-format={'+' if signed else ''}{before}.{behind}{plus}"
