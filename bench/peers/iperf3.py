"""iperf3: TCP from memory to memory, no files. What TCP itself does on the line."""
import json
import os
import signal

from .base import PORT, Peer, has_congestion
from .ports import wait_for_port


class Iperf3(Peer):
    programs = ("iperf3",)
    sends_folders = False
    only_memory = True

    def __init__(self, congestion):
        self.name = "iperf3 %s (memory only)" % congestion
        self.congestion = congestion

    def why_not(self):
        return None if has_congestion(self.congestion) else "not in this kernel"

    def why_not_case(self, case):
        return "sends no files" if case.many else None

    def wait(self, trip):
        waiting = trip.network.right.start(["iperf3", "-s", "-1", "-J", "-p", str(PORT)])
        wait_for_port(trip.network.right, PORT)
        return waiting

    def command(self, trip):
        """For as long as the line needs, because it does not wait for the last bytes to arrive:
        what counts is how many did.
        """
        payload, size = trip.case.payload_bps, os.path.getsize(trip.source)
        seconds = max(1, round(8 * size / payload)) if payload else 2
        return ["iperf3", "-c", trip.network.right_ip, "-p", str(PORT), "-C", self.congestion,
                "-t", str(seconds), "-J"]

    def arrived_bytes(self, size, waiting):
        return json.loads(waiting.out())["end"]["sum_received"]["bytes"]

    def stop(self, trip, command, waiting):
        command.signal(signal.SIGINT)
        command.wait(10)
        return self.arrived_bytes(None, waiting.wait(10))
