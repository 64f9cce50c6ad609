"""Ports that no other program gets between their choice and their use."""

import socket


def reserved_port():
    """Return a socket that holds a free port of 127.0.0.1, and the port; the caller closes it.

    The socket does not listen: connections are refused until a server listens on the port, which
    it can if it sets SO_REUSEADDR, as servers do.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder, holder.getsockname()[1]
