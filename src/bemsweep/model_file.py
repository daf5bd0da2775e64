"""Reading a model from a file.

Decides what counts as a broken file. Never changes a model.
"""

from __future__ import annotations

import codecs
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from idfkit import IDFDocument, IDFObject
from idfkit.exceptions import IdfKitError, IDFParseError, SchemaNotFoundError
from idfkit.idf_parser import IDFParser
from idfkit.schema import EpJSONSchema, get_schema

from bemsweep.errors import ModelError, nearest

__all__ = ["NOT_IN_IDF", "read_ddy", "read_model", "read_objects", "read_version", "texts_of"]

NOT_IN_IDF = ",;!\n\r"
"""Characters that end a field of an IDF, so that no text may hold them."""

_PYTHON_NUMBER = re.compile(
    r"(?<=[,;])\s*(?=[^,;]*?(?:\d_\d|[^\x00-\x7f]))"
    r"([+-]?[\d_]*\.?[\d_]*(?:[eE][+-]?\d+)?)\s*(?=[,;])"
)
"""A field that Python takes for a number and EnergyPlus does not."""
_PASSED_OVER = re.compile(r"^(Failed to parse|Skipping malformed) object: ")
"""What idfkit says besides when it reads an object, and when it reads on."""

_Version = tuple[int, int, int]

_CANNOT_READ = {
    ".imf": "run EnergyPlus's EPMacro on it and use the IDF that it writes",
    ".osm": "export it from OpenStudio as IDF and use that",
    ".ddy": "it holds design days only; name the model, and this file under design_days",
}
_DDY_VERSION = (25, 2, 0)
_COMMENT = re.compile(rb"![^\n]*")
_STATEMENT = re.compile(rb"([^;]*);")
_OBJECT_BEGIN = re.compile(rb"\s*[A-Za-z][A-Za-z0-9:_ /\-]*?\s*,")
_VERSION = re.compile(rb"(?:^|;)\s*Version\s*,\s*(\d+)\.(\d+)(?:\.(\d+))?", re.IGNORECASE)

_STRING_OR_END = re.compile(r'"(?:\\.|[^"\\])*"|\}')
_KINDS = {"number": "a number", "integer": "a whole number", "string": "a text", "array": "a list"}
_SHOWN = 40
"""How much of a value a message shows."""

_BOOKKEEPING = frozenset({"idf_order", "idf_max_fields", "idf_max_extensible_fields"})
"""Fields that EnergyPlus's converter adds to epJSON and nobody reads."""


def read_model(path: Path) -> IDFDocument[bool]:
    """Return the model in an IDF or epJSON file.

    The objects of an epJSON are put in the order of their names, as EnergyPlus does: it decides in which
    order design days and run periods are simulated, and shifts a few values in their last digits.

    Parameters
    ----------
    path
        A file whose suffix is ``.idf``, ``.epJSON`` or ``.json``, in any case.

    Raises
    ------
    ModelError
        The file holds no model of EnergyPlus, or a broken one; says where.
    OSError
        The file cannot be read.
    """
    return _read(path, None)


def read_objects(path: Path, version: tuple[int, int, int]) -> IDFDocument[bool]:
    """Return the objects in an IDF or epJSON file that is a part of a model, as a document without a Version.

    Parameters
    ----------
    path
        A file whose suffix is ``.idf``, ``.epJSON`` or ``.json``, in any case. It may have a Version object, as
        editors of IDFs write it.
    version
        Version of EnergyPlus that the model is written for.

    Raises
    ------
    ModelError
        The file holds no objects of EnergyPlus, those of another version, or broken ones; says where.
    OSError
        The file cannot be read.
    """
    document = _read(path, version)
    for obj in document["Version"].to_list():
        document.removeidfobject(obj)
    return document


