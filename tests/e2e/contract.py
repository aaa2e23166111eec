"""The interface's contract as data: the names that scripts rely on, kept apart from the program.

METHODS: name -> parameters, each with a letter for its type; `!` marks what must be given.
STRUCTURES: name -> fields, each with a letter; `?` marks what may be null.

s string  b boolean  i integer  n number  t timestamp  l list  o object  S list of strings
"""

COMMON = "clientRequestId:s"

METHODS = {
    "getServerInfo": "",
    "echo": "text:s!",
    "sleep": "milliseconds:i!",
    "terminate": "",
    "auth": "user:s! password:s!",
    "authAsync": "user:s! password:s!",
    "authToken": "token:s! password:s",
    "superuser": "",
    "wrangler": "",
    "getRequestStatus": "requestId:s!",
    "getRequestResult": "requestId:s!",
    "getEventLog": "since:t afterId:i limit:i",
    "getThirdPartyLicenses": "",
    "lsAsync": "path:s!",
    "lsListAsync": "paths:S!",
    "lsRootsAsync": "",
    "duAsync": "path:s!",
    "mkdirAsync": "path:s!",
    "mkFileAsync": "path:s!",
    "mvAsync": "srcPath:s! destPath:s! overwrite:b",
    "rmAsync": "path:s! recursive:b",
    "getSandboxMappings": "",
    "setSandboxMapping": "user:s! mapping:o!",
    "deleteSandboxMapping": "user:s!",
    "createAPIToken": "path:s permissions:S expiryTime:t password:s description:s userData:o",
    "getAPIToken": "token:s!",
    "getAPITokens": "",
    "deleteAPIToken": "token:s!",
    "addWranglerAsync": "name:s! isGroup:b",
    "deleteWrangler": "name:s! isGroup:b",
    "getWranglers": "",
    "updateBandwidthLimits": "incomingRateLimit:i outgoingRateLimit:i borrowIncomingRate:b"
                             " borrowOutgoingRate:b",
    "garbageCollect": "",
    "updateGarbageCollectSettings": "intervalSeconds:i transferExpirySeconds:i"
                                    " manifestExpirySeconds:i",
    "sendDiscoverPacketAsync": "address:s! port:i! timeoutMs:i",
    "recvDiscoverPacketAsync": "address:s! port:i! timeoutMs:i",

    "send.createDestination": "destinationAddress:s! destinationPort:i destinationPublicKey:s"
                              " permittedDestinationPublicKey:s encryptionEnabled:b senderIP:s"
                              " senderPort:i sendRate:i sendRateMin:i sendRateMax:i"
                              " rateControllerActive:b rateControlMethod:s"
                              " sendRateAverageWindowMs:i socketSendBufferSize:i"
                              " socketRecvBufferSize:i relayAddress:s relayPort:i relayPublicKey:s"
                              " userData:o "
                              + COMMON,
    "send.getDestination": "destinationId:s!",
    "send.getDestinations": "",
    "send.deleteDestination": "destinationId:s! force:b",
    "send.getConnection": "connectionId:s!",
    "send.getConnections": "",
    "send.setSendRateAsync": "destinationId:s transferId:s sendRate:i sendRateMin:i sendRateMax:i"
                             " rateControllerActive:b rateControlMethod:s",
    "send.createManifest": "fileMappings:l mappings:o recursive:b symbolicLinks:s include:S"
                           " exclude:S userData:o " + COMMON,
    "send.waitForManifest": "manifestId:s! timeoutMs:i",
    "send.getManifest": "manifestId:s!",
    "send.getManifests": "",
    "send.deleteManifest": "manifestId:s!",
    "send.getManifestFiles": "manifestId:s! offset:i limit:i",
    "send.createTransfer": "manifestId:s token:s tokenPassword:s destinationId:s! destinationPath:s"
                           " priority:i overwriteMode:i checkpointFrequencySeconds:i"
                           " transferFlags:i sendRateMax:i verify:b userData:o " + COMMON,
    "send.getTransfer": "transferId:s!",
    "send.getTransfers": "status:s destinationId:s offset:i limit:i",
    "send.waitForTransfer": "transferId:s! timeoutMs:i",
    "send.suspendTransfer": "transferId:s!",
    "send.resumeTransfer": "transferId:s!",
    "send.cancelTransfer": "transferId:s!",
    "send.failTransfer": "transferId:s! errorMessage:s!",
    "send.deleteTransfer": "transferId:s! force:b",
    "send.updateTransfer": "transferId:s! priority:i sendRateMax:i",
    "send.getTransferSamples": "transferId:s! since:t",
    "send.createSharedToken": "manifestId:s! expiryTime:t downloadLimit:i password:s description:s",
    "send.getSharedToken": "token:s!",
    "send.getSharedTokens": "",
    "send.deleteSharedToken": "token:s!",
    "send.updateObjectUserData": "destinationId:s manifestId:s transferId:s token:s userData:o!",
    "send.deleteObjectUserData": "destinationId:s manifestId:s transferId:s token:s keys:S!",
    "send.createWatch": "srcPath:s! destinationId:s! destinationPath:s intervalSeconds:i"
                        " settleSeconds:i include:S exclude:S mirrorDeletes:b expiryTime:t"
                        " enabled:b userData:o " + COMMON,
    "send.getWatches": "",
    "send.deleteWatch": "watchId:s!",
    "send.updateWatch": "watchId:s! srcPath:s destinationId:s destinationPath:s intervalSeconds:i"
                        " settleSeconds:i include:S exclude:S mirrorDeletes:b expiryTime:t"
                        " enabled:b userData:o",

    "recv.addAuthorizedClientAsync": "clientPublicKey:s!",
    "recv.removeAuthorizedClientAsync": "clientPublicKey:s!",
    "recv.allowOnlyAuthorizedClientsAsync": "onlyAuthorizedClientsAllowed:b!",
    "recv.getAuthorizedClientsAsync": "",
    "recv.getSourcesAsync": "",
    "recv.getTransfersAsync": "",
}

