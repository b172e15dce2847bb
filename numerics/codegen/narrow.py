"""Generated text in lines of at most 100 columns: the same tokens, with breaks between them."""

from __future__ import annotations

import io
import re
import textwrap
import tokenize
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

#: The longest line of a saved file.
COLUMNS = 100
#: A break is not taken before this part of a line, if there is a later one.
_EARLY = 0.25
_OPENING, _CLOSING = "([{", ")]}"
#: Tokens before which a line inside of brackets may end.
_BINARY = {"+", "-", "*", "/", "@", "|", "&", "and", "or", "if", "else", "for"}
#: Tokens after which + and - are signs.
_NO_OPERAND = {
    "(",
    "[",
    "{",
    ",",
    "=",
    ":",
    "+",
    "-",
    "*",
    "/",
    "**",
    "@",
    "return",
    "lambda",
    "in",
    "and",
    "or",
    "if",
    "else",
}

#: A line of an equation.
_EQUATION = re.compile(r"""\s*(r?\"{3})?(\w+'?(\[[^\]]*\])? = |\+ |= )""")

Token = tokenize.TokenInfo


@dataclass(frozen=True)
class Fragment:
    """A token with the blanks in front of it: at which depth of brackets, and whether a line may end in front of it."""

    text: str
    depth: float
    free: bool


def narrowed(source: str, columns: int = COLUMNS) -> str:
    """Python source with its long lines broken; a token that is longer than a line stays, unless it is text."""
    lines = source.splitlines()
    if all(len(line) <= columns for line in lines):
        return source
    by_line: defaultdict[int, list[Token]] = defaultdict(list)
    written: set[int] = set()  # lines that begin in the middle of a text
    depth_at: dict[int, int] = {}
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        first, last = token.start[0], token.end[0]
        depth_at.setdefault(first, depth)
        if token.type in (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
            continue
        by_line[first].append(token)
        written |= set(range(first + 1, last + 1))
        depth += (token.string in _OPENING) - (token.string in _CLOSING) if token.type == tokenize.OP else 0
    found = []
    for number, line in enumerate(lines, start=1):
        if len(line) <= columns:
            found.append(line)
        elif number in written or _is_text(by_line[number]):
            found += _of_words(line, columns)
        else:
            found += _of_code(line, by_line[number], depth_at.get(number, 0), columns)
    return "\n".join(found) + "\n" * source.endswith("\n")


def _is_text(tokens: list[Token]) -> bool:
    """A docstring, or a comment alone."""
    return len(tokens) == 1 and (tokens[0].type == tokenize.COMMENT or '"""' in tokens[0].string)


def _of_words(line: str, columns: int) -> list[str]:
    """A line of a docstring or comment, broken between words; the rest of an equation stands further right."""
    if "-" * 20 in line:  # a rule between parts
        return [line.replace("-" * (len(line) - columns), "", 1)]
    indent = line[: len(line) - len(line.lstrip())]
    mark = next((m for m in ("#: ", "# ") if line.lstrip().startswith(m)), "")
    hang = indent + (mark or "    " * bool(_EQUATION.match(line)))
    return textwrap.wrap(
        line, columns, initial_indent="", subsequent_indent=hang, break_long_words=False, break_on_hyphens=False,
        drop_whitespace=True,
    )  # fmt: skip


def _of_code(line: str, tokens: list[Token], depth: int, columns: int) -> list[str]:
    indent = line[: len(line) - len(line.lstrip())]
    above = []
    if tokens and tokens[-1].type == tokenize.COMMENT:
        *tokens, comment = tokens
        above = _of_words(indent + comment.string, columns) if tokens else []
        line = line[: comment.start[1]].rstrip()
        if len(line) <= columns:
            return [*above, line]
    pieces = _pieces(line, tokens, depth)
    if not depth:
        pieces = _bracketed(pieces)
    further = indent + "    " * (2 if line.lstrip().startswith("def ") else 1)
    return above + _filled(pieces, indent, further, columns)


def _pieces(line: str, tokens: list[Token], depth: int) -> list[Fragment]:
    pieces, before, end, target = [], "", tokens[0].start[1], False
    for token in tokens:
        text = token.string
        depth -= token.type == tokenize.OP and text in _CLOSING
        sign = text in "+-" and before in _NO_OPERAND
        free = (before == "," and not target) or (text in _BINARY and not sign and before != "*" and text != "**")
        for i, part in enumerate(_parts(text) if token.type == tokenize.STRING else [text]):
            blank = " " if i else line[end : token.start[1]]
            # between elements before a sum is broken, and a sum before a product in it
            level = depth + (0.5 if i or text in "*/@" else 0.25 * (before != ","))
            pieces.append(Fragment(blank + part, level, i > 0 or (free and text not in _CLOSING)))
        depth += token.type == tokenize.OP and text in _OPENING
        target = text == "for" or (target and text != "in")
        before, end = text, token.end[1]
    return pieces


def _parts(text: str, length: int = 45) -> list[str]:
    """A long literal as several, cut between words outside of the braces of an f-string."""
    head = text[: text.index('"')] if '"' in text else ""
    if len(text) <= length or '"""' in text or not text.endswith('"') or "r" in head:
        return [text]
    inside, parts, part, braces = text[len(head) + 1 : -1], [], "", 0
    for character in inside:
        part += character
        braces += (character == "{") - (character == "}") if "f" in head else 0
        if character == " " and not braces and len(part) > length:
            parts.append(part)
            part = ""
    return [f'{head}"{p}"' for p in (*parts, part) if p]


def _bracketed(pieces: list[Fragment]) -> list[Fragment]:
    """The right-hand side in brackets, if a sum or product of it stands in none."""
    start = 1 + next((i for i, p in enumerate(pieces) if p.depth < 1 and p.text.strip() in ("=", "return")), -1)
    right = pieces[start:]
    if not start or not any(p.free and p.depth < 1 for p in right) or right[-1].text.strip() == ":":
        return pieces
    first = Fragment(f" ({right[0].text.lstrip()}", 1, False)
    inner = [Fragment(p.text, p.depth + 1, p.free) for p in right[1:]]
    return [*pieces[:start], first, *inner, Fragment(")", 1, False)]


def _filled(pieces: list[Fragment], indent: str, further: str, columns: int) -> list[str]:
    """Lines as long as they may be, ending at the lowest depth of brackets."""
    lines: list[str] = []
    line = [Fragment(pieces[0].text.lstrip(), pieces[0].depth, False), *pieces[1:]]
    while True:
        margin = further if lines else indent
        ends = [len(margin)]
        for piece in line:
            ends.append(ends[-1] + len(piece.text))
        fits = [
            i
            for i, (end, _) in enumerate(pairwise(ends))
            if i and line[i].free and line[i].depth >= 1 and end <= columns
        ]
        if ends[-1] <= columns or not fits:
            return [*lines, margin + "".join(p.text for p in line).lstrip()]
        late = [i for i in fits if ends[i] > _EARLY * columns] or fits
        lowest = min(line[i].depth for i in late)
        cut = max(i for i in late if line[i].depth == lowest)
        lines.append(margin + "".join(p.text for p in line[:cut]).lstrip())
        line = line[cut:]