def _read(path: Path, part_of: _Version | None) -> IDFDocument[bool]:
    """Read a model, or a part of one that is of the version `part_of`."""
    content = _content(path)
    is_idf = path.suffix.lower() == ".idf"
    try:
        document = _read_idf(path, content, part_of) if is_idf else _read_epjson(path, content, part_of)
    except SchemaNotFoundError as error:
        version = ".".join(map(str, error.version[:2]))
        raise ModelError(
            f"{path.name} is of EnergyPlus {version}, which is not known here: "
            "bring it to a newer version with EnergyPlus's IDFVersionUpdater"
        ) from error
    except IdfKitError as error:
        raise ModelError(f"{path.name} cannot be read: {error}") from error
    for object_type, objects in document.items():
        if len(objects) > 1 and (document.schema.get_object_schema(object_type) or {}).get("maxProperties") == 1:
            raise ModelError(f"{path.name} is broken: it has {len(objects)} objects {object_type}, and a model has one")
    return document


def read_ddy(path: Path) -> IDFDocument[bool]:
    """Return the objects in a .ddy, which names no version; design days are the same in all since 8.0.

    Fields may hold what does not belong there: published files have ``N`` in days for which data were missing.

    Raises
    ------
    ModelError
        The file is no IDF, or a broken one; says where.
    OSError
        The file cannot be read.
    """
    content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    _check_statements(path, _COMMENT.sub(b"", content))
    try:
        return IDFParser(path, encoding=_encoding(content), strict_parsing=False).parse(_DDY_VERSION)
    except IdfKitError as error:
        raise ModelError(f"{path.name} cannot be read: {error}") from error


def read_version(path: Path) -> tuple[int, int, int]:
    """Return the version of EnergyPlus that the model in `path` is written for, without reading the rest of it.

    Raises
    ------
    ModelError
        The file names no version.
    OSError
        The file cannot be read.
    """
    content = _content(path)
    if path.suffix.lower() != ".idf":
        return _epjson_version(path, _parsed(path, content))
    text = _COMMENT.sub(b"", content)
    if _VERSION.search(text) is None:
        _check_statements(path, text)  # tells better what it is instead
    return _idf_version(path, text)


def _content(path: Path) -> bytes:
    suffix = path.suffix.lower()
    if suffix in _CANNOT_READ:
        raise ModelError(f"{path.name} cannot be run as it is: {_CANNOT_READ[suffix]}")
    if suffix not in {".idf", ".epjson", ".json"}:
        raise ModelError(f"{path.name} is no model: its name must end in .idf or .epJSON")
    content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    if not content.strip():
        raise ModelError(f"{path.name} is empty")
    return content


def _read_idf(path: Path, content: bytes, part_of: _Version | None) -> IDFDocument[bool]:
    text = _COMMENT.sub(b"", content)
    _check_statements(path, text)
    # idfkit would also take a Version that stands in a comment, and Latin-1 unless told.
    version, encoding = _idf_version(path, text, part_of), _encoding(content)
    parser = IDFParser(path, encoding=encoding)
    try:
        document: IDFDocument[bool] = parser.parse(version)
        findings = parser.diagnostics
    except IDFParseError as error:
        # Once more, without stopping at the first finding.
        parser = IDFParser(path, encoding=encoding, strict_parsing=False)
        parser.parse(version)
        findings = (*error.diagnostics, *parser.diagnostics)
    if findings:
        told = sorted({(finding.line or 0, _PASSED_OVER.sub("", finding.message)) for finding in findings})
        raise ModelError(f"{path.name} is broken: {'; '.join(f'line {line}: {text}' for line, text in told[:10])}")
    _check_numbers(path, text.decode(encoding), document)
    return document


def _check_numbers(path: Path, text: str, document: IDFDocument[bool]) -> None:
    """Raise ModelError if idfkit took for a number what only Python does: ``1_000``, or other alphabets' digits."""
    cells = [(cell.start(1), cell[1]) for cell in _PYTHON_NUMBER.finditer(text)]
    if not cells:
        return
    names = Counter(name for obj in document.all_objects for name in (obj.name, *texts_of(obj)))
    for position, cell in cells:
        if names[cell] < sum(cell == other for _, other in cells):
            line = text.count("\n", 0, position) + 1
            raise ModelError(f"{path.name} is broken: line {line}: {cell!r} is no number of an IDF")


def _found_version(path: Path, found: re.Match[Any], part_of: _Version | None) -> _Version:
    version = int(found[1]), int(found[2]), int(found[3] or 0)
    if part_of is not None and version[:2] != part_of[:2]:
        raise ModelError(
            f"{path.name} is of EnergyPlus {version[0]}.{version[1]} and the model of {part_of[0]}.{part_of[1]}: "
            "write its objects as that version wants them"
        )
    return version