OWNER = " owner:s? ownerToken:s? ownerTokenSession:s? "

CONNECTION = (
    "connectionId:s destinationIP:s? destinationPort:i destinationPublicKey:s?"
    " encryptedConnectionState:s encryptionEnabled:b lastDestinationServerId:s?"
    " lastDestinationServerUid:s? lastError:s? lastErrorMessage:s? lastRecvTime:t? lastSendTime:t?"
    " numTransfersQueued:i rateControllerActive:b rateControlMethod:s relayIP:s? relayPort:i?"
    " roundTripTimeMs:n? senderIP:s? senderPort:i? sendRate:i? sendRateAverage:i?"
    " sendRateAverageWindow:i? sendRateMax:i? sendRateMin:i? snapshotTime:t?"
    " socketRecvBufferSize:i? socketSendBufferSize:i? pathMtu:i? lossPercent:n? queueDelayMs:n?"
    " bandwidthEstimate:i? cipher:s?")

STRUCTURES = {
    "Connection": CONNECTION,
    "Destination": CONNECTION + " destinationId:s destinationAddress:s" + OWNER
                   + "permittedDestinationPublicKey:s? userData:o",
    "Manifest": "manifestId:s status:s processing:b errorMessage:s? totalFiles:i? totalSize:i?"
                + OWNER + "userData:o creationTime:t filesSoFar:i sizeSoFar:i",
    "ManifestFiles": "manifestId:s fileMappings:l",
    "ManifestFile": "srcPath:s destPath:s fileSize:i isEmptyDir:b executable:b"
                    " modificationTime:t?",
    "Transfer": "transferId:s destinationId:s destinationPath:s manifestId:s? priority:i status:s"
                " processing:b errorMessage:s? requestTime:t queueTime:t? startTime:t? endTime:t?"
                " snapshotTime:t? totalBytes:i? totalBlocks:i? totalFiles:i? blockSize:i?"
                " blocksSent:i blocksAcked:i blocksRetransmitted:i bytesSent:i bytesRecv:i"
                " packetsSent:i packetsRecv:i bytesAcked:i bytesDurable:i filesComplete:i"
                " throughput:i? estimatedSecondsRemaining:n? checkpointFrequencySeconds:i?"
                " overwriteMode:i transferFlags:i sendRateMax:i? digest:s?" + OWNER
                + "userData:o problems:S",
    "TransferSample": "time:t bytesTransferred:i throughput:i retransmitPercent:n? sendRate:i?"
                      " diskReadRate:i? networkSendRate:i?",
    "ReceiveTransfer": "transferId:s destinationPath:s status:s totalSize:i? bytesReceived:i"
                       " sourceIP:s? sourcePort:i? relayIP:s? relayPort:i? lastRecvTime:t? lastSendTime:t? lastErrorTime:t?",
    "Source": "sourceIP:s sourcePort:i destinationPublicKey:s? encryptedConnectionState:s"
              " encryptionEnabled:b activeTransferCount:i inactiveTransferCount:i"
              " completeTransferCount:i errorTransferCount:i aveRecvRate:i? aveRecvRateWindow:i?"
              " relayIP:s? relayPort:i?",
    "Token": "token:s creationTime:t expiryTime:t? description:s? passwordRequired:b permissions:S"
             + OWNER + "userData:o manifestId:s? downloadCount:i? downloadLimit:i? path:s?",
    "Watch": "watchId:s srcPath:s destinationId:s destinationPath:s intervalSeconds:i"
             " settleSeconds:i include:S exclude:S mirrorDeletes:b enabled:b expiryTime:t?"
             " creationTime:t lastScanTime:t? filesSent:i filesWaiting:i errorMessage:s?" + OWNER
             + "userData:o",
    "BandwidthLimits": "incomingRateLimit:i? outgoingRateLimit:i? borrowIncomingRate:b"
                       " borrowOutgoingRate:b incomingRate:i outgoingRate:i",
    "Receiver": "ports:l relayIP:s? relayPort:i? onlyAuthorizedClientsAllowed:b",
    "ServerInformation": "serverName:s serverId:s serverUid:s version:s revision:s? apiVersion:i"
                         " hostName:s publicKey:s minCipher:i encryptionAvailable:b"
                         " multiplexAvailable:b authRequired:b allowRemoteControl:b"
                         " apiControlPort:i APITokensAvailable:b eventLogAvailable:b"
                         " serverExternalAddress:s? certificateValidation:i?"
                         " certificateFingerprint:s? bandwidthLimits:o receiver:o license:o configuration:o?",
    "Request": "requestId:s processing:b status:s errorMessage:s?",
    "Listing": "path:s isDirectory:b size:i modificationTime:t? entries:l",
    "File": "name:s isDirectory:b isSymlink:b size:i modificationTime:t? executable:b",
    "DiskUsage": "path:s totalSize:i totalFiles:i",
    "License": "name:s version:s license:s url:s",
    "Discovery": "reachable:b observedIP:s? observedPort:i? roundTripTimeMs:n?",
}

