/* SPDX-License-Identifier: Apache-2.0 */
/* See trace_harm.h. */
#include "tests/unit/trace_harm.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static uint64_t
any(uint64_t *state, uint64_t below)
{
	return rig_random(state) % below;
}

/* Any file of the trace: its path, or false when there is none. */
static bool
some_file(struct rig *rig, uint64_t *state, char path[static 512])
{
	char directory[128], names[200][64];
	struct dirent *entry;
	size_t count = 0;
	DIR *dir;

	snprintf(directory, sizeof(directory), "%s/views", rig->directory);
	dir = opendir(directory);
	if (!dir)
		return false;
	while ((entry = readdir(dir)) != NULL && count < 200)
		if (strstr(entry->d_name, ".trace") && !strstr(entry->d_name, ".tmp"))
			snprintf(names[count++], sizeof(names[0]), "%.60s", entry->d_name);
	closedir(dir);
	if (count)
		snprintf(path, 512, "%s/%s", directory, names[any(state, count)]);
	return count > 0;
}

void
trace_harm(struct rig *rig, uint64_t *state)
{
	char path[512], other[512];
	uint8_t *bytes;
	size_t len;

	if (!some_file(rig, state, path) || !some_file(rig, state, other) ||
	    !(bytes = rig_load(path, &len)) || !len)
		return;
	switch (any(state, 4)) {
	case 0:
		assert_true(truncate(path, (off_t)any(state, len)) == 0 || errno == ENOENT);
		break;
	case 1:
		bytes[any(state, len)] ^= (uint8_t)(1u << any(state, 8));
		rig_save(path, bytes, len);
		break;
	case 2:
		(void)unlink(path);
		break;
	default:
		free(bytes);
		if ((bytes = rig_load(other, &len)) != NULL)
			rig_save(path, bytes, len);
		break;
	}
	free(bytes);
}
