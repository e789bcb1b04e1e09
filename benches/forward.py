"""Lines as Docker's fluentd driver sends them: a message for each, over a unix socket."""

import socket
import threading

# Messages that are written at once: a driver writes one after the other, and the socket holds what is not read yet.
TOGETHER = 64


def text(value):
    size = len(value)
    head = bytes([0xA0 | size]) if size < 32 else bytes([0xD9, size]) if size < 256 else b"\xda" + size.to_bytes(2, "big")
    return head + value


def messages(path):
    """Every line of a file as a message; the fields are those of a container."""
    head = b"\x94" + text(b"0123456789ab") + b"\xd7\x00" + (1763773200).to_bytes(4, "big") + bytes(4) + b"\x84"
    for name, value in ((b"container_id", b"0123456789abcdef" * 4), (b"container_name", b"/bench"), (b"source", b"stdout")):
        head += text(name) + text(value)
    head += text(b"log")
    with path.open("rb") as file:
        return [head + text(line.rstrip(b"\n")) + b"\x80" for line in file]


def pieces(path, connections):
    """For each connection what it writes, in pieces."""
    every = messages(path)
    size = -(-len(every) // connections)
    shares = [every[at : at + size] for at in range(0, len(every), size)]
    return [[b"".join(share[at : at + TOGETHER]) for at in range(0, len(share), TOGETHER)] for share in shares]


def send(path, shares):
    """Returns when everything was written."""
    threads = [threading.Thread(target=connection, args=(path, share)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def connection(path, share):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        for piece in share:
            client.sendall(piece)