# Stable: name -> code.
ERRORS = {
    "InvalidParameter": -32602, "NotFound": -32001, "NotAuthenticated": -32002,
    "NotPermitted": -32003, "Conflict": -32004, "LimitReached": -32005, "Unavailable": -32006,
    "VersionMismatch": -32007, "Timeout": -32008, "Internal": -32009,
}

SUPERUSER = {
    "terminate", "getSandboxMappings", "setSandboxMapping", "deleteSandboxMapping",
    "addWranglerAsync", "deleteWrangler", "getWranglers", "updateBandwidthLimits",
    "garbageCollect", "updateGarbageCollectSettings",
} | {name for name in METHODS if name.startswith("recv.")}

ANYONE = {"getServerInfo", "echo", "auth", "authAsync", "authToken"}

# One value of each wrong type for a letter.
WRONG = {"s": 7, "b": "yes", "i": "7", "n": "7", "t": "now", "l": {}, "o": [], "S": [7]}


def parse(row):
    """[(name, letter, mark)] of a row; the mark is "", "!" or "?"."""
    parts = []
    for word in row.split():
        name, kind = word.split(":")
        parts.append((name, kind[0], kind[1:]))
    return parts


def fits(value, letter):
    kinds = {"s": str, "b": bool, "i": int, "n": (int, float), "t": int, "l": list, "o": dict,
             "S": list}
    if isinstance(value, bool) and letter != "b":
        return False
    if letter == "t" and not (isinstance(value, int) and 0 < value < 1 << 63):
        return False
    if letter == "S" and not all(isinstance(item, str) for item in value):
        return False
    return isinstance(value, kinds[letter])


def check(name, value):
    """Asserts that `value` has exactly the fields of a structure, each of its type."""
    fields = parse(STRUCTURES[name])
    assert isinstance(value, dict), (name, value)
    assert set(value) == {field for field, _, _ in fields}, \
        (name, set(value) ^ {field for field, _, _ in fields})
    for field, letter, mark in fields:
        if value[field] is None:
            assert mark == "?", "%s.%s is null" % (name, field)
        else:
            assert fits(value[field], letter), "%s.%s is %r" % (name, field, value[field])
