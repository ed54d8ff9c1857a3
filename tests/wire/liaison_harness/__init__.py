# SPDX-License-Identifier: Apache-2.0
"""What wire scenarios stand on: an authority, configurations, a running broker, and clients that share no code with it."""
import os
import pathlib

SOURCE = pathlib.Path(__file__).resolve().parents[3]
SAMPLES = SOURCE.parent / "shared" / "samples"
BUILD = pathlib.Path(os.environ.get("LIAISON_BUILD", SOURCE / "build")).resolve()
LIAISOND = BUILD / "broker" / "liaisond"
LIAISON = BUILD / "broker" / "liaison"
