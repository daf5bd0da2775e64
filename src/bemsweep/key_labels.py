"""What the keys of outputs name, and how the model spells them.

EnergyPlus reports keys in capitals and does not say whether a key is a zone or something else; the model
knows. Never reads a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from idfkit import IDFDocument
from idfkit.schema import EpJSONSchema

from bemsweep.model_file import texts_of
from bemsweep.records import KeyKind

__all__ = ["KeyLabels"]

_PREFIXES: dict[str, KeyKind] = {"System Node ": "node", "Schedule ": "schedule", "Surface ": "surface"}
"""How the names of variables begin whose keys are always of one kind."""


class KeyLabels:
    """Spells the keys of outputs as the model does, and tells what they name.

    EnergyPlus reports keys in capitals and does not say whether a key is a zone or something else. What
    the model does not name itself, such as a node that the engine made, keeps the engine's spelling.

    Parameters
    ----------
    document
        The model as it was run.
    """

    def __init__(self, document: IDFDocument[bool]) -> None:
        schema: EpJSONSchema = document.schema
        self._document = document
        self._zones = self._names(("Zone",))
        self._spaces = self._names(("Space",))
        self._surfaces = self._names(schema.get_types_providing_reference("AllShadingAndHTSurfNames"))
        self._schedules = self._names(schema.get_types_providing_reference("ScheduleNames"))
        self._objects: dict[str, str] | None = None
        self._texts: dict[str, str] | None = None

    def __call__(self, variable: str, key: str) -> tuple[str, KeyKind]:
        """Return the key in the model's spelling, and what it names; both empty for the environment itself.

        Parameters
        ----------
        variable
            EnergyPlus's name of the output variable.
        key
            The key as the engine reports it.
        """
        found = key.upper()
        if found == "ENVIRONMENT":
            return "", ""
        kind = self._kind(variable, found)
        names = {"zone": self._zones, "space": self._spaces, "surface": self._surfaces, "schedule": self._schedules}
        spelled = names.get(kind, {}).get(found)
        if kind == "space" and spelled is None:
            spelled = self._zones.get(found)
        if spelled is None and kind == "node":
            spelled = self._find_text(found)
        return spelled or self._find_object(found) or self._find_text(found) or self._join(found) or key, kind

    def _kind(self, variable: str, key: str) -> KeyKind:
        for prefix, kind in _PREFIXES.items():
            if variable.startswith(prefix):
                return kind
        is_zone, is_space = key in self._zones, key in self._spaces
        # A zone without spaces gets one of its own name.
        if is_space or self._is_remainder(key):
            return "zone" if is_zone and not variable.startswith("Space ") else "space"
        if is_zone:
            return "space" if variable.startswith("Space ") else "zone"
        return "surface" if key in self._surfaces else "other"

    def _is_remainder(self, key: str) -> bool:
        return key.endswith("-REMAINDER") and key.removesuffix("-REMAINDER") in self._zones

    def _names(self, object_types: Iterable[str]) -> dict[str, str]:
        return {obj.name.upper(): obj.name for name in object_types for obj in self._document[name]}

    def _find_object(self, key: str) -> str | None:
        if self._objects is None:
            self._objects = {obj.name.upper(): obj.name for obj in self._document.all_objects}
        return self._objects.get(key)

    def _find_text(self, key: str) -> str | None:
        if self._texts is None:
            self._texts = {}
            for obj in self._document.all_objects:
                for text in texts_of(obj):
                    self._texts.setdefault(text.upper(), text)
        return self._texts.get(key)

    def _join(self, key: str) -> str | None:
        """Return the spelling of what the engine named after a zone and an object of a zone list."""
        if self._is_remainder(key):
            return f"{self._zones[key.removesuffix('-REMAINDER')]}-Remainder"
        for space in (match.start() for match in re.finditer(" ", key)):
            zone = self._zones.get(key[:space]) or self._spaces.get(key[:space])
            rest = self._find_object(key[space + 1 :]) if zone else None
            if zone and rest:
                return f"{zone} {rest}"
        return None
