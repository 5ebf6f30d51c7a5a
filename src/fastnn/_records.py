"""Records: objects of a few fields that are given once.

What a frozen dataclass is, too; but each of these takes its time to be defined, in every program
that imports fastnn, and an op is little more than a name for a few fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**options):
        return lambda cls: cls


@dataclass_transform(frozen_default=True, eq_default=False)
class Record:
    """Base of records: their fields are those annotated in the class, with defaults, if any.

    Those of base classes come first. They are given in that order or by name, and cannot be set
    later. A subclass may check them in `__post_init__`.
    """

    _fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._fields = (*cls._fields, *cls.__annotations__)

    def __init__(self, *values: Any, **named: Any) -> None:
        fields = self._fields
        if len(values) == len(fields) and not named:
            vars(self).update(zip(fields, values, strict=True))
        else:
            vars(self).update(self._matched(values, named))
        self.__post_init__()

    def _matched(self, values: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        """Return values by the names of fields; check that all are there that have no default."""
        fields = self._fields
        given = dict(zip(fields, values, strict=False)) | named
        missing = [name for name in fields if name not in given and not hasattr(self, name)]
        if missing or len(values) > len(fields) or not given.keys() <= set(fields):
            raise TypeError(
                f"{type(self).__name__} takes {', '.join(fields)}, got {len(values)} values and "
                f"{', '.join(named) or 'no names'}"
            )
        return given

    def __post_init__(self) -> None:
        """Check the fields."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed: make another")

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({fields})"
