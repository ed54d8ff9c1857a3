/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The linker's --wrap gives us every sync of the product before disk.c: each place is known by its return address, named by
 * addr2line (binutils), and can be left out.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/crash/power.h"

#define SITES_MAX 100

int __real_disk_sync(int fd);
int __real_disk_sync_file(int fd);
int __real_disk_sync_directory(const char *path);
int __wrap_disk_sync(int fd);
int __wrap_disk_sync_file(int fd);
int __wrap_disk_sync_directory(const char *path);

static struct {
	pthread_mutex_t lock;
	void *addresses[SITES_MAX];
	size_t hits[SITES_MAX], count;
	struct site sites[SITES_MAX];
	bool skipped[SITES_MAX], late;
	int late_fd; /* a copy of the descriptor that waits for its sync */
} sites = { .lock = PTHREAD_MUTEX_INITIALIZER, .late_fd = -1 };

/* Count a sync; whether it is to be left out. */
static bool
hit(void *address)
{
	bool skip;
	size_t i;

	pthread_mutex_lock(&sites.lock);
	for (i = 0; i < sites.count && sites.addresses[i] != address; i++)
		continue;
	if (i == SITES_MAX)
		abort();
	if (i == sites.count)
		sites.addresses[sites.count++] = address;
	sites.hits[i]++;
	skip = sites.skipped[i];
	pthread_mutex_unlock(&sites.lock);
	return skip;
}

int
__wrap_disk_sync(int fd)
{
	bool skip = hit(__builtin_return_address(0));
	int before = -1, r = 0;

	pthread_mutex_lock(&sites.lock);
	if (sites.late) {
		skip = true;
		before = sites.late_fd;
		sites.late_fd = fd;
	}
	pthread_mutex_unlock(&sites.lock);
	if (before >= 0)
		r = __real_disk_sync(before);
	return skip ? r : __real_disk_sync(fd);
}

int
__wrap_disk_sync_file(int fd)
{
	return hit(__builtin_return_address(0)) ? 0 : __real_disk_sync_file(fd);
}

int
__wrap_disk_sync_directory(const char *path)
{
	return hit(__builtin_return_address(0)) ? 0 : __real_disk_sync_directory(path);
}

/* file:line of the call before ${address}. */
static void
name(void *address, char out[static 100])
{
	char command[400], line[400] = "";
	char *base;
	Dl_info info;
	FILE *pipe;

	if (!dladdr(address, &info))
		abort();
	snprintf(command, sizeof command, "addr2line -e /proc/%ld/exe 0x%zx", (long)getpid(),
	    (size_t)((char *)address - (char *)info.dli_fbase) - 1);
	pipe = popen(command, "r");
	if (!pipe || !fgets(line, sizeof line, pipe) || pclose(pipe) != 0) {
		fprintf(stderr, "addr2line does not work: %s\n", command);
		exit(2);
	}
	line[strcspn(line, " \n")] = 0;
	base = strstr(line, "broker/");
	snprintf(out, 100, "%.99s", base ? base : line);
}

const struct site *
sites_seen(size_t *count)
{
	size_t named = 0;

	for (size_t i = 0; i < sites.count; i++) {
		char called[100];
		size_t k;

		name(sites.addresses[i], called);
		for (k = 0; k < named && strcmp(sites.sites[k].name, called) != 0; k++)
			continue;
		if (k == named) {
			snprintf(sites.sites[named].name, sizeof called, "%s", called);
			sites.sites[named++].hits = 0;
		}
		sites.sites[k].hits += sites.hits[i];
	}
	*count = named;
	return sites.sites;
}

void
sites_skip(const char *wanted)
{
	for (size_t i = 0; i < sites.count; i++) {
		char called[100] = "";

		if (wanted)
			name(sites.addresses[i], called);
		sites.skipped[i] = wanted && strcmp(called, wanted) == 0;
	}
}

void
sites_late(bool late)
{
	sites.late = late;
	sites.late_fd = -1;
}
