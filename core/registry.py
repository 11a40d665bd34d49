"""Load parts by name: a short name from a room's table, or `module:Class` for a user's own part."""

import difflib
import importlib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from core.errors import ExtraMissing, InvalidOptions, UnknownPart
from core.record import Config

_EXTRAS = {
    "bm25s": "bank",
    "google": "otel",
    "huggingface_hub": "hub",
    "matplotlib": "plots",
    "minisweagent": "mini",
    "opentelemetry": "otel",
    "pyarrow": "parquet",
    "ray": "ray",
    "swebench": "swebench",
    "vllm": "vllm",
    "zstandard": "inspect",
}


@dataclass(frozen=True, slots=True)
class Registry:
    """The parts of one kind.

    Attributes:
        kind: noun for such a part in messages, such as `selector`.
        known: short name -> `module:Class`. A module is imported only when one of its parts is requested.
        also: further accepted forms of a name, for messages, such as `command:...`.
        prefix: what users write before a short name, for messages, such as `builtin:`.
        own: how users refer to their own part, for messages.

    Example:
        >>> shapes = Registry("shape", {"fraction": "fractions:Fraction"})
        >>> shapes.find("fraction") is shapes.find("fractions:Fraction")
        True
    """

    kind: str
    known: Mapping[str, str]
    also: tuple[str, ...] = ()
    prefix: str = ""
    own: str = "module:Class"

    def find(self, name: str) -> Any:
        """Return the class or function that a name refers to.

        Raises:
            UnknownPart: there is no such name, module or attribute, or an optional library is missing.
        """
        module, _, attribute = self.known.get(self.check(name), name).partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            missing = _missing(error, f"{self.kind} {name!r}")
            hint = "; is its folder on PYTHONPATH?" if getattr(error, "name", None) == module else ""
            raise missing or UnknownPart(f"{self.kind} {name!r} cannot be loaded: {error}{hint}") from error
        except Exception as error:
            raise UnknownPart(f"{self.kind} {name!r} cannot be loaded: {_told(error)}") from error
        return found

    def open(self, name: str, *given: Any, options: Mapping[str, Any] | None = None, key: str = "") -> Any:
        """Construct a part: with its class method `open` if it has one, otherwise by calling it.

        Args:
            name: short name or `module:Class`.
            given: positional arguments that every part of this kind receives.
            options: the part's own settings. A part that declares an `Options` model receives an instance of it
                as the keyword argument `options`; for all other parts this must be empty.
            key: configuration key of the options, such as `tournament.options`, for messages.

        Returns:
            The part, or an awaitable if the part's `open` is asynchronous.

        Raises:
            UnknownPart: see `find`.
            InvalidOptions: the options do not match the part's `Options`.
        """
        part = self.find(name)
        read = read_options(part, options or {}, key)
        more = {} if isinstance(read, NoOptions) else {"options": read}
        try:
            return getattr(part, "open", part)(*given, **more)
        except TypeError as error:
            if name in self.known:
                raise
            raise InvalidOptions(f"{self.kind} {name!r} cannot be made: {_told(error)}") from error

    def check(self, name: str) -> str:
        """Return the name if it is a known short name or has the form `module:Class`, without importing anything.

        Raises:
            UnknownPart: it is neither.
        """
        if name not in self.known and not all(name.partition(":")):
            raise UnknownPart(f"unknown {self.kind} {name!r}{self._nearest(name)}; known: {self.names()}")
        return name

    def names(self) -> str:
        """All accepted forms of a name, for messages and help texts."""
        known = [self.prefix + name for name in self.known]
        return ", ".join([*known, *self.also, f"or your own {self.own}"])

    def _nearest(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.known, n=1)
        return f" (did you mean {near[0]}?)" if near else ""


def _told(error: Exception) -> str:
    """An error with the last line of code that it passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames and not isinstance(error, SyntaxError) else ""
    return f"{type(error).__name__}: {error}{where}"


class NoOptions(Config):
    """The options of a part that declares none."""


def read_options(part: Any, given: Mapping[str, Any], key: str) -> Config:
    """Validate a part's own settings against the `Options` model it declares.

    Args:
        part: a class or function; has an attribute `Options`, a subclass of `Config`, if it takes settings.
        given: the settings as configured.
        key: their configuration key, such as `tournament.options`, for messages.

    Returns:
        An instance of `part.Options`, or of `NoOptions` if the part declares none.

    Raises:
        InvalidOptions: the settings are invalid; the message names the first problem.
    """
    model: type[Config] = getattr(part, "Options", NoOptions)
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([key, *(str(step) for step in first["loc"])])
        if first["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields)
            raise InvalidOptions(
                f"unknown option {where}; {f'known: {known}' if known else 'it takes no options'}"
            ) from None
        raise InvalidOptions(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None


def optional_module(name: str, purpose: str) -> Any:
    """Import a module that needs a library from an optional extra.

    Args:
        name: dotted module name.
        purpose: what needs it, as the subject of a sentence, such as `Parquet`.

    Raises:
        ExtraMissing: the library is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise _missing(error, purpose) or error from error


def _missing(error: ImportError | AttributeError, what: str) -> ExtraMissing | None:
    """Build the error that names the extra, if the missing library belongs to one."""
    library = ((error.name or "") if isinstance(error, ImportError) else "").partition(".")[0]
    extra = _EXTRAS.get(library)
    return ExtraMissing(f"{what} needs {library}: pip install 'heats[{extra}]'") if extra else None
