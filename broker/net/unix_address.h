/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address of a Unix socket by its path, also of a path longer than sun_path holds.
 */
#pragma once

#include <sys/un.h>

/*
 * Fill ${address} for ${path}. A long path is reached through its directory: *${directoryp} is then a descriptor that must stay open until
 * connect or bind returned and be closed after; else -1. -errno (-ENAMETOOLONG: even the last name is too long).
 */
int unix_address(const char *path, struct sockaddr_un *address, int *directoryp)
    __attribute__((warn_unused_result));
