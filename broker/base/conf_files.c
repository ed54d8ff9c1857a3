/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only the disk can tell of a configuration: keys that others could read, files that are not there, directories that cannot be used.
 *
 * Nothing is created, and no key is parsed: what a certificate says is the business of the layer that uses it.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/config.h"

/* An error about ${what}, which is ${path}; there is no line: the file itself is at fault. */
static bool
tell(struct buffer *errors, const char *path, const char *what, const char *why)
{
	buffer_printf(errors, "%s: %s: %s\n", path, what, why);
	return false;
}

static bool
check_readable(const char *path, const char *what, struct buffer *errors)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return tell(errors, path, what, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return tell(errors, path, what, "is no plain file");
	if (st.st_size == 0)
		return tell(errors, path, what, "is empty");
	if (access(path, R_OK) != 0)
		return tell(errors, path, what, strerror(errno));
	return true;
}

/* A key is its owner's alone, and the owner is us or root. */
static bool
check_key(const char *path, const char *what, struct buffer *errors)
{
	struct stat st;
	bool good = check_readable(path, what, errors);

	if (stat(path, &st) != 0)
		return false;
	if (st.st_mode & 077)
		good = tell(
		    errors, path, what, "others than its owner may read it; meant is mode 0600 (chmod 600)");
	if (st.st_uid != geteuid() && st.st_uid != 0)
		good = tell(
		    errors, path, what, "belongs to somebody else; meant is the user of the broker, or root");
	return good;
}

/* The directory that ${path} lies in. */
static void
parent_of(const char *path, char *out, size_t size)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (!slash)
		(void)snprintf(out, size, ".");
	else
		(void)snprintf(out, size, "%.*s", len ? (int)len : 1, path);
}

static bool
check_directory(const char *path, const char *what, struct buffer *errors)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return tell(errors, path, what, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return tell(errors, path, what, "is no directory");
	if (access(path, W_OK | X_OK) != 0)
		return tell(errors, path, what,
		    errno == EROFS ? "lies on a file system that is mounted read-only"
				   : "cannot be written by the user of the broker");
	return true;
}

/* The state directory may be absent when the broker can make it. */
static bool
check_state(const char *path, struct buffer *errors)
{
	char parent[4096];
	struct stat st;

	if (stat(path, &st) != 0 && errno == ENOENT) {
		parent_of(path, parent, sizeof(parent));
		return check_directory(parent, "state: the directory it would be made in", errors);
	}
	if (!check_directory(path, "state", errors))
		return false;
	if (stat(path, &st) == 0 && (st.st_mode & 022))
		return tell(errors, path, "state", "others may write in it; meant is mode 0700 (chmod 700)");
	return true;
}

static bool
check_in_directory(const char *path, const char *what, struct buffer *errors)
{
	char parent[4096];

	parent_of(path, parent, sizeof(parent));
	return check_directory(parent, what, errors);
}

int
config_check_files(const struct config *config, struct buffer *errors)
{
	bool good = true;

	good &= check_readable(config->tls.certificate, "tls.certificate", errors);
	good &= check_readable(config->tls.authorities, "tls.authorities", errors);
	if (config->tls.crls)
		good &= check_readable(config->tls.crls, "tls.crls", errors);
	good &= check_key(config->tls.key, "tls.key", errors);
	if (config->journal.seal_certificate)
		good &= check_readable(config->journal.seal_certificate, "journal.seal_certificate", errors);
	if (config->journal.seal_key)
		good &= check_key(config->journal.seal_key, "journal.seal_key", errors);
	good &= check_state(config->state, errors);
	good &= check_in_directory(config->socket, "control.socket: its directory", errors);
	if (config->log_file)
		good &= check_in_directory(config->log_file, "log.file: its directory", errors);
	if (config->socket_group && !getgrnam(config->socket_group)) {
		buffer_printf(errors,
		    "control.group: there is no group \"%s\"; group = \"\" keeps the broker's own\n",
		    config->socket_group);
		good = false;
	}
	return good ? 0 : CONFIG_INVALID;
}
