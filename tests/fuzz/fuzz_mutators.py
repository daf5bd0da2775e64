"""Changes that make a valid file a bad one, or one that only looks valid.

A mutator takes the file's bytes and a `random.Random` and returns other bytes; it draws from that alone, so the same
seed gives the same bytes. Never reads or writes a file.
"""

# ruff: noqa: E501 - lists of what is put in read better in few lines

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

__all__ = ["MUTATORS", "Mutator"]

Mutator = Callable[[bytes, Random], bytes]

_T = TypeVar("_T")

NUMBERS = (
    "", "1e999", "-1e999", "NaN", "nan", "inf", "-Infinity", "-0", "-0.0", "1e-400", "0x10", "0o17", "1,5", "1.000,5",
    "1_000", "١٢", "\uff11\uff12", "1d3", "12 W", "99999999999999999999", "-1", "--1", "1.2.3", "true", "null", "1e", ".", "+",
    "1 2", "0.1234567890123456789", "1E+2", "007", "1e5", "-273.16", "2147483648", "autosize", "%", "5%", "~",
)  # fmt: skip
WORDS = (
    "", "*", "../../etc/passwd", '"', "'", "Zürich", "\u2028", "x" * 300, "null", "Yes", "No", "$HOME", "{}", "[", "!x",
    "a b", " ", "\t", "0", "=1+1", "<b>", "%s", "\\", "\x07", "\u202e", "😀", "#", "Autosize", "-", ":", "?",
)  # fmt: skip
_NUMBER = re.compile(rb"(?<![\w.])-?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?(?![\w.])")
_WORD = re.compile(rb"[A-Za-z][A-Za-z_0-9]{2,}")


def pick(options: Sequence[_T], rng: Random) -> _T:
    """Return one of `options`."""
    return options[rng.randrange(len(options))]


def _place(content: bytes, rng: Random) -> int:
    return rng.randrange(len(content) + 1)


# Bytes.


def flip_byte(content: bytes, rng: Random) -> bytes:
    """Change one byte to any other."""
    at = _place(content[1:], rng)
    return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]


def drop_bytes(content: bytes, rng: Random) -> bytes:
    """Leave out a few bytes somewhere."""
    at = _place(content, rng)
    return content[:at] + content[at + 1 + rng.randrange(40) :]


def double_bytes(content: bytes, rng: Random) -> bytes:
    """Write a few bytes twice."""
    at = _place(content, rng)
    return content[:at] + content[at : at + 1 + rng.randrange(80)] + content[at:]


def cut(content: bytes, rng: Random) -> bytes:
    """End the file early, as a lost connection does."""
    return content[: _place(content, rng)]


def insert_hostile(content: bytes, rng: Random) -> bytes:
    """Write something that is no text, or not this kind of text, somewhere."""
    hostile = (
        b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3\x28", b"\x80", b"\r", b"\x1a", b"\t", b"\x0c", b"\xe2\x80\xa8",
        b"\xc2\xa0", b"x" * 100_000, b"," * 5_000, b"(" * 3_000, b"\n" * 200, b"\x1b[31m", b";", b"!", b"#", b'"',
    )  # fmt: skip
    at = _place(content, rng)
    return content[:at] + pick(hostile, rng) + content[at:]


def encode_again(content: bytes, rng: Random) -> bytes:
    """Save the file as an editor of another system does."""
    text = content.decode("latin-1")
    return pick(
        (
            lambda: b"\xef\xbb\xbf" + content,
            lambda: text.encode("utf-16"),
            lambda: text.encode("utf-16-be"),
            lambda: content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
            lambda: content.replace(b"\r\n", b"\n").replace(b"\n", b"\r"),
            lambda: content.replace(b" ", b"\t"),
            lambda: content.rstrip() + b"\x1a",
            lambda: content.replace(b"e", "é".encode("latin-1"), 3),
            lambda: content.replace(b"e", "é".encode(), 3),
            lambda: content + b"\0" * 512,
        ),
        rng,
    )()


def replace_all(content: bytes, rng: Random) -> bytes:
    """Put something else in the file's place."""
    return pick(
        (
            b"", b"\n\n\n", b" ", b"\0", b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n", b"null\n",
            b"[]\n", b"{}\n", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", b"PK\x03\x04" + b"\0" * 60,
            content[::-1], b"\x89PNG\r\n\x1a\n", b"SQLite format 3\0", content + content,
        ),
        rng,
    )  # fmt: skip