def _idf_version(path: Path, text: bytes, part_of: _Version | None = None) -> _Version:
    found = _VERSION.search(text)
    if found is None:
        if part_of is not None:
            return part_of
        raise ModelError(f"{path.name} has no Version object: add one, for example 'Version, 25.2;'")
    return _found_version(path, found, part_of)


def _encoding(content: bytes) -> str:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _check_statements(path: Path, text: bytes) -> None:
    """Raise ModelError unless `text`, free of comments, is a row of objects; idfkit passes over the rest."""
    end = 0
    for statement in _STATEMENT.finditer(text):
        end = statement.end()
        if statement[1].strip() and not _OBJECT_BEGIN.match(statement[1]):
            begin = statement.start() + len(statement[1]) - len(statement[1].lstrip())
            words = _first_words(statement[1])
            if words.startswith("##"):
                raise ModelError(
                    f"{path.name} holds EPMacro commands, line {_line(text, begin)}: run EPMacro on it first"
                )
            raise ModelError(f"{path.name} is no IDF, or broken: line {_line(text, begin)} has {words!r} for an object")
    rest = text[end:]
    if rest.strip():
        begin = end + len(rest) - len(rest.lstrip())
        what = _first_words(rest)
        raise ModelError(f"{path.name} is no IDF, or cut short: {what!r} in line {_line(text, begin)} has no ';'")
    if end == 0:
        raise ModelError(f"{path.name} holds no object")


def _line(text: bytes, position: int) -> int:
    return text.count(b"\n", 0, position) + 1


def _first_words(text: bytes) -> str:
    return " ".join(text.decode("utf-8", errors="replace").split())[:40]


def _read_epjson(path: Path, content: bytes, part_of: _Version | None) -> IDFDocument[bool]:
    data = _parsed(path, content)
    version = _epjson_version(path, data, part_of)
    schema = get_schema(version)
    if "\\ud" in (text := content.decode("utf-8")).lower():
        _refuse_surrogates(path, data)
    problems = [f"line {_line_of(text, words)}: {told}" for *words, told in _epjson_problems(data, schema)]
    if problems:
        raise ModelError(f"{path.name} is broken: {'; '.join(problems[:10])}")
    document: IDFDocument[bool] = IDFDocument(version=version, schema=schema, filepath=path)
    for object_type, objects in data.items():
        is_named = schema.has_name(schema.resolve_type_name(object_type) or object_type)
        for name, fields in sorted(objects.items(), key=lambda item: item[0].encode()):
            kept = {field: value for field, value in fields.items() if field not in _BOOKKEEPING}
            document.add(object_type, name if is_named else "", kept, validate=False)
    return document


