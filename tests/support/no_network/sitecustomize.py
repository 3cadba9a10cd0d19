"""Python without a network but loopback, for processes that have this folder on PYTHONPATH.

Every connection is written to the file that CONNECTIONS names, and those beyond this machine are
refused: a library that swallows the refusal is found by the file.
"""

import os
import socket
import sys


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Write down who is called; refuse what is not on this machine."""
    if event == "socket.connect":
        called = arguments[1]
    elif event == "socket.getaddrinfo":
        called = arguments[:2]
    else:
        return
    if not isinstance(called, tuple):  # The path of a socket on this machine.
        return
    host = called[0].decode() if isinstance(called[0], bytes) else str(called[0] or "localhost")
    local = host in ("localhost", "::1", socket.gethostname()) or host.startswith("127.")
    with open(os.environ["CONNECTIONS"], "a") as stream:  # noqa: PTH123 (imports nothing more)
        stream.write(f"{'here' if local else 'beyond'} {event} {called}\n")
    if not local:
        raise OSError(f"no network: {called}")


sys.addaudithook(watch)