# Lines.


def drop_line(content: bytes, rng: Random) -> bytes:
    """Leave out one line."""
    lines = content.splitlines(keepends=True)
    if lines:
        del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def double_line(content: bytes, rng: Random) -> bytes:
    """Write one line twice."""
    lines = content.splitlines(keepends=True) or [b""]
    at = rng.randrange(len(lines))
    return b"".join([*lines[: at + 1], *lines[at:]])


def swap_lines(content: bytes, rng: Random) -> bytes:
    """Exchange two lines."""
    lines = content.splitlines(keepends=True) or [b""]
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def indent_line(content: bytes, rng: Random) -> bytes:
    """Move one line to the right or to the left."""
    lines = content.splitlines(keepends=True) or [b""]
    at = rng.randrange(len(lines))
    lines[at] = pick((b"  " + lines[at], b"\t" + lines[at], lines[at].lstrip(), lines[at][1:]), rng)
    return b"".join(lines)


def join_lines(content: bytes, rng: Random) -> bytes:
    """Leave out one line's end."""
    lines = content.splitlines(keepends=True) or [b""]
    at = rng.randrange(len(lines))
    lines[at] = lines[at].rstrip(b"\r\n")
    return b"".join(lines)


# Tokens.


def _replace_match(content: bytes, pattern: re.Pattern[bytes], other: str, rng: Random) -> bytes:
    found = list(pattern.finditer(content))
    if not found:
        return content + other.encode()
    match = pick(found, rng)
    return content[: match.start()] + other.encode() + content[match.end() :]


def replace_number(content: bytes, rng: Random) -> bytes:
    """Write something else for one number."""
    return _replace_match(content, _NUMBER, pick(NUMBERS, rng), rng)


def replace_word(content: bytes, rng: Random) -> bytes:
    """Write something else for one word."""
    return _replace_match(content, _WORD, pick(WORDS, rng), rng)


def misspell_word(content: bytes, rng: Random) -> bytes:
    """Misspell one word in one place only, so that what refers to it no longer does."""
    found = list(_WORD.finditer(content))
    if not found:
        return content
    match = pick(found, rng)
    word, at = match[0], rng.randrange(len(match[0]))
    others = (word[:at] + word[at + 1 :], word[:at] + word[at : at + 1] * 2 + word[at + 1 :], word.swapcase())
    return content[: match.start()] + pick(others, rng) + content[match.end() :]


def exchange_words(content: bytes, rng: Random) -> bytes:
    """Write another word of the file for one."""
    found = list(_WORD.finditer(content))
    return _replace_match(content, _WORD, pick(found, rng)[0].decode() if found else "", rng)


def exchange_numbers(content: bytes, rng: Random) -> bytes:
    """Write another number of the file for one."""
    found = list(_NUMBER.finditer(content))
    return _replace_match(content, _NUMBER, pick(found, rng)[0].decode() if found else "", rng)


# IDF, and the .ddy that is one.


def mutate_separator(content: bytes, rng: Random) -> bytes:
    """Exchange, leave out or add a comma or a semicolon."""
    separator = re.compile(rb"[,;]")
    return _replace_match(content, separator, pick((",", ";", "", ",,", ";;", ", ;", "!"), rng), rng)


def _statements(content: bytes) -> list[bytes]:
    return re.findall(rb"[^;]*;", content) or [content]


def drop_object(content: bytes, rng: Random) -> bytes:
    """Leave out one object."""
    statements = _statements(content)
    del statements[rng.randrange(len(statements))]
    return b"".join(statements)


def double_object(content: bytes, rng: Random) -> bytes:
    """Write one object twice, once in other letters."""
    statements = _statements(content)
    one = pick(statements, rng)
    return content + b"\n" + pick((one, one.upper(), one.lower()), rng)


