"""Is there an answer, from where this runs?

Runs in a client node as a plain file, with nothing but the standard library, so that it
starts in a few milliseconds: `python3 -S -E look.py greet HOST PORT HEX TIMEOUT_S`.
"""

import socket
import sys
import time


def greet(host: str, port: int, send: bytes, timeout_s: float) -> str:
    """What becomes of a question that needs no login: `answers`, `refused`, `closed` or `silent`.

    `refused`: no process listens (or it resets). `closed`: something took the connection and ended
    it without a byte. `silent`: nothing came within `timeout_s` seconds.
    """
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(send)
            return "answers" if connection.recv(1) else "closed"
    except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
        return "refused"
    except (TimeoutError, OSError):
        return "silent"


def delay_ms(host: str, port: int, send: bytes, timeout_s: float, times: int = 5) -> list[float]:
    """How long each of `times` first answers took on fresh connections, in ms, without the connecting."""
    measured = []
    for _ in range(times):
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            began = time.monotonic()
            connection.sendall(send)
            if connection.recv(1):
                measured.append((time.monotonic() - began) * 1000)
    return measured


def http(host: str, port: int, path: str, timeout_s: float) -> str:
    """The body of a GET, whatever its status; empty when nobody answers."""
    import http.client  # noqa: PLC0415 (only this question needs it)

    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        connection.close()


def main(argv: list[str]) -> int:
    """`greet|delay HOST PORT HEX TIMEOUT_S`, `http HOST PORT PATH TIMEOUT_S`; prints the answer."""
    question, host, port, what, timeout = argv
    if question == "greet":
        print(greet(host, int(port), bytes.fromhex(what), float(timeout)))
    elif question == "delay":
        try:
            print(" ".join(f"{ms:.3f}" for ms in delay_ms(host, int(port), bytes.fromhex(what), float(timeout))))
        except OSError:
            print()
    elif question == "http":
        print(http(host, int(port), what, float(timeout)))
    else:
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
