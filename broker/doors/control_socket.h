/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket as a file: made, owned, recognised, removed. And who is at the other end of it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct control_socket {
	int fd; /* listening, non-blocking; -1: none */
	char *path;
	dev_t device;
	ino_t inode; /* so that only our own is removed */
	gid_t group;
};

/*
 * Listen at ${path}, mode 0660, group ${group} where there is such a group and we may give it, else our own. It appears at its name
 * only when all that is set. 0; -EADDRINUSE: somebody answers there; -EEXIST: something that is no socket; -errno.
 */
int control_socket_open(struct control_socket *sock, const char *path, const char *group)
    __attribute__((warn_unused_result));
void control_socket_close(struct control_socket *sock);

struct control_caller {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/* Who connected ${fd}, and whether that is root, our own user, or in the group of the socket. */
bool control_socket_caller(const struct control_socket *sock, int fd, struct control_caller *caller);