def add_object(content: bytes, rng: Random) -> bytes:
    """Add an object that does not belong, or belongs elsewhere."""
    return content + b"\n" + pick(
        (
            b"Version, 9.6;", b"Version, 25.2;", b"Lights;", b"NoSuch:Object, 1;", b"Zone, , , , ;",
            b"##include x.imf\n", b"HVACTemplate:Thermostat, T, , 20, , 26;", b"Schedule:File, F, , missing.csv, 1, 0;",
            b"Parametric:Logic, x;", b"Schedule:File, F, , /etc/passwd, 1, 0;", b"PythonPlugin:Instance, P, No, evil, Evil;",
            b"Timestep, 7;", b"RunPeriod, X, 2, 30, , 2, 31, , , No, No, No, Yes, Yes;", b"Output:Variable, *, Nothing, Hourly;",
            b"ExternalInterface, PtolemyServer;", b"Lights, " + b"a, " * 2000 + b"b;", b"SimulationControl, Maybe;",
            b"EnergyManagementSystem:Program, P, RUN;", b"Site:Location, , NaN, 1, 1, 1;",
            b"Zone, " + b"z" * 5000 + b";",
        ),
        rng,
    )  # fmt: skip


# JSON.


def mutate_json(content: bytes, rng: Random) -> bytes:
    """Change a value, a key or the nesting of a JSON text, which stays JSON or nearly."""
    try:
        data = json.loads(content)
    except ValueError:
        return content
    places = [(owner, key) for owner, key in _json_places(data)]
    if not places:
        return content
    owner, key = pick(places, rng)
    deep: Any = 0
    for _ in range(60):
        deep = [deep]
    others = (
        None, True, "", "abc", [], {}, [1, 2], {"a": 1}, 1e308, -1, 0, 123456789012345678901234567890, "1.5",
        "autosize", float("nan"), float("inf"), deep, "x" * 4000, "a,b", "a;b", "a!b", "a\nb", "\ud800", "\u0000", [None], 1.0,
    )  # fmt: skip
    what = rng.randrange(4)
    if what == 0 and isinstance(owner, dict):
        owner[pick(("", "extra", key.upper(), key + " ", "name", "\u00e9", key[:-1]), rng)] = owner.pop(key)
    elif what == 1:
        del owner[key]
    else:
        owner[key] = pick(others, rng)
    return json.dumps(data, indent=pick((None, 1, 4), rng), ensure_ascii=True).encode()


def _json_places(data: Any) -> Any:
    pairs = list(data.items()) if isinstance(data, dict) else list(enumerate(data)) if isinstance(data, list) else []
    for key, value in pairs:
        yield data, key
        yield from _json_places(value)


def double_json_key(content: bytes, rng: Random) -> bytes:
    """Give one key of a JSON text twice."""
    found = list(re.finditer(rb'("[^"\n]*": (?:-?[\d.]+|"[^"\n]*"))', content))
    if not found:
        return content
    match = pick(found, rng)
    return content[: match.end()] + b", " + match[1] + content[match.end() :]


def nest_deeply(content: bytes, rng: Random) -> bytes:
    """Nest more deeply than a parser likes."""
    depth = pick((200, 5_000, 100_000), rng)
    opening = pick((b"[", b'{"a":', b"{a: "), rng)
    return pick((opening * depth, content + opening * depth, b'{"Zone": ' + opening * depth + b"1"), rng)


# EPW.


def mutate_hours(content: bytes, rng: Random) -> bytes:
    """Leave out, double, exchange or move hours of a weather file."""
    lines = content.splitlines(keepends=True)
    if len(lines) < 40:
        return content
    at = 8 + rng.randrange(len(lines) - 34)
    hours = pick((1, 1, 2, 24), rng)
    match rng.randrange(6):
        case 0:
            del lines[at : at + hours]
        case 1:
            lines[at:at] = lines[at : at + hours]
        case 2:
            lines[at], lines[at + 1] = lines[at + 1], lines[at]
        case 3:
            lines[8:] = lines[8 + hours :] + lines[8 : 8 + hours]
        case 4:
            del lines[-hours:]
        case _:
            lines += lines[-hours:]
    return b"".join(lines)


def mutate_cell(content: bytes, rng: Random) -> bytes:
    """Write something else into one cell of the hourly table, mostly of those that are used."""
    lines = content.split(b"\n")
    if len(lines) < 40:
        return content
    at = 8 + rng.randrange(len(lines) - 10)
    cells = lines[at].split(b",")
    column = rng.randrange(min(35 if rng.randrange(3) == 0 else 10, len(cells)))
    what = rng.randrange(8)
    if what == 0:
        del cells[column]
    elif what == 1:
        cells.insert(column, b"1")
    elif what == 2:
        del cells[column + 1 :]
    else:
        hostile = (
            *NUMBERS,
            "99.9",
            "999",
            "9999",
            "-100",
            "200",
            "24",
            "0",
            "25",
            "60",
            "13",
            "32",
            "2023",
            "1899",
            "abc",
        )
        cells[column] = pick(hostile, rng).encode()
    lines[at] = b",".join(cells)
    return b"\n".join(lines)


