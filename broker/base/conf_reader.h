/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading settings with every error collected: the inside of config_load, used by no other layer.
 *
 * Nothing here stops at an error: it is told with its file and line, the value keeps its default, and reading goes on. Whether any was
 * told stands in ${invalid}; a failed allocation stands in ${error} and makes later work harmless.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libconfig.h>

#include "codecs/arena.h"
#include "codecs/buffer.h"

struct conf_file {
	const char *path;
	const char *directory; /* relative paths in it begin here */
	config_t config;
};

struct conf_reader {
	struct arena *arena;
	struct buffer *errors;
	struct conf_file *files; /* the main file first */
	size_t file_count;
	bool invalid;
	int error; /* 0 or -ENOMEM */
};

enum conf_kind {
	CONF_TEXT,	   /* const char *: a non-empty text */
	CONF_NAME,	   /* const char *: a short name */
	CONF_PATH,	   /* const char *: relative ones begin at the directory of their file */
	CONF_ADDRESS,	   /* const char *: IPv4 or IPv6 in digits */
	CONF_HOST,	   /* const char *: a host's name, or its address in digits */
	CONF_NUMBER,	   /* unsigned */
	CONF_PORT,	   /* uint16_t; 0 lets the system choose */
	CONF_SIZE,	   /* uint64_t: bytes */
	CONF_SECONDS,	   /* uint64_t */
	CONF_MILLISECONDS, /* uint64_t */
	CONF_PERCENT,	   /* unsigned */
	CONF_BOOL,	   /* bool */
	CONF_WORD,	   /* an enum: the place of the word in ${words} */
	CONF_OTHER,	   /* read elsewhere */
};

/* One setting of a group and where its value goes. */
struct conf_key {
	const char *name;
	enum conf_kind kind;
	size_t offset;
	const char *fallback; /* as it would be written; NULL: the field is left as it is */
	bool required;
	bool never;	/* the text "never" (or, for CONF_TEXT, an empty one) is taken too: 0, NULL */
	uint64_t least; /* of numbers, in the field's unit; 0, 0: no bound */
	uint64_t most;
	const char *const *words; /* of CONF_WORD, ended by NULL */
};

/* Tell an error at ${setting} (NULL: at the main file): "file:line: ..." */
void conf_error(struct conf_reader *r, const config_setting_t *setting, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "file:line" of ${setting}, in the arena; never NULL. */
const char *conf_place(struct conf_reader *r, const config_setting_t *setting);

/* Cleared memory from the arena, or NULL with ${error} set. ${count} 0 gives a valid pointer. */
void *conf_alloc(struct conf_reader *r, size_t count, size_t size);

/* A copy in the arena, or NULL with ${error} set. */
const char *conf_copy(struct conf_reader *r, const char *text);

/*
 * Fill ${base} from the group ${setting} (NULL: absent) by its ${keys}; unknown keys are errors. ${what} says in errors whose setting it
 * is ("limits", "peer chu-lyon").
 */
void conf_group(struct conf_reader *r, const config_setting_t *setting, const char *what,
    const struct conf_key *keys, size_t count, void *base);

/* One of these: ${setting} (NULL: absent, which is told at ${group}) into its field of ${base}. */
void conf_value(struct conf_reader *r, const config_setting_t *group, const config_setting_t *setting,
    const char *what, const struct conf_key *key, void *base);

/* The setting ${name} at the top of any file, or NULL; two are an error. */
config_setting_t *conf_top(struct conf_reader *r, const char *name);

/* The first of them, without a word about a second. */
config_setting_t *conf_first(struct conf_reader *r, const char *name);

/* Tell every setting at the top of a file that is not in ${names}. */
void conf_check_top(struct conf_reader *r, const char *const *names, size_t count);

/* The lists ${name} of all files, joined: the settings in ${items} (arena). */
size_t conf_joined(struct conf_reader *r, const char *name, config_setting_t ***items);

/* The member ${name} of the group ${setting}, or NULL. */
config_setting_t *conf_member(const config_setting_t *setting, const char *name);

/*
 * The texts of the list or array ${name} in the group ${setting}; NULL when it is absent. Elements that are no texts are errors and come as
 * NULL; conf_element gives the settings, for errors.
 */
const char *const *conf_texts(struct conf_reader *r, const config_setting_t *setting, const char *what,
    const char *name, size_t *count);

/* The ${i}th element of that list. */
const config_setting_t *conf_element(const config_setting_t *setting, const char *name, size_t i);

/* "; did you mean X?" for the nearest of ${words}, or "". In the arena. */
const char *conf_hint(struct conf_reader *r, const char *text, const char *const *words, size_t count);

/* See config.h: a digest of ${setting} as it was read. conf_changes.c */
uint64_t conf_fingerprint(const config_setting_t *setting);
