/* SPDX-License-Identifier: Apache-2.0 */
/* A file that appears whole or not at all: see pull_file.h. */
#include "broker/cli/pull_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/cli/cli.h"

int
pull_file_begin(struct pull_file *file, const char *directory, const char *name)
{
	int r;

	*file = (struct pull_file){ .directory = -1, .fd = -1 };
	if ((size_t)snprintf(file->name, sizeof(file->name), "%s", name) >= sizeof(file->name))
		return -ENAMETOOLONG;
	snprintf(file->beside, sizeof(file->beside), ".%s.new", file->name);
	if ((r = sha256_init(&file->sha256)) != 0)
		goto fail;
	sha256_reset(&file->sha256);
	file->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file->directory >= 0)
		file->fd = openat(file->directory, file->beside,
		    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file->fd >= 0)
		return 0;
	r = -errno;
fail:
	pull_file_drop(file);
	return r;
}

int
pull_file_write(void *arg, struct span bytes)
{
	struct pull_file *file = arg;

	sha256_update(&file->sha256, bytes);
	while (bytes.len) {
		ssize_t n = write(file->fd, bytes.ptr, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fprintf(stderr, "liaison pull: %s: %s\n", file->name, strerror(errno));
			return CLI_COULD_NOT;
		}
		bytes = span_cut(bytes, (size_t)n, bytes.len);
	}
	return 0;
}

int
pull_file_digest(struct pull_file *file, uint8_t digest[DIGEST_SHA256_LEN])
{
	return sha256_final(&file->sha256, digest);
}

static void
let_go(struct pull_file *file)
{
	sha256_fini(&file->sha256);
	if (file->fd >= 0)
		close(file->fd);
	if (file->directory >= 0)
		close(file->directory);
	file->fd = file->directory = -1;
}

int
pull_file_keep(struct pull_file *file)
{
	int r = 0;

	if (fsync(file->fd) != 0 ||
	    renameat(file->directory, file->beside, file->directory, file->name) != 0 ||
	    fsync(file->directory) != 0)
		r = -errno;
	if (r)
		(void)unlinkat(file->directory, file->beside, 0);
	let_go(file);
	return r;
}

void
pull_file_drop(struct pull_file *file)
{
	if (file->fd >= 0)
		(void)unlinkat(file->directory, file->beside, 0);
	let_go(file);
}
