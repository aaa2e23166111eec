"""scp with its fastest cipher, to a server of its own with keys of its own, TCP with the best
congestion control here.
"""
import os
import subprocess

from .base import PORT, Peer, best_congestion
from .ports import wait_for_port

CIPHER = "aes128-gcm@openssh.com"
SERVER = """Port %(port)d
HostKey %(place)s/host-key
AuthorizedKeysFile %(place)s/user-key.pub
PidFile none
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM yes
UseDNS no
Subsystem sftp internal-sftp
"""
CLIENT = """IdentityFile %(place)s/user-key
IdentitiesOnly yes
UserKnownHostsFile %(place)s/known-hosts
StrictHostKeyChecking accept-new
GlobalKnownHostsFile none
BatchMode yes
LogLevel ERROR
"""


class Scp(Peer):
    programs = ("scp", "ssh-keygen", "/usr/sbin/sshd")
    ends_itself = False

    def __init__(self):
        self.congestion = best_congestion()
        self.name = "scp aes128-gcm, " + self.congestion

    def wait(self, trip):
        trip.congestion(self.congestion)
        for key in ("host-key", "user-key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                            os.path.join(trip.place, key)], check=True, timeout=20)
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)     # an empty folder it insists on
        settings = trip.file("sshd_config", SERVER % {"place": trip.place, "port": PORT})
        waiting = trip.network.right.start(["/usr/sbin/sshd", "-D", "-e", "-f", settings])
        wait_for_port(trip.network.right, PORT)
        return waiting

    def command(self, trip):
        settings = trip.file("ssh_config", CLIENT % {"place": trip.place})
        return ["scp", "-q", "-r", "-F", settings, "-c", CIPHER, "-P", str(PORT), trip.source,
                "root@%s:%s/" % (trip.network.right_ip, trip.arrived)]
