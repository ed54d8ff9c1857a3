/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a configuration: find the files, parse them, read the parts.
 *
 * libconfig 1.5 takes a number past 32 bits for another one, follows @include and ends a text at a NUL, all without a word: a scan before
 * it refuses these. It also ends the process when it has no memory; files are therefore small (FILE_MAX) and read before anything listens.
 */
#include "broker/base/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/base/conf_parts.h"
#include "codecs/arena.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define FILE_MAX_SIZE ((size_t)16 << 20) /* 10,000 peers fit */
#define FILES_MAX     1000
#define MEMORY_MAX    ((size_t)256 << 20) /* of what is made of them */
#define DIGITS_MAX    9			  /* of a bare number: nothing counted here is larger */

struct config_loaded {
	struct config config;
	struct arena arena;
	size_t holds;
};

static const char *const top_names[] = { "state", "control", "log", "admin", "unrouted", "tls", "journal",
	"limits", "establishments", "peers", "listeners", "inboxes", "destinations", "routes" };

/* ${*text} is moved behind the comment or quoted text that begins there; false when none does. */
static bool
skip_aside(const char **text, unsigned *line)
{
	const char *at = *text;

	if (*at == '"') {
		for (at++; *at && *at != '"'; at++) {
			*line += *at == '\n';
			if (*at == '\\' && at[1])
				at++;
		}
		at += *at == '"';
	} else if (*at == '#' || (*at == '/' && at[1] == '/')) {
		at += strcspn(at, "\n");
	} else if (*at == '/' && at[1] == '*') {
		for (at += 2; *at && !(*at == '*' && at[1] == '/'); at++)
			*line += *at == '\n';
		at += *at ? 2 : 0;
	} else {
		return false;
	}
	*text = at;
	return true;
}

static bool
in_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       c == '-';
}

/* Tell what libconfig would take without a word and otherwise than it was meant; false when there is any. */
static bool
scan(struct conf_reader *r, const char *path, const char *text)
{
	unsigned line = 1;
	bool good = true;

	while (*text) {
		size_t word = 0;

		if (skip_aside(&text, &line))
			continue;
		while (in_word(text[word]))
			word++;
		if (text[0] >= '0' && text[0] <= '9' && word > DIGITS_MAX) {
			buffer_printf(r->errors,
			    "%s:%u: the number %.*s has more than %d digits; sizes are written as \"64M\"\n",
			    path, line, (int)(word > 40 ? 40 : word), text, DIGITS_MAX);
			good = false;
		} else if (text[0] == '@') {
			buffer_printf(r->errors, "%s:%u: @include is not taken; put the file into conf.d/\n",
			    path, line);
			good = false;
		}
		line += *text == '\n';
		text += word ? word : 1;
	}
	r->invalid |= !good;
	return good;
}

/* The whole file with a NUL behind. 0, -errno; -EFBIG when it is too large, -EILSEQ when it holds a NUL. */
static int
slurp(const char *path, struct buffer *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), error = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		uint8_t *to = buffer_reserve(text, 1 << 16);
		ssize_t n;

		if (!to) {
			error = text->len + (1 << 16) > text->ceiling ? -EFBIG : -ENOMEM;
			break;
		}
		n = read(fd, to, 1 << 16);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			error = n < 0 ? -errno : 0;
			break;
		}
		buffer_commit(text, (size_t)n);
	}
	(void)close(fd);
	if (error == 0 && text->len && memchr(text->data, '\0', text->len))
		error = -EILSEQ;
	buffer_append_byte(text, 0);
	if (error == 0 && buffer_failed(text))
		error = -ENOMEM;
	return error;
}

static const char *
file_error(int error)
{
	switch (error) {
	case -EFBIG:
		return "is larger than 16 MiB";
	case -EILSEQ:
		return "holds a NUL byte";
	default:
		return strerror(-error);
	}
}

/* Parse one file into its place in ${r}. Errors of form are told; -errno when the file cannot be had. */
static int
read_file(struct conf_reader *r, struct conf_file *file)
{
	struct buffer text;
	int error;

	buffer_init(&text, FILE_MAX_SIZE);
	error = slurp(file->path, &text);
	if (error) {
		buffer_printf(r->errors, "%s: cannot be read: %s\n", file->path, file_error(error));
		goto out;
	}
	if (scan(r, file->path, (const char *)text.data) &&
	    !config_read_string(&file->config, (const char *)text.data)) {
		buffer_printf(r->errors,
		    "%s:%d: %s; meant is name = value; with groups { }, lists ( ) and arrays [ ]\n",
		    file->path, config_error_line(&file->config), config_error_text(&file->config));
		r->invalid = true;
	}
out:
	buffer_fini(&text);
	return error;
}

