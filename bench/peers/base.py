"""What the programs have in common: one waits on one side, the other is the command that is
measured, from its start to its end.
"""
import os
import socket

PORT = 9000


class Trip:
    """One run of one program: who sends what to where over which line."""

    def __init__(self, case, network, source, place):
        self.case, self.network, self.source, self.place = case, network, source, place
        self.arrived = os.path.join(place, "arrived")
        os.mkdir(self.arrived)

    @property
    def copy(self):
        return os.path.join(self.arrived, os.path.basename(self.source))

    def file(self, name, text):
        path = os.path.join(self.place, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def congestion(self, name):
        """The TCP congestion control of programs that cannot choose one."""
        for namespace in (self.network.left, self.network.right):
            namespace.sysctl("net.ipv4.tcp_congestion_control", name)


class Peer:
    name = None
    programs = ()               # that must be installed
    waits = "right"             # the side that waits; the command runs on the other
    ends_itself = True          # the waiting program, after one transfer
    sends_folders = True
    only_memory = False         # it sends no files: nothing to compare afterwards

    def why_not(self):
        """Why it cannot be measured here although its programs are installed, or None."""
        return None

    def why_not_case(self, case):
        """Why it cannot be measured in a case, or None."""
        if case.many and not self.sends_folders:
            return "sends one file only"
        return None

    def wait(self, trip):
        """Starts the waiting program; returns once a command can reach it."""
        raise NotImplementedError

    def command(self, trip):
        raise NotImplementedError

    def environment(self, trip):
        return {}

    def arrived_bytes(self, size, waiting):
        """Of a transfer of @size bytes that went well; both ends have ended."""
        return size

    def stop(self, trip, command, waiting):
        """Ends a transfer that takes too long; returns how many bytes it got across."""
        done = stored_bytes(trip.arrived)       # before the end: some remove what is not whole
        command.kill()
        return done


def stored_bytes(folder):
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.lstat(os.path.join(where, name))
            except FileNotFoundError:           # got its final name meanwhile
                continue
            total += min(status.st_blocks * 512, status.st_size)
    return total


def has_congestion(name):
    """Asking for it loads it, for root."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        except OSError:
            return False
    return True


def best_congestion():
    """What a person who cares would set on a long path with loss."""
    return "bbr" if has_congestion("bbr") else "cubic"
