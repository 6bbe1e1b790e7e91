"""What stands for DynamoDB where there is no cloud?

moto's, a store in memory that answers to DynamoDB's protocol: `python3 -m harness.dynamodb_server HOST PORT`. Here it keeps
connections open, as the service does, where its own command ends each with its answer; and whenever it starts, it has the table
that probes write to.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from gevent.pywsgi import WSGIServer
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import Client

from harness.probes._dynamodb import PROBED, headers, table


class Server(WSGIServer):
    """Sends each answer at once: it comes in two pieces, and the second one would wait for an acknowledgement of the first."""

    def handle(self, sock: socket.socket, address: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().handle(sock, address)


def main(argv: list[str]) -> int:
    """Serves until it is ended."""
    host, port = argv
    application = DomainDispatcherApplication(create_backend_app)
    made = Client(application).post("/", json=table(PROBED, "value"), headers=headers("CreateTable"))
    assert made.status_code == 200, made.text
    Server((host, int(port)), application, log=None).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
