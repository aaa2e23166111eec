"""The programs that are measured: a file each, and the table of them all."""
import os
import shutil

import tw

from . import iperf3, rsync, scp, srt, tcp, tradewind, udt, uftp

PEERS = [
    tradewind.Tradewind("128"),
    tradewind.Tradewind("none"),
    tcp.Tcp("cubic"),
    tcp.Tcp("bbr"),
    rsync.Rsync(),
    scp.Scp(),
    uftp.Uftp(),
    udt.Udt(),
    srt.Srt(),
    iperf3.Iperf3("cubic"),
    iperf3.Iperf3("bbr"),
]


def why_not(peer):
    """Why this machine cannot run a peer, or None."""
    missing = [program for program in peer.programs if not shutil.which(program)]
    if missing:
        return "%s is missing (%s)" % (os.path.basename(missing[0]), "make build" if
                                       missing[0].startswith(tw.BUILD) else "tools/deps bench")
    return peer.why_not()