static int
is_conf(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 5 && entry->d_name[0] != '.' && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

/* "${directory}/${name}" in the arena, or NULL. */
static char *
join(struct conf_reader *r, const char *directory, const char *name)
{
	size_t size = strlen(directory) + strlen(name) + 2;
	char *path = conf_alloc(r, 1, size);

	if (path)
		(void)snprintf(path, size, "%s/%s", directory, name);
	return path;
}

static const char *
directory_of(struct conf_reader *r, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *directory;

	if (!slash)
		return ".";
	directory = arena_str(r->arena, span_make(path, slash == path ? 1 : (size_t)(slash - path)));
	if (!directory)
		r->error = -ENOMEM;
	return directory;
}

/* List ${path} and what lies in conf.d/ beside it, by name. */
static int
list_files(struct conf_reader *r, const char *path)
{
	const char *directory = directory_of(r, path);
	char *beside = directory ? join(r, directory, "conf.d") : NULL;
	struct dirent **entries = NULL;
	int count;

	if (!beside)
		return -ENOMEM;
	count = scandir(beside, &entries, is_conf, alphasort);
	if (count < 0 && errno != ENOENT && errno != ENOTDIR) {
		int error = -errno;

		buffer_printf(r->errors, "%s: cannot be read: %s\n", beside, strerror(errno));
		return error;
	}
	if (count < 0 || count > FILES_MAX) {
		if (count > FILES_MAX) {
			buffer_printf(r->errors, "%s: holds more than %d files\n", beside, FILES_MAX);
			r->invalid = true;
		}
		while (count > 0)
			free(entries[--count]);
		free(entries);
		entries = NULL;
		count = 0;
	}
	r->files = conf_alloc(r, (size_t)count + 1, sizeof(*r->files));
	for (int i = 0; i <= count && r->files; i++) {
		r->files[i].directory = i == 0 ? directory : beside;
		r->files[i].path = i == 0 ? conf_copy(r, path) : join(r, beside, entries[i - 1]->d_name);
		config_init(&r->files[i].config);
		r->file_count++;
	}
	for (int i = 0; i < count; i++)
		free(entries[i]);
	free(entries);
	return r->error;
}

static void
read_parts(struct conf_reader *r, struct config *c)
{
	conf_check_top(r, top_names, COUNT(top_names));
	conf_read_plain(r, c);
	conf_read_establishments(r, c);
	conf_check_revocation(r, c);
	conf_read_peers(r, c);
	conf_read_listeners(r, c);
	conf_read_destinations(r, c);
	conf_read_routes(r, c);
}

/* Whether the control socket stands before what could not be parsed. */
static bool
names_socket(struct conf_reader *r)
{
	const config_setting_t *control = conf_first(r, "control");

	return control && conf_member(control, "socket");
}

static int
load(struct conf_reader *r, const char *path, struct config *c,
    void (*parts)(struct conf_reader *r, struct config *c))
{
	int error = list_files(r, path);

	for (size_t i = 0; i < r->file_count && error == 0; i++)
		error = read_file(r, &r->files[i]);
	/* of a file that could not be parsed every reference would be missing: nothing more is told then */
	if (error == 0 && (!r->invalid || (parts == conf_read_control && names_socket(r)))) {
		r->invalid = false;
		parts(r, c);
	}
	for (size_t i = 0; i < r->file_count; i++)
		config_destroy(&r->files[i].config);
	if (error == 0)
		error = r->error;
	if (error == 0 && r->invalid)
		error = CONFIG_INVALID;
	return error;
}

static int
load_parts(const char *path, struct config **configp, struct buffer *errors,
    void (*parts)(struct conf_reader *r, struct config *c))
{
	struct config_loaded *loaded = calloc(1, sizeof(*loaded));
	struct conf_reader reader = { .errors = errors };
	int error;

	*configp = NULL;
	if (!loaded)
		return -ENOMEM;
	arena_init(&loaded->arena, MEMORY_MAX);
	loaded->holds = 1;
	loaded->config.loaded = loaded;
	reader.arena = &loaded->arena;
	error = load(&reader, path, &loaded->config, parts);
	if (error) {
		config_release(&loaded->config);
		return error;
	}
	*configp = &loaded->config;
	return 0;
}

int
config_load(const char *path, struct config **configp, struct buffer *errors)
{
	return load_parts(path, configp, errors, read_parts);
}

int
config_load_control(const char *path, struct config **configp, struct buffer *errors)
{
	return load_parts(path, configp, errors, conf_read_control);
}

const struct config *
config_hold(const struct config *config)
{
	if (config->loaded)
		config->loaded->holds++;
	return config;
}

void
config_release(const struct config *config)
{
	struct config_loaded *loaded = config ? config->loaded : NULL;

	if (!loaded || --loaded->holds > 0)
		return;
	arena_fini(&loaded->arena);
	free(loaded);
}

const struct config_peer *
config_peer(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->peer_count; i++)
		if (strcmp(config->peers[i].name, name) == 0)
			return &config->peers[i];
	return NULL;
}

const struct config_destination *
config_destination(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->destination_count; i++)
		if (strcmp(config->destinations[i].name, name) == 0)
			return &config->destinations[i];
	return NULL;
}
