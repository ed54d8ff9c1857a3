/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that appears under its name only when it is whole and on disk: written beside, synced, renamed, its directory synced.
 */
#pragma once

#include <stdint.h>

#include "codecs/digest.h"
#include "codecs/span.h"

struct pull_file {
	int directory, fd;
	char name[64];	     /* at last */
	char beside[64 + 8]; /* until then */
	struct sha256 sha256;
};

/* Begin the file ${name} (at most 63 bytes) in ${directory}. 0 or -errno. */
int pull_file_begin(struct pull_file *file, const char *directory, const char *name)
    __attribute__((warn_unused_result));

/* A pull_http_sink: 0, or CLI_COULD_NOT after complaining. */
int pull_file_write(void *file, struct span bytes);

/* The SHA-256 of what was written; nothing may be written after. 0 or -errno. */
int pull_file_digest(struct pull_file *file, uint8_t digest[DIGEST_SHA256_LEN])
    __attribute__((warn_unused_result));

/* Either ends ${file}: it is there and on disk (0 or -errno), or it never was. */
int pull_file_keep(struct pull_file *file) __attribute__((warn_unused_result));
void pull_file_drop(struct pull_file *file);
