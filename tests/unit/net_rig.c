/* SPDX-License-Identifier: Apache-2.0 */
/* A listener on a thread and a client without scruples: see the header. */
#include "net_rig.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include "broker/base/log.h"

#define MUST(what)                                                                                           \
	do {                                                                                                 \
		if (!(what)) {                                                                               \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                           \
			ERR_print_errors_fp(stderr);                                                         \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

static const char *
path(const struct rig *rig, const char *name)
{
	static char room[4][128];
	static unsigned next;
	char *to = room[next++ % 4];

	snprintf(to, sizeof(room[0]), "%s/%s", rig->dir, name);
	return to;
}

void
rig_init(struct rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	strcpy(rig->dir, "/tmp/liaison-net-XXXXXX");
	MUST(mkdtemp(rig->dir));
	certificate_make(
	    &rig->root, &(struct certificate_options){ .name = "Test root", .authority = 1 }, NULL);
	certificate_make(&rig->server,
	    &(struct certificate_options){ .name = "broker", .san = "IP:127.0.0.1", .usage = "serverAuth" },
	    &rig->root);
	certificate_make(&rig->client,
	    &(struct certificate_options){ .name = "client", .usage = "clientAuth" }, &rig->root);
	certificate_write(&rig->root, path(rig, "ca.pem"));
	certificate_write(&rig->server, path(rig, "server.pem"));
	certificate_write_key(&rig->server, path(rig, "server.key"), 0600);

	rig->identity = (struct config_identity){ IDENTITY_SUBJECT, "CN=Test root", "CN=client", { 0 } };
	rig->peer = (struct config_peer){
		.name = "chu-test",
		.identities = &rig->identity,
		.identity_count = 1,
		.max_connections = 2000,
	};
	rig->listener_config = (struct config_listener){
		.name = "mllp-test",
		.address = "127.0.0.1",
		.max_connections = 2000,
	};
	rig->config.peers = &rig->peer;
	rig->config.peer_count = 1;
	rig->config.limits = (struct config_limits){
		.connections = 2000,
		.output_buffer = 256 * 1024,
		.handshake_ms = 5000,
		.idle_ms = 60000,
		.answer_ms = 5000,
	};
}

static void *
turn(void *arg)
{
	struct rig *rig = arg;

	MUST(loop_run(rig->loop) == 0);
	return NULL;
}

void
rig_start(struct rig *rig, const struct link_handler *handler, void *door)
{
	struct config_tls tls = { path(rig, "server.pem"), path(rig, "server.key"), path(rig, "ca.pem") };
	struct listener_options options = {
		.config = &rig->config,
		.listener = &rig->listener_config,
		.handler = handler,
		.door = door,
	};
	struct buffer errors;

	buffer_init(&errors, 4096);
	MUST(log_open(path(rig, "log"), LEVEL_DEBUG) == 0);
	MUST(loop_new(&rig->loop) == 0);
	MUST(tls_server_new(&rig->tls, &tls, &errors) == 0);
	MUST(peers_new(&rig->peers, &rig->config) == 0);
	options.loop = rig->loop;
	options.tls = rig->tls;
	options.peers = rig->peers;
	MUST(listener_new(&rig->listener, &options) == 0);
	listener_tell(rig->listener, options.listener);
	MUST(pthread_create(&rig->thread, NULL, turn, rig) == 0);
	buffer_fini(&errors);
}

static char *
slurp(const char *file)
{
	FILE *stream = fopen(file, "r");
	size_t len = 0;
	char *text = NULL;

	MUST(stream);
	if (getdelim(&text, &len, '\0', stream) < 0 && text)
		text[0] = '\0';
	MUST(text);
	fclose(stream);
	return text;
}

void
rig_stop(struct rig *rig)
{
	loop_stop(rig->loop);
	MUST(pthread_join(rig->thread, NULL) == 0);
	listener_free(rig->listener);
	peers_free(rig->peers);
	tls_free(rig->tls);
	loop_free(rig->loop);
	log_close();
	rig->log = slurp(path(rig, "log"));
}

void
rig_fini(struct rig *rig)
{
	static const char *const names[] = { "ca.pem", "server.pem", "server.key", "log" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path(rig, names[i]));
	MUST(rmdir(rig->dir) == 0);
	certificate_fini(&rig->root);
	certificate_fini(&rig->server);
	certificate_fini(&rig->client);
	free(rig->log);
}

/* The line that begins at ${line}, NUL-terminated on the heap; *${nextp} is the one behind it, NULL at the end. */
static char *
line_at(const char *line, const char **nextp)
{
	size_t len = strcspn(line, "\n");

	*nextp = line[len] ? line + len + 1 : NULL;
	return strndup(line, len);
}

bool
rig_logged(const struct rig *rig, const char *first, ...)
{
	for (const char *at = rig->log, *next; at; at = next) {
		char *line = line_at(at, &next);
		bool all = true;
		va_list parts;

		va_start(parts, first);
		for (const char *part = first; part && all; part = va_arg(parts, const char *))
			all = strstr(line, part) != NULL;
		va_end(parts);
		free(line);
		if (all)
			return true;
	}
	return false;
}

size_t
rig_lines(const struct rig *rig, const char *part)
{
	size_t count = 0;

	for (const char *at = rig->log, *next; at; at = next) {
		char *line = line_at(at, &next);

		count += strstr(line, part) != NULL;
		free(line);
	}
	return count;
}

int
rig_dial(const struct rig *rig)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(listener_port(rig->listener)) };
	struct timeval patience = { .tv_sec = 10 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(fd >= 0);
	MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
	MUST(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0);
	MUST(connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	return fd;
}

SSL *
rig_connect(const struct rig *rig, const struct client_options *options, bool *ok)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl;
	int rc;

	MUST(ctx);
	SSL_CTX_set_security_level(ctx, 0);
	MUST(SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION) == 1);
	MUST(SSL_CTX_set_max_proto_version(ctx, options->version) == 1);
	if (options->version && options->version < TLS1_2_VERSION)
		MUST(SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0") == 1);
	if (options->certificate) {
		MUST(SSL_CTX_use_certificate(ctx, options->certificate->x509) == 1);
		MUST(SSL_CTX_use_PrivateKey(ctx, options->certificate->key) == 1);
	}
	ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	MUST(ssl && SSL_set_fd(ssl, rig_dial(rig)) == 1);
	if (options->resume)
		MUST(SSL_set_session(ssl, options->resume) == 1);
	ERR_clear_error();
	rc = SSL_connect(ssl);
	ERR_clear_error();
	if (ok)
		*ok = rc == 1;
	else
		MUST(rc == 1);
	return ssl;
}

/* What came and was not read, a session ticket for one: closing over it would be a reset. */
static void
swallow(int fd)
{
	uint8_t bytes[4096];

	for (int i = 0; i < 256 && recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0; i++)
		;
}

void
client_close(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	ERR_clear_error();
	if (SSL_is_init_finished(ssl)) {
		SSL_shutdown(ssl);
		swallow(fd);
	}
	SSL_free(ssl);
	close(fd);
	ERR_clear_error();
}

bool
client_read(SSL *ssl, void *to, size_t len)
{
	size_t n;

	for (size_t have = 0; have < len; have += n) {
		ERR_clear_error();
		if (SSL_read_ex(ssl, (char *)to + have, len - have, &n) != 1)
			return false;
	}
	return true;
}

bool
client_write(SSL *ssl, const void *from, size_t len)
{
	size_t n;

	ERR_clear_error();
	return SSL_write_ex(ssl, from, len, &n) == 1 && n == len;
}
