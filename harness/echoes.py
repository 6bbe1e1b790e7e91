"""What becomes of packets on their way from here to there, and back?

Asks the other kernel for echoes, which needs no server and no privilege: a paused or crashed server changes nothing.
Runs in a client node as a plain file, with nothing but the standard library, as look.py does:
`python3 -S -E echoes.py HOST TIMES BYTES EVERY_S WITHIN_S`.
"""

import json
import select
import socket
import struct
import sys
import time

_REQUEST, _HEADER = 8, 8  # the type of an echo request; bytes of the header of any echo
_IP_HEADER = 20
BUFFER_BYTES = 1 << 20
SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>: the kernel says when a packet came, however late it is read


def ask(host: str, times: int, size: int, every_s: float, within_s: float) -> dict[str, object]:
    """Asks `times` times, every `every_s` seconds, with packets of `size` bytes.

    Gives `sent`; `round_trips_ms` of the echoes that came within `within_s` seconds of the last question, in the order of
    their coming; and `train_ms`, the time from the first of them to the last.
    """
    sent: list[float] = []
    heard: dict[int, float] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        asking.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        asking.connect((host, 0))
        filling = bytes(max(0, size - _IP_HEADER - _HEADER))
        began = time.time()  # the clock of the kernel's stamps
        while len(heard) < times:
            now = time.time()
            if len(sent) < times and now >= (due := began + len(sent) * every_s):
                sent.append(now)
                asking.send(struct.pack("!BBHHH", _REQUEST, 0, 0, 0, len(sent) - 1) + filling)
                due = began + len(sent) * every_s
            elif len(sent) == times:
                due = sent[-1] + within_s
                if now >= due:
                    break
            if select.select([asking], [], [], max(0.0, due - time.time()))[0]:
                echo, stamps, _, _ = asking.recvmsg(_HEADER, 64)
                seconds, nanoseconds = struct.unpack("qq", stamps[0][2][:16])
                heard.setdefault(struct.unpack_from("!H", echo, 6)[0], seconds + nanoseconds / 1e9)
    return {
        "sent": len(sent),
        "round_trips_ms": [round((at - sent[number]) * 1000, 3) for number, at in heard.items()],
        "train_ms": round((max(heard.values()) - min(heard.values())) * 1000, 3) if heard else 0.0,
    }


def main(argv: list[str]) -> int:
    """Prints what `ask` gives, as JSON; `sent` is 0 where the network cannot be asked."""
    host, times, size, every, within = argv
    found: dict[str, object]
    try:
        found = ask(host, int(times), int(size), float(every), float(within))
    except OSError as problem:
        found = {"sent": 0, "round_trips_ms": [], "train_ms": 0.0, "problem": str(problem)}
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