def mutate_header(content: bytes, rng: Random) -> bytes:
    """Change, leave out or double one of the eight lines of a weather file's header."""
    lines = content.split(b"\n")
    if len(lines) < 9:
        return content
    at = pick((0, 0, 1, 2, 3, 4, 4, 5, 6, 7, 7, 7), rng)
    cells = lines[at].split(b",")
    column = rng.randrange(len(cells))
    match rng.randrange(7):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2:
            other = rng.randrange(8)
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            del cells[column:]
            lines[at] = b",".join(cells)
        case 4:
            cells.insert(column, b"1")
            lines[at] = b",".join(cells)
        case _:
            hostile = (
                *NUMBERS,
                "Yes",
                "No",
                "2",
                "2/30",
                "12/30",
                "1/2",
                "13/1",
                "Funday",
                "366",
                "Monday",
                "1/1/2017",
            )
            cells[column] = pick(hostile, rng).encode()
            lines[at] = b",".join(cells)
    return b"\n".join(lines)


def mutate_years(content: bytes, rng: Random) -> bytes:
    """Give the hours other years, or a 29 February."""
    header, hours = content.split(b"\n")[:8], content.split(b"\n")[8:]
    february = b"".join(line + b"\n" for line in hours if re.match(rb"\d+,2,28,", line)).replace(b",2,28,", b",2,29,")
    year = pick((b"2016", b"2017", b"0", b"99", b"-5", b"99999", b"abcd"), rng)
    what = rng.randrange(4)
    if what == 0:
        hours = [year + line[line.find(b",") :] if b"," in line else line for line in hours]
    elif what == 1:
        at = rng.randrange(len(hours) or 1)
        hours = [year + line[line.find(b",") :] if n >= at and b"," in line else line for n, line in enumerate(hours)]
    else:
        at = next((n for n, line in enumerate(hours) if re.match(rb"\d+,3,1,", line)), 0)
        hours[at:at] = february.splitlines()
        if what == 2 and len(header) > 4:
            header[4] = header[4].replace(b",No,", b",Yes,")
    return b"\n".join([*header, *hours])


# CSV.


def mutate_table(content: bytes, rng: Random) -> bytes:
    """Make rows ragged, quote, or use the separators of another place."""
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    match rng.randrange(9):
        case 0:
            lines[at] += b",1"
        case 1:
            lines[at] = lines[at].rpartition(b",")[0]
        case 2:
            lines[at] = b'"' + lines[at]
        case 3:
            lines[at] = b",".join(b'"' + cell + b'"' for cell in lines[at].split(b","))
        case 4:
            return content.replace(b",", pick((b";", b"\t", b"|", b", ", b" "), rng))
        case 5:
            return re.sub(rb"(\d)\.(\d)", rb"\1,\2", content)
        case 6:
            lines[at] = pick((b"", b",", b",,,", b"#comment", b"   ", b'""'), rng)
        case 7:
            lines[0] = pick(
                (lines[0].upper(), lines[0] + b"," + lines[0], b"", lines[0].replace(b",", b", "), b"1,2,3"), rng
            )
        case _:
            lines[at] = lines[at].replace(b",", b"\n,", 1) if rng.randrange(2) else b'"a\nb"' + lines[at]
    return b"\n".join(lines)


# YAML.

