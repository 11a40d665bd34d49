"""The final check of everything that leaves the machine: does it contain a secret of this process?"""

import base64
import os
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping

from heats.errors import PatchRefused

_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL", re.IGNORECASE)
_SHORTEST = 12


def check_leaks(outgoing: Mapping[str, bytes], environment: Mapping[str, str] | None = None) -> None:
    """Refuse to send text that contains the value of an environment variable with a secret's name.

    The value is searched as it is, reversed, and in base64, hexadecimal and URL encoding.

    Args:
        outgoing: bytes by description (`the patch`).
        environment: variables to check; None for this process's environment.

    Raises:
        PatchRefused: names the variable and where it was found, never its value.
    """
    for name, value in (os.environ if environment is None else environment).items():
        if len(value) < _SHORTEST or not _SECRET_NAME.search(name):
            continue
        forms = set(_forms(value.encode("utf-8", "surrogateescape")))
        for what, data in outgoing.items():
            if _occurs(forms, data):
                raise PatchRefused(f"{what} contains the value of ${name}: nothing was sent or changed")


def _occurs(forms: Iterable[bytes], data: bytes) -> bool:
    # Encoded text may be wrapped, and a diff puts a sign before each line.
    joined = re.sub(rb"\r?\n[+\- ]?", b"", data)
    return any(form in data or form in joined for form in forms)


def _forms(value: bytes) -> Iterator[bytes]:
    yield value
    yield value[::-1]
    yield value.hex().encode()
    yield value.hex().upper().encode()
    yield urllib.parse.quote_from_bytes(value, safe="").encode()
    for shift, lost in ((0, 0), (1, 2), (2, 3)):
        # Depending on its offset, a run of bytes in a longer text has one of three base64 forms, except for the
        # characters at its ends.
        encoded = base64.b64encode(b"\0" * shift + value)[lost:].rstrip(b"=")
        encoded = encoded[:-1] if (shift + len(value)) % 3 else encoded
        yield encoded
        yield encoded.translate(bytes.maketrans(b"+/", b"-_"))
