"""What do the logs of Valkey, Redis and their Sentinels say, and when?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, tzinfo

# Process, what it is (X: a Sentinel; M, S: a server as primary or replica; C: a child), when, how loud, what.
_LINE = re.compile(r"^\d+:[A-Z] (\d+ \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3}) \S (.*)$")


def told(log: str, zone: tzinfo) -> Iterator[tuple[float, str]]:
    """(Unix time in s, text) of each line, in order; `zone` is that of the node's clock, in which it is written."""
    for line in log.splitlines():
        if read := _LINE.match(line):
            moment, text = read.groups()
            yield datetime.strptime(moment, "%d %b %Y %H:%M:%S.%f").replace(tzinfo=zone).timestamp(), text