def _parsed(path: Path, content: bytes) -> dict[str, dict[str, Any]]:
    ended = itertools.count(1)  # objects, as each is read
    try:
        text = content.decode("utf-8")
        data = json.loads(
            text,
            object_pairs_hook=lambda pairs: _without_duplicates(pairs, text, next(ended)),
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError as error:
        line = _line(content, error.start)
        raise ModelError(f"{path.name} is no epJSON: line {line} is not encoded as UTF-8") from error
    except json.JSONDecodeError as error:
        raise ModelError(f"{path.name} is broken: line {error.lineno}, column {error.colno}: {error.msg}") from error
    except ValueError as error:
        raise ModelError(f"{path.name} is broken: {error}") from error
    except RecursionError:
        raise ModelError(f"{path.name} is no epJSON: it is nested too deeply") from None
    if not isinstance(data, dict) or not all(isinstance(objects, dict) for objects in data.values()):
        raise ModelError(f"{path.name} is no epJSON: it must be an object of object types")
    return data


def _epjson_version(path: Path, data: dict[str, dict[str, Any]], part_of: _Version | None = None) -> _Version:
    if part_of is not None and "Version" not in data:
        return part_of
    objects = data.get("Version", {}).values()
    version = next((str(one.get("version_identifier", "")) for one in objects if isinstance(one, dict)), "")
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if found is None:
        raise ModelError(f'{path.name} has no Version object with a version_identifier such as "25.2"')
    return _found_version(path, found, part_of)


def _refuse_surrogates(path: Path, data: dict[str, dict[str, Any]]) -> None:
    """Raise ModelError if one half of a surrogate pair, which is no character, stands in a text."""
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ModelError(f"{path.name} is broken: {error.object[error.start]!r} is no character") from None


def _without_duplicates(pairs: list[tuple[str, Any]], text: str, number: int) -> dict[str, Any]:
    """Return the object of `pairs`, which is the one that ends as the `number`th in `text`."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        ends = (match.start() for match in _STRING_OR_END.finditer(text) if match[0] == "}")
        end = next(itertools.islice(ends, number - 1, None))
        line = text.count("\n", 0, max(text.rfind(json.dumps(twice, ensure_ascii=False), 0, end), 0)) + 1
        raise ValueError(f"line {line}: {twice!r} is there twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _epjson_problems(data: Mapping[str, Mapping[str, Any]], schema: EpJSONSchema) -> Iterator[tuple[str, ...]]:
    """Yield texts to look for in the file, one after the other, and what is wrong there.

    EnergyPlus refuses all of it in an epJSON, but for unknown fields; in the IDF that is written for it, a text that
    holds a number, or a choice in other letters, would pass.
    """
    for object_type, objects in data.items():
        canonical = schema.resolve_type_name(object_type)
        if canonical != object_type:
            hint = nearest(object_type, schema.object_types)
            yield object_type, f"EnergyPlus has no object type {object_type!r}{hint}"
            continue
        known = (schema.get_inner_schema(canonical) or {}).get("properties", {})
        for name, fields in objects.items():
            if not isinstance(fields, dict):
                yield object_type, name, f"{object_type} {name!r} is no object"
                continue
            if not name.strip() and schema.has_name(canonical):
                yield object_type, name, f"{object_type} {name!r} has a blank name"
            for field, value in fields.items():
                where = object_type, name, field
                if field in known:
                    told = _value_problems(value, known[field], field)
                    yield from ((*where, f"{object_type} {name!r}: {problem}") for problem in told)
                elif field not in _BOOKKEEPING:
                    yield (*where, f"{object_type} {name!r} has no field {field!r}{nearest(field, known)}")


def _value_problems(value: object, spec: Mapping[str, Any], field: str) -> Iterator[str]:
    """Yield why EnergyPlus refuses a value of an epJSON, other than for its range."""
    choices = spec.get("anyOf", [spec])
    if not any(_is_of_kind(value, choice.get("type", "")) for choice in choices):
        kinds = " or ".join(dict.fromkeys(_KINDS[choice["type"]] for choice in choices if choice.get("type") in _KINDS))
        yield f"{field} takes {kinds}, not {json.dumps(value)[:_SHOWN]}"
    elif isinstance(value, list):
        inner = spec.get("items", {}).get("properties", {})
        for number, group in enumerate(value, 1):
            if not isinstance(group, dict):
                yield f"{field}, entry {number} is no object but {json.dumps(group)[:_SHOWN]}"
                continue
            for part, one in group.items():
                yield from _value_problems(one, inner.get(part, {}), f"{field}, entry {number}, {part}")
    elif isinstance(value, str):
        words = [
            word for choice in choices if choice.get("type", "string") == "string" for word in choice.get("enum", ())
        ]
        if words and value not in words:
            hint = nearest(value, words) or f": {', '.join(word for word in words if word)}"
            yield f"{field} has no choice {value[:_SHOWN]!r}{hint}"


def _is_of_kind(value: object, kind: str) -> bool:
    match kind:
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
    return True


def _line_of(text: str, words: Iterable[str]) -> int:
    """Return the line of the last of `words`, each of which is looked for after the one before."""
    position = 0
    for word in words:
        position = max(text.find(json.dumps(word, ensure_ascii=False), position), position)
    return text.count("\n", 0, position) + 1


def texts_of(obj: IDFObject) -> Iterator[str]:
    """Yield every text that stands in a field of `obj`, its name excepted."""
    for value in obj.data.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (text for group in value for text in group.values() if isinstance(text, str))