_SCALARS = (
    "Yes", "no", "on", "1e3", "0o10", "0x1F", "1_000", "22:00", "~", ".inf", "-.inf", ".nan", "-0.0", "+1", "1.", ".5",
    "2024-01-01", "2024-13-45", "'8'", '"8"', "!!python/object:os.system x", "!!str 8", "!!int '8'", "!foo 8", "*x",
    "&x 8", "{a: 1}", "[1, 2]", "[]", "{}", "|", ">", "null", "''", "true", "1e400", "1e-400", "0b11", "=", "<<", "? a",
    "- 1", '"\\x41"', '"\\ud800"', "'", "%", "@a", "`a`", "a: b", "a #b", "99999999999999999999999", "007", "1__0",
)  # fmt: skip
_KEYS = (
    "lighting",
    "values",
    "extra",
    "name",
    "outputs",
    "parameters",
    "weather",
    "run",
    "{a: b}",
    "[1]",
    "1",
    "null",
    "<<",
    "?",
    "",
)
_BLOCKS = (
    (
        "bomb: [&a [x, x, x, x, x, x, x, x, x], &b [*a, *a, *a, *a, *a, *a, *a, *a, *a], &c [*b, *b, *b, *b, *b, *b, *b,"
        " *b], &d [*c, *c, *c, *c, *c, *c, *c, *c], &e [*d, *d, *d, *d, *d, *d, *d, *d], &f [*e, *e, *e, *e, *e, *e, *e]]"
    ),
    "a: &a [*a]", "<<: {name: other}", "---\nname: second", "...", "%YAML 1.1\n---", "name: twice", "seed: 1",
    "storage_options: {s3: {secret: abc}}", "keep: ['*']", "keep: ['../x']", "timeout_s: 1e9", "timeout_s: '20'",
    "timeout_s: -1", "timeout_s: true", "engine: /nowhere", "exclude: ['__import__(\"os\")']", "exclude: [lighting > ]",
    "exclude: ['lighting ** lighting ** 9 > 1']", "exclude: [1]", "exclude: lighting", "dtype: float16",
    "dtype: float32", "reference: 0", "reference: false", "design_days: epw", "design_days: ddy", "run: annual",
    "keep_model_outputs: 'no'", "weather: {}", "parameters: {}", "parameters: null", "outputs: []", "\tx: 1",
)  # fmt: skip


def mutate_scalar(content: bytes, rng: Random) -> bytes:
    """Write something that YAML reads in its own way for one value."""
    return _replace_match(content, re.compile(rb"(?<=[:\[,] )[^,:\[\]{}\n]+"), pick(_SCALARS, rng), rng)


def mutate_key(content: bytes, rng: Random) -> bytes:
    """Write another key for one."""
    return _replace_match(content, re.compile(rb"\b\w+(?=: )"), pick(_KEYS, rng), rng)


def add_block(content: bytes, rng: Random) -> bytes:
    """Add a key, before or after all others."""
    block = pick(_BLOCKS, rng).encode()
    return pick((content + block + b"\n", block + b"\n" + content), rng)


def anchor(content: bytes, rng: Random) -> bytes:
    """Give a value an anchor and use it elsewhere."""
    places = list(re.finditer(rb"(?<=: )(?=[\w{\[])", content))
    if len(places) < 2:
        return content
    at = sorted((pick(places, rng).start(), pick(places, rng).start()))
    end = re.compile(rb"[,\]}\n]").search(content, at[1])
    last = end.start() if end else len(content)
    return content[: at[0]] + b"&x " + content[at[0] : at[1]] + b"*x " + content[last:]


_BYTES = (flip_byte, drop_bytes, double_bytes, cut, insert_hostile, encode_again, replace_all)
_LINES = (drop_line, double_line, swap_lines, indent_line, join_lines)
_TOKENS = (replace_number, replace_number, replace_word, misspell_word, exchange_words, exchange_numbers)
_GENERAL = (*_BYTES, *_LINES, *_TOKENS)
_IDF = (mutate_separator, drop_object, double_object, add_object) * 2

MUTATORS: dict[str, tuple[Mutator, ...]] = {
    "idf": (*_GENERAL, *_TOKENS, *_IDF),
    "epjson": (*_GENERAL, *_TOKENS, *(mutate_json,) * 12, double_json_key, double_json_key, nest_deeply),
    "epw": (
        *_BYTES,
        *_LINES,
        *(mutate_hours, mutate_cell, mutate_cell, mutate_header, mutate_header, mutate_years) * 3,
    ),
    "ddy": (*_GENERAL, *_TOKENS, *_IDF),
    "table": (*_GENERAL, *_TOKENS, *(mutate_table,) * 14),
    "schedule": (*_GENERAL, *_TOKENS, *(mutate_table,) * 8),
    "yaml": (*_GENERAL, *_TOKENS, *(mutate_scalar, mutate_key, add_block) * 5, anchor, anchor, nest_deeply),
}
"""Kind of input -> what may happen to it; what stands there more often happens more often."""
