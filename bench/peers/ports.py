"""Waiting until a program listens, without touching it."""
import time

LISTEN = "0A"


def wait_for_port(namespace, port, kind="tcp", limit=10):
    """@kind: tcp or udp. The kernel's own tables, read inside the namespace."""
    wanted = ":%04X" % port
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        tables = namespace.run(["cat", "/proc/net/" + kind, "/proc/net/%s6" % kind], 10).out()
        for row in tables.decode().splitlines():
            fields = row.split()
            if fields[1].endswith(wanted) and (kind == "udp" or fields[3] == LISTEN):
                return
        time.sleep(0.01)
    raise AssertionError("nobody listens on %s port %d" % (kind, port))
