"""Sends HL7 messages with the client of python-hl7: one message a line, as JSON text; what was answered comes back so."""

import json
import sys

from hl7.client import MLLPClient

host, port = sys.argv[1], int(sys.argv[2])
with MLLPClient(host, port) as client:
    for line in sys.stdin:
        answer = client.send_message(json.loads(line))
        print(json.dumps(answer.decode("utf-8")), flush=True)
