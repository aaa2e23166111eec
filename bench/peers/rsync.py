"""rsync to an rsync daemon: no encryption, TCP with the best congestion control here."""
from .base import PORT, Peer, best_congestion
from .ports import wait_for_port

SETTINGS = """use chroot = no
uid = root
gid = root
[in]
path = %s
read only = no
"""


class Rsync(Peer):
    programs = ("rsync",)
    ends_itself = False

    def __init__(self):
        self.congestion = best_congestion()
        self.name = "rsync daemon, " + self.congestion

    def wait(self, trip):
        trip.congestion(self.congestion)
        settings = trip.file("rsyncd.conf", SETTINGS % trip.arrived)
        waiting = trip.network.right.start(["rsync", "--daemon", "--no-detach", "--port", str(PORT),
                                            "--config", settings])
        wait_for_port(trip.network.right, PORT)
        return waiting

    def command(self, trip):
        return ["rsync", "-a", trip.source,
                "rsync://%s:%d/in/" % (trip.network.right_ip, PORT)]
