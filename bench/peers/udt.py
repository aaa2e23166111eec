"""UDT 4 by the example programs of its package, compiled on first use. Here the sender waits, and the
receiver is the command.
"""
import gzip
import os
import subprocess

import tw

from .base import PORT, Peer
from .ports import wait_for_port

EXAMPLES = "/usr/share/doc/libudt-dev/examples"
PLACE = os.path.join(tw.BUILD, "bench", "udt")


def compile_example(name):
    program = os.path.join(PLACE, name)
    if os.path.exists(program):
        return program
    os.makedirs(PLACE, exist_ok=True)
    source = os.path.join(EXAMPLES, name + ".cpp")
    if os.path.exists(source):
        with open(source, "rb") as file:
            text = file.read()
    else:
        with gzip.open(source + ".gz", "rb") as file:
            text = file.read()
    subprocess.run(["g++", "-O2", "-w", "-I/usr/include/udt", "-x", "c++", "-", "-o", program,
                    "-ludt", "-lpthread"], input=text, check=True, timeout=60)
    return program


class Udt(Peer):
    name = "UDT 4"
    programs = ("g++",)
    waits = "left"
    ends_itself = False
    sends_folders = False

    def why_not(self):
        if os.path.isdir(EXAMPLES):
            return None
        return "libudt-dev is missing (tools/deps bench)"

    def wait(self, trip):
        waiting = trip.network.left.start([compile_example("sendfile"), str(PORT)])
        wait_for_port(trip.network.left, PORT, "udp")
        return waiting

    def command(self, trip):
        return [compile_example("recvfile"), trip.network.left_ip, str(PORT), trip.source,
                trip.copy]
