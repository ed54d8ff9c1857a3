/* SPDX-License-Identifier: Apache-2.0 */
/* Unix socket addresses of long paths: see unix_address.h. */
#include "broker/net/unix_address.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int
unix_address(const char *path, struct sockaddr_un *address, int *directoryp)
{
	const char *slash = strrchr(path, '/');
	char *parent;
	size_t room = sizeof(address->sun_path);

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*directoryp = -1;
	if ((size_t)snprintf(address->sun_path, room, "%s", path) < room)
		return 0;
	if (!slash)
		return -ENAMETOOLONG;
	parent = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (!parent)
		return -ENOMEM;
	*directoryp = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(parent);
	if (*directoryp < 0)
		return -errno;
	if ((size_t)snprintf(address->sun_path, room, "/proc/self/fd/%d%s", *directoryp, slash) >= room) {
		close(*directoryp);
		*directoryp = -1;
		return -ENAMETOOLONG;
	}
	return 0;
}
