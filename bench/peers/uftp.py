"""uftp to one receiver, plain, its rate set by hand to what the line carries: it has no controller
of its own that fills a line. The receiver is named, so that it does not wait for others.
"""
import socket

from .base import PORT, Peer
from .ports import wait_for_port

BLOCK_BYTES = 1440              # of content in a datagram of 1500 bytes
BUFFER_BYTES = 100 << 20        # the most it takes


class Uftp(Peer):
    name = "uftp, rate by hand"
    programs = ("uftp", "uftpd")
    ends_itself = False

    def wait(self, trip):
        waiting = trip.network.right.start([
            "uftpd", "-d", "-D", trip.arrived, "-I", trip.network.right_ip, "-p", str(PORT), "-t",
            "-B", str(BUFFER_BYTES)])
        wait_for_port(trip.network.right, PORT, "udp")
        return waiting

    def command(self, trip):
        rate = trip.case.rate_bps
        right = trip.network.right_ip
        return ["uftp", "-M", right, "-H", "0x" + socket.inet_aton(right).hex(),
                "-I", trip.network.left_ip, "-p", str(PORT),
                "-R", "%d" % (rate * 0.95 / 1000) if rate else "-1", "-b", str(BLOCK_BYTES),
                "-B", str(BUFFER_BYTES), trip.source]
