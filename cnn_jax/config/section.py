"""A section of a config: a ConfigDict that takes numbers and sequences of any make."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict, FieldReference


class Section(ConfigDict):
    """A ConfigDict whose values are plain: NumPy's numbers become Python's, lists tuples.

    Two values are the same where they are equal, and JSON has all of them. A bool is no number.
    """

    def __init__(self, *values: Any, **options: Any):
        # In the order in which they are written, as transforms are applied, not the alphabet's.
        super().__init__(*values, **{"sort_keys": False} | options)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Set a field; raises ``TypeError`` for a value of another type than the field's."""
        value = plain(value)
        if isinstance(value, bool) and self._kind(key) in (int, float):
            raise TypeError(f"{value} is no number")
        held: Any = self._fields
        if value is None and not isinstance(held.get(key), FieldReference):
            # A field that is unset keeps its type, so that the command line can set it again.
            value = FieldReference(None, field_type=self._kind(key))
        super().__setitem__(key, value)

    def __repr__(self) -> str:
        """Return the fields as a dict writes them, on one line."""
        return repr({name: self[name] for name in self})

    def _kind(self, key: Any) -> type:
        """Return the type of a field, ``object`` of one that is not there yet."""
        return self.get_type(key) if key in self else object


def plain(value: Any) -> Any:
    """Return a value as configs hold it, its parts too: a dict becomes a ``Section``."""
    if isinstance(value, np.generic) or (hasattr(value, "__array__") and hasattr(value, "tolist")):
        value = np.asarray(value).tolist()
    if isinstance(value, (Section, FieldReference)):
        return value
    if isinstance(value, (Mapping, ConfigDict)):
        fields: Any = value
        names = fields._fields if isinstance(value, ConfigDict) else fields
        section = Section()
        for name in names:
            section[name] = fields[name]
        return section
    if isinstance(value, (tuple, list)):
        return tuple(plain(item) for item in value)
    return value
