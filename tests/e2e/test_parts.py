"""`tradewind bench`: every part is measured, the slowest is named, nothing is left behind."""
import json
import os

import pytest

import tw

BRIEF = ("--milliseconds", "20")


@pytest.fixture(name="side")
def own_side(place):
    side = tw.Side(os.path.join(place, "here"))
    yield side
    side.close()


def measure(side, *words, code=0):
    process = side.run("bench", "--json", *BRIEF, *words, limit=60)
    assert process.code == code, process.text()
    return json.loads(process.out()) if code == 0 else process.text()


def test_all_parts(side, place):
    os.makedirs(os.path.join(place, "disk"))
    told = measure(side, "--packet", "1200", os.path.join(place, "disk"))
    assert os.listdir(os.path.join(place, "disk")) == []
    sealed = {(row["cipher"], row["packetBytes"]): row for row in told["crypto"]}
    ciphers = {"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305", "none"}
    assert set(sealed) == {(cipher, size) for cipher in ciphers
                           for size in (256, 1200, 1400, 8900)}
    assert all(row["sealBps"] > 0 and row["openBps"] > 0 for row in told["crypto"])
    assert told["digest"]["chunkBps"] > 0 and told["digest"]["sha256Bps"] > 0
    assert told["network"]["loopbackBps"] > 0
    assert 1 <= told["network"]["segments"] <= 65507 // 1200
    disk = told["disk"]
    assert disk["readBps"] > 0 and disk["writeBps"] >= disk["writeFlushedBps"] > 0
    assert len(told["crypto"]) == len(sealed)
    default = sealed["AES-128-GCM", 1200]
    parts = {"sealing (AES-128-GCM)": default["sealBps"],
             "opening (AES-128-GCM)": default["openBps"], "digest": told["digest"]["chunkBps"],
             "network": told["network"]["loopbackBps"], "disk read": disk["readBps"],
             "disk write": disk["writeFlushedBps"]}
    assert told["limitBps"] == min(parts.values()) == parts[told["limit"]]
    sending = {name: parts[name] for name in ("sealing (AES-128-GCM)", "digest", "network",
                                              "disk read")}
    assert told["sendLimitBps"] == min(sending.values()) == sending[told["sendLimit"]]
    assert told["limitBps"] == min(told["sendLimitBps"], told["receiveLimitBps"])
    # One core has to do several of them, one after the other.
    assert 0 < told["oneCore"]["sendBps"] <= default["sealBps"]


def test_a_choice_of_parts(side):
    told = measure(side, "--only", "digest", "--only", "network")
    assert set(told) == {"packetBytes", "digest", "network", "limit", "limitBps", "sendLimit",
                         "sendLimitBps", "receiveLimit", "receiveLimitBps"}
    assert told["limit"] in ("digest", "network")


def test_for_people(side, place):
    process = side.run("bench", *BRIEF, "--only", "disk", "--only", "crypto", place, limit=60)
    assert process.code == 0, process.text()
    assert "ChaCha20-Poly1305, 1400 bytes" in process.text()
    assert "The slowest part of sending from here is " in process.text()
    assert "The slowest part of receiving here is " in process.text()


def test_what_cannot_be(side, place):
    assert "crypto, digest, network or disk" in measure(side, "--only", "luck", code=2)
    assert "--packet" in measure(side, "--packet", "9001", code=2)
    absent = os.path.join(place, "absent")
    assert absent in measure(side, "--only", "disk", absent, code=6)
