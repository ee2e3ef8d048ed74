"""The side of a peer: a process of its own that stays, reads tasks as JSON from standard input, one a line, and answers each
with one line. Its libraries may print what they like: that goes to standard error."""
import json
import os
import random
import sys

DECODED = 32  # tokens whose mean is one measurement of decoding


class Gap(Exception):
    """Why a peer has no number."""


def random_ids(vocabulary, count):
    """Speed does not depend on them."""
    generator = random.Random(1)
    return [generator.randrange(vocabulary) for _ in range(count)]


def serve(make_peer):
    """make_peer(model, threads) gives an object with `version` and `measure(task)`, which returns seconds: of a prompt of
    task["tokens"], of one token behind task["tokens"] others (the mean of DECODED), or of one call of attention."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "model" in request:
                peer = make_peer(request["model"], request["threads"])
                answer = {"version": peer.version}
            else:
                answer = {"seconds": peer.measure(request)}
        except Gap as gap:
            answer = {"gap": str(gap)}
        except Exception as error:  # a peer that fails is a gap in the table, not the end of the run
            text = " ".join(str(error).split())
            answer = {"gap": f"{type(error).__name__}: {text[:200]}"}
        print(json.dumps(answer), file=answers, flush=True)
