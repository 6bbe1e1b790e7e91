"""Is there an answer, from where this runs?

Runs in a client node as a plain file, with nothing but the standard library, so that it
starts in a few milliseconds: `python3 -S -E look.py greet HOST PORT HEX TIMEOUT_S`.
"""

import json
import socket
import sys
import threading
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


def http(host: str, port: int, path: str, timeout_s: float, posted: str = "") -> tuple[int, str]:
    """Status and body of the answer to a GET, or to a POST of JSON; 0 and the reason when nobody answers."""
    import http.client  # noqa: PLC0415 (only this question needs it)

    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        if posted:
            connection.request("POST", path, posted, {"Content-Type": "application/json"})
        else:
            connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as problem:
        return 0, str(problem) or type(problem).__name__
    finally:
        connection.close()


def talk(host: str, port: int, send: bytes, timeout_s: float) -> str:
    """All that is answered to `send` and to its end, until the other side ends, too; empty when nothing was."""
    heard = b""
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(send)
            connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(65_536):
                heard += more
    except OSError:
        pass  # what was heard before counts
    return heard.decode("utf-8", "replace")


def talk_to_all(asked: list[tuple[str, int, bytes]], timeout_s: float) -> list[str]:
    """`talk` with each of several, side by side."""
    heard = [""] * len(asked)

    def ask(at: int) -> None:
        heard[at] = talk(*asked[at], timeout_s)

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return heard


def main(argv: list[str]) -> int:
    """Prints what is answered.

    `greet|delay HOST PORT HEX TIMEOUT_S`, `talk TIMEOUT_S [HOST PORT HEX]…`, `http HOST PORT PATH TIMEOUT_S`, `post HOST PORT
    PATH TIMEOUT_S JSON`. The answers to `talk` are a list of JSON; that to `post` begins with its HTTP status, which is 0 when
    nobody answered.
    """
    if argv[0] == "talk":
        _, timeout, *words = argv
        asked = [(words[at], int(words[at + 1]), bytes.fromhex(words[at + 2])) for at in range(0, len(words), 3)]
        print(json.dumps(talk_to_all(asked, float(timeout))))
        return 0
    question, host, port, what, timeout, *more = argv
    if question == "greet":
        print(greet(host, int(port), bytes.fromhex(what), float(timeout)))
    elif question == "delay":
        try:
            print(" ".join(f"{ms:.3f}" for ms in delay_ms(host, int(port), bytes.fromhex(what), float(timeout))))
        except OSError:
            print()
    elif question == "http":
        status, body = http(host, int(port), what, float(timeout))
        print(body if status else "")
    elif question == "post":
        print(*http(host, int(port), what, float(timeout), more[0]))
    else:
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
