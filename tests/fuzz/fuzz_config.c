/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: any bytes either load or are told of in whole lines, each beginning with the file's name; what loads is complete, and
 * its names are found again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/base/config.h"

#define FILE_NAME "/proc/self/fd/"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 forgets the text it was reading when it meets an error of form: once per load, before anything listens. */
const char *
__lsan_default_suppressions(void)
{
	return "leak:libconfig.so\n";
}

static void
require(bool good)
{
	if (!good)
		abort();
}

static bool
is_plain(const struct config *c, const struct config_peer *peer)
{
	for (size_t i = 0; i < c->listener_count; i++)
		if (c->listeners[i].plain == peer)
			return true;
	return false;
}

static void
check_dial(const struct config_dial *dial)
{
	require(dial->host && dial->host[0] && dial->server_name && dial->port > 0);
	require(dial->window > 0 && dial->connect_ms > 0 && dial->acknowledge_ms > 0);
	require(dial->retry_first_ms > 0 && dial->retry_first_ms <= dial->retry_longest_ms);
}

static void
check_config(const struct config *c)
{
	require(c->state && c->socket && c->admin_address && c->tls.certificate && c->tls.key &&
		c->tls.authorities);
	require(c->listener_count > 0 && c->limits.stop_ms > 0 && c->journal.segment_size > 0);
	for (size_t i = 0; i < c->peer_count; i++) {
		const struct config_peer *peer = &c->peers[i];

		require(config_peer(c, peer->name) == peer);
		require(peer->establishment && peer->processing);
		require(peer->identity_count > 0 || is_plain(c, peer));
		require(c->tls.crls || c->tls.unchecked || peer->establishment->mode == MODE_TEST);
		for (size_t k = 0; k < peer->identity_count; k++)
			require(peer->identities[k].kind == IDENTITY_SPKI ||
				(peer->identities[k].issuer && peer->identities[k].subject));
	}
	for (size_t i = 0; i < c->destination_count; i++) {
		require(config_destination(c, c->destinations[i].name) == &c->destinations[i]);
		require(c->destinations[i].establishment != NULL);
		if (c->destinations[i].kind == DESTINATION_MLLP)
			check_dial(&c->destinations[i].dial);
		for (size_t k = 0; k < c->destinations[i].reader_count; k++)
			require(c->destinations[i].readers[k]->may_read);
	}
	for (size_t i = 0; i < c->route_count; i++) {
		require(c->routes[i].name && c->routes[i].to_count > 0);
		for (size_t k = 0; k < c->routes[i].to_count; k++)
			require(c->routes[i].to[k] != NULL);
	}
}

/* Beside itself nothing differs, and a broker can follow. */
static void
check_same(const struct config *c, struct buffer *errors)
{
	struct config_changes changes;

	config_warnings(c, errors);
	buffer_reset(errors);
	config_compare(c, c, &changes, errors);
	require(config_can_follow(c, c, errors) && errors->len == 0);
	require(changes.establishments + changes.peers + changes.listeners + changes.destinations +
		    changes.routes ==
		0);
}

/* Every line is whole, has a place, and holds no control character. */
static void
check_errors(struct span text)
{
	require(text.len > 0 && text.ptr[text.len - 1] == '\n');
	for (size_t i = 0; i < text.len; i++) {
		bool begins = i == 0 || text.ptr[i - 1] == '\n';

		require(text.ptr[i] == '\n' || text.ptr[i] >= 0x20);
		require(!begins || memcmp(text.ptr + i, FILE_NAME, strlen(FILE_NAME)) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[32] = FILE_NAME;
	struct config *config;
	struct buffer errors;
	int fd = memfd_create("liaison.conf", MFD_CLOEXEC), rc;

	require(fd >= 0 && fd < 10000 && write(fd, data, size) == (ssize_t)size);
	for (int unit = 1000, at = (int)strlen(path); unit; unit /= 10)
		if (fd >= unit || unit == 1)
			path[at++] = (char)('0' + fd / unit % 10);
	buffer_init(&errors, (size_t)64 << 20);
	rc = config_load(path, &config, &errors);
	require((config != NULL) == (rc == 0));
	if (rc == 0) {
		check_config(config);
		check_same(config, &errors);
	}
	if (rc)
		check_errors(buffer_span(&errors));
	config_release(config);
	buffer_fini(&errors);
	(void)close(fd);
	return 0;
}
