"""What of a text from outside may reach a terminal or a table?

A server's log, an error's text and a scenario's title can hold what a terminal obeys (escape sequences, marks that turn
the direction of writing round) and what UTF-8 cannot carry. They are shown as one sign each, so that it is seen that
something was there.
"""

from __future__ import annotations

import re

_NOT_SHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def plain(text: str) -> str:
    """The text with U+FFFD for each sign that does something instead of being seen; lines and tabs stay."""
    return _NOT_SHOWN.sub("\ufffd", text)
