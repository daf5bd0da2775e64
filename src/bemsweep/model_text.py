"""Writing a model for the engine, as IDF.

Decides the order and the encoding of what is written, and what no IDF can hold. Objects that are as they were when a
baseline was read are not formatted again: for a short run that would take longer than all other preparation. Never
changes a model.
"""

from __future__ import annotations

import hashlib
import marshal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from idfkit import IDFDocument, IDFObject
from idfkit.writers import IDFWriter

from bemsweep.errors import ModelError
from bemsweep.model_file import texts_of

__all__ = ["ParsedModel", "write_model"]


@dataclass(frozen=True)
class ParsedModel:
    """A model that was read, for processes that each change a copy of it and write that."""

    document: IDFDocument[bool]
    """The model."""
    formatted: Mapping[int, tuple[bytes, str]]
    """Of its objects, by `id`: what they hold, as `_content` tells, and their text."""

    @classmethod
    def of(cls, document: IDFDocument[bool]) -> ParsedModel:
        """Return the model with the text of all its objects that can be written."""
        writer = IDFWriter(document)
        known = ((obj, _content(obj)) for obj in document.all_objects if not _why_unwritable(obj))
        return cls(document, {id(obj): (content, writer.format_object(obj)) for obj, content in known if content})


def write_model(document: IDFDocument[bool], path: Path, *, baseline: ParsedModel | None = None) -> str:
    """Write `document` as IDF, in UTF-8, and return the sha256 of the file's bytes.

    Never epJSON: EnergyPlus would then order the objects by name.

    Parameters
    ----------
    document
        The model.
    path
        Where to.
    baseline
        What it was before it was changed; its text is the same without, but takes longer.

    Raises
    ------
    ModelError
        A text of the model holds what ends a field of an IDF.
    """
    text = _Writer(document, {} if baseline is None else baseline.formatted).to_string()
    content = text.encode("utf-8")
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


class _Writer(IDFWriter):
    """idfkit's, which takes the text of an object that is as it was."""

    def __init__(self, document: IDFDocument[bool], formatted: Mapping[int, tuple[bytes, str]]) -> None:
        super().__init__(document, ordering="source")
        self._formatted = formatted

    def format_object(self, obj: IDFObject, source_text: str | None = None) -> str:
        """Return the text of an object.

        Raises
        ------
        ModelError
            It holds what ends a field of an IDF.
        """
        content, text = self._formatted.get(id(obj), (b"", ""))
        # By what it holds and not by idfkit's count of changes: functions of users reach into `data`.
        if content and content == _content(obj):
            return text
        if why := _why_unwritable(obj):
            raise ModelError(why)
        return super().format_object(obj, source_text)


def _content(obj: IDFObject) -> bytes:
    """Return what decides an object's text, types included; ``b""`` if it holds what has no bytes of its own."""
    try:
        return marshal.dumps((obj.obj_type, obj.name, obj.field_order, list(obj.data.items())), 2)
    except ValueError:
        return b""


def _why_unwritable(obj: IDFObject) -> str:
    for text in (obj.name or "", *texts_of(obj)):
        if "," in text or ";" in text or "!" in text or "\n" in text or "\r" in text:
            return (
                f"{obj.obj_type} {obj.name!r} holds the text {text!r}: "
                "a field of an IDF cannot hold a comma, ';', '!' or a new line"
            )
    return ""
