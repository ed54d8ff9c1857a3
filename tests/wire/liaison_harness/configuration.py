# SPDX-License-Identifier: Apache-2.0
"""Configurations of the broker, written as liaison.conf from what a scenario wants."""


def text(value, depth=0):
    """A value in libconfig's notation: lists of groups in ( ), lists of plain values in [ ]."""
    pad = "\t" * (depth + 1)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        return "{\n" + "".join(f"{pad}{key} = {text(one, depth + 1)};\n" for key, one in value.items()) + "\t" * depth + "}"
    if any(isinstance(one, dict) for one in value):
        return "(\n" + ",\n".join(pad + text(one, depth + 1) for one in value) + "\n" + "\t" * depth + ")"
    return "[ " + ", ".join(text(one) for one in value) + " ]"


class Configuration:
    """Settings of one broker; every value can be changed before the start.

    There is one test-mode establishment, `chu-test`, and one of production mode, `chu-live`; peers are added by peer().
    """

    def __init__(self):
        self.top = {}
        self.journal = {"segment_size": "4M", "disk_floor": "16M", "reserve": "1M"}
        self.limits = {"workers": 2}
        self.establishments = [{"name": "chu-test", "mode": "test"}, {"name": "chu-live", "mode": "production"}]
        self.peers = []
        self.listeners = [{"name": "mllp", "protocol": "mllp", "address": "127.0.0.1", "port": 0, "max_connections": 1000},
                          {"name": "pull", "protocol": "https", "address": "127.0.0.1", "port": 0}]
        self.inboxes = []
        self.destinations = []
        self.routes = []
        self.tls = {}

    def peer(self, name, identity, may=("send",), establishment="chu-test", **settings):
        self.peers.append({
            "name": name, "establishment": establishment,
            "certificates": [{"issuer": identity.issuer, "subject": identity.subject}],
            "may": list(may), **settings})

    def inbox(self, name, readers, establishment="chu-test", **settings):
        self.inboxes.append({"name": name, "establishment": establishment, "readers": list(readers), **settings})

    def destination(self, name, port, establishment="chu-test", **settings):
        self.destinations.append({"name": name, "protocol": "mllp", "establishment": establishment,
                                  "address": f"localhost:{port}", **settings})

    def route(self, name, to, go_on=None, **when):
        row = {"name": name, "when": when, "to": list(to)}
        if go_on is not None:
            row["go_on"] = go_on
        self.routes.append(row)

    def render(self, folder, tls, admin_port=0):
        """The text of liaison.conf for a broker that lives in ``folder``; port 0: the system chooses."""
        tls = {**tls, **self.tls}
        if "crls" not in tls:  # of the two establishments one is in production
            tls.setdefault("revocation", "unchecked")
        settings = {
            "state": str(folder / "state"), **self.top,
            "control": {"socket": str(folder / "control.sock"), "group": ""},
            "log": {"file": str(folder / "liaison.log")},
            "admin": {"port": admin_port},
            "tls": tls, "journal": self.journal, "limits": self.limits,
            "establishments": self.establishments, "peers": self.peers, "listeners": self.listeners,
        }
        if self.inboxes:
            settings["inboxes"] = self.inboxes
        if self.destinations:
            settings["destinations"] = self.destinations
        if self.routes:
            settings["routes"] = self.routes
        return "".join(f"{key} = {text(value)};\n" for key, value in settings.items())
