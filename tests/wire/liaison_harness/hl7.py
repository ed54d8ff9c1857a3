# SPDX-License-Identifier: Apache-2.0
"""Messages to send. Everything in them is invented."""
import itertools

_numbers = itertools.count(1)


def control_id():
    return f"T{next(_numbers)}"


def message(control=None, *, kind="ADT^A01^ADT_A01", version="2.5", processing="T", application="GAM", facility="CHU", end="\r",
            final=True, accept="", answer="", body="PID|1||4711^^^CHU||LILAS^ROSE", filler=0):
    """A small message; ``filler`` adds an NTE of so many bytes."""
    rows = [f"MSH|^~\\&|{application}|{facility}|LIAISON|PFI|20261121120000+0100||{kind}|{control or control_id()}|{processing}"
            f"|{version}|||{accept}|{answer}", body]
    if filler:
        rows.append("NTE|1||" + "x" * filler)
    return (end.join(rows) + (end if final else "")).encode()
