# SPDX-License-Identifier: Apache-2.0
"""How a run ends that keeps count of broken promises."""


def tell(found):
    """Print what was found wrong with a run; the exit status that it deserves."""
    for one in found:
        print(one)
    print(f"{len(found)} broken promises")
    return 1 if found else 0
