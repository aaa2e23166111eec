"""SRT in file mode, plain, with buffers for the longest line of the grid."""
from .base import PORT, Peer
from .ports import wait_for_port

# Room for 1 Gbit/s and 200 ms; a flow window counts packets.
OPTIONS = "transtype=file&messageapi=0&sndbuf=67108864&rcvbuf=67108864&fc=51200"


class Srt(Peer):
    name = "SRT file mode"
    programs = ("srt-file-transmit",)
    sends_folders = False

    def wait(self, trip):
        waiting = trip.network.right.start([
            "srt-file-transmit", "-q", "srt://:%d?mode=listener&%s" % (PORT, OPTIONS),
            "file://" + trip.copy])
        wait_for_port(trip.network.right, PORT, "udp")
        return waiting

    def command(self, trip):
        return ["srt-file-transmit", "-q", "file://" + trip.source,
                "srt://%s:%d?%s" % (trip.network.right_ip, PORT, OPTIONS)]
