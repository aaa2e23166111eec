"""A plain TCP copy by sendfile, a program of our own: the fastest that one TCP connection gets."""
import os

import tw

from .base import PORT, Peer, has_congestion

TCPCOPY = os.path.join(tw.BUILD, "bench", "tcp", "tcpcopy")


class Tcp(Peer):
    programs = (TCPCOPY,)

    def __init__(self, congestion):
        self.name = "TCP sendfile, " + congestion
        self.congestion = congestion

    def why_not(self):
        return None if has_congestion(self.congestion) else "not in this kernel"

    def wait(self, trip):
        waiting = trip.network.right.start([TCPCOPY, "receive", str(PORT), trip.arrived])
        waiting.wait_for("ready", 10)
        return waiting

    def command(self, trip):
        return [TCPCOPY, "send", trip.network.right_ip, str(PORT), self.congestion, trip.source]
