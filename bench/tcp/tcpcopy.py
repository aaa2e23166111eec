#!/usr/bin/python3
"""A plain TCP copy of files by sendfile: what Tradewind is measured against.

    tcpcopy.py receive PORT DIR             one connection, then it ends
    tcpcopy.py send HOST PORT CONGESTION PATH...

Files go one behind another over one connection, each as name length, name, size, contents: what
`tar` through TCP does, without its padding. The sender ends when the receiver has confirmed that
all of it is in its files.
"""
import os
import socket
import struct
import sys

HEAD = struct.Struct("!HQ")


def receive_exactly(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError("the sender stopped in the middle of a file")
        data += more
    return data


def receive(port, folder):
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", port))
    listener.listen(1)
    print("ready", flush=True)
    connection = listener.accept()[0]
    buffer = memoryview(bytearray(1 << 20))
    while True:
        name_bytes, size = HEAD.unpack(receive_exactly(connection, HEAD.size))
        if name_bytes == 0:
            break
        name = receive_exactly(connection, name_bytes)
        fd = os.open(os.path.join(os.fsencode(folder), name),
                     os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        while size:
            count = connection.recv_into(buffer, min(size, len(buffer)))
            if count == 0:
                raise EOFError("the sender stopped in the middle of a file")
            done = 0
            while done < count:
                done += os.write(fd, buffer[done:count])
            size -= count
        os.close(fd)
    connection.sendall(b"k")


def walk(path):
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            yield os.path.join(folder, name)


def send(host, port, congestion, paths):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
    connection.connect((host, port))
    for path in paths:
        for number, name in enumerate(walk(path)):
            fd = os.open(name, os.O_RDONLY)
            size = os.fstat(fd).st_size
            short = os.fsencode("%d-%s" % (number, os.path.basename(name)))
            connection.sendall(HEAD.pack(len(short), size) + short, socket.MSG_MORE)
            done = 0
            while done < size:
                done += os.sendfile(connection.fileno(), fd, done, min(size - done, 1 << 30))
            os.close(fd)
    connection.sendall(HEAD.pack(0, 0))
    if connection.recv(1) != b"k":
        raise EOFError("the receiver stopped before it had everything")


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(int(sys.argv[2]), sys.argv[3])
    else:
        send(sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5:])
