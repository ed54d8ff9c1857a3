/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket as a file: see control_socket.h. */
#include "broker/doors/control_socket.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/net/unix_address.h"

#define BACKLOG 16

/* 0: the name is free, or holds a socket that nobody answers on. */
static int
look_at(const char *path)
{
	struct sockaddr_un address;
	struct stat st;
	int fd, directory, r;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if ((r = unix_address(path, &address, &directory)) != 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		r = -errno;
	else if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN)
		r = -EADDRINUSE;
	else if (errno != ECONNREFUSED && errno != ENOENT)
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (directory >= 0)
		close(directory);
	return r;
}

/* Bind ${fd} to ${path}, which nobody else can open yet. */
static int
bind_at(int fd, const char *path)
{
	struct sockaddr_un address;
	int directory, r = unix_address(path, &address, &directory);
	mode_t mask;

	if (r)
		return r;
	mask = umask(0177);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
		r = -errno;
	umask(mask);
	if (directory >= 0)
		close(directory);
	return r;
}

/* The group gets what it may have before the socket appears under its name. */
static int
give_to_group(struct control_socket *sock, const char *path, const char *group)
{
	struct group entry, *found = NULL;
	struct stat st;
	char text[4096];

	if (group && getgrnam_r(group, &entry, text, sizeof(text), &found) == 0 && found)
		(void)!lchown(
		    path, (uid_t)-1, found->gr_gid); /* not ours to give: it stays with our own group */
	if (chmod(path, 0660) != 0 || lstat(path, &st) != 0)
		return -errno;
	sock->group = st.st_gid;
	sock->device = st.st_dev;
	sock->inode = st.st_ino;
	return 0;
}

int
control_socket_open(struct control_socket *sock, const char *path, const char *group)
{
	char *fresh = NULL;
	int r = look_at(path);

	*sock = (struct control_socket){ .fd = -1 };
	if (r)
		return r;
	if (asprintf(&fresh, "%s.new", path) < 0)
		return -ENOMEM;
	if (!(sock->path = strdup(path))) {
		r = -ENOMEM;
		goto out;
	}
	sock->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock->fd < 0) {
		r = -errno;
		goto out;
	}
	(void)unlink(fresh); /* left by one that died in between */
	if ((r = bind_at(sock->fd, fresh)) != 0)
		goto out;
	if ((r = give_to_group(sock, fresh, group)) == 0 && listen(sock->fd, BACKLOG) != 0)
		r = -errno;
	if (!r && rename(fresh, path) != 0)
		r = -errno;
	if (r)
		(void)unlink(fresh);
out:
	free(fresh);
	if (r) {
		sock->inode = 0;
		control_socket_close(sock);
	}
	return r;
}

void
control_socket_close(struct control_socket *sock)
{
	struct stat st;

	if (sock->fd >= 0)
		close(sock->fd);
	sock->fd = -1;
	if (sock->path && sock->inode && lstat(sock->path, &st) == 0 && st.st_dev == sock->device &&
	    st.st_ino == sock->inode)
		(void)unlink(sock->path);
	free(sock->path);
	sock->path = NULL;
}

/* Whether the one at the other end of ${fd} has the socket's group among its supplementary ones. */
static bool
in_group(const struct control_socket *sock, int fd)
{
	socklen_t len = 0;
	gid_t *groups;
	bool found = false;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE)
		return false;
	if (!(groups = malloc(len)))
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0)
		for (size_t i = 0; i < len / sizeof(*groups); i++)
			found |= groups[i] == sock->group;
	free(groups);
	return found;
}

bool
control_socket_caller(const struct control_socket *sock, int fd, struct control_caller *caller)
{
	struct ucred credentials;
	socklen_t len = sizeof(credentials);

	*caller = (struct control_caller){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) != 0)
		return false;
	caller->pid = credentials.pid;
	caller->uid = credentials.uid;
	caller->gid = credentials.gid;
	return caller->uid == 0 || caller->uid == geteuid() || caller->gid == sock->group ||
	       in_group(sock, fd);
}
