/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ceiling: what this machine allows a durable receiver of framed messages, and nothing beyond.
 *
 * Raw epoll, one I/O thread, mutual TLS 1.3 with AES-128-GCM; per message SHA-256 and CRC32C, a copy into a log zero-filled ahead, fdatasync
 * before the answer. It looks for the end of a frame and at nothing else: no HL7, no duplicates, no routes. Commits inline or by a
 * thread; `bench/run` takes the better. Trusts its client: a measure, not a server. Ends on SIGTERM with one line of JSON.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "bench/ceiling_document.h"
#include "bench/ceiling_log.h"
#include "codecs/digest.h"

#define FS	   0x1c
#define EVENTS	   256
#define READ_ROOM  65536u
#define READ_MOST  262144u /* of one connection in a turn */
#define PROBE_SYNC 200

/* As long as the broker's acknowledgement of such a message. */
static const char ack[] = "\vMSH|^~\\&|LIAISON|PFI|GAM|CHU-DEMO|20261121120000.000+0000||ACK^A01^ACK|"
			  "L000000000|T|2.5|||||FRA|8859/15\r"
			  "MSA|AA|00000000000000000000\r\x1c\r";

struct connection {
	int fd;
	SSL *ssl;
	bool shaken, writing;
	uint8_t *held; /* of a frame that is not whole yet */
	size_t held_len, held_room;
	uint8_t *out; /* answers not yet given to the socket */
	size_t out_from, out_len, out_room;
	unsigned gathered, committing; /* messages whose answers wait for their batch */
	struct connection *next_gathered, *next_committing, *next;
};

struct server {
	SSL_CTX *ctx;
	int epoll, listening, wake, signals;
	bool threaded;
	struct ceiling_log *log;
	struct ceiling_document *document; /* NULL: documents are not read */
	struct sha256 sha;
	struct connection *gathered, *committing;
	struct connection *all; /* dropped ones, too: a batch may still know them */
	uint64_t messages;
	uint8_t room[READ_ROOM];
};

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "ceiling: %s: %s\n", what, strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(1);
}

static void
watch(struct server *server, int op, int fd, uint32_t events, void *what)
{
	struct epoll_event event = { .events = events, .data.ptr = what };

	if (epoll_ctl(server->epoll, op, fd, &event))
		die("epoll");
}

/* The rest of it stays until the end. */
static void
drop(struct connection *c)
{
	SSL_free(c->ssl);
	close(c->fd);
	c->ssl = NULL;
}

static void
free_all(struct server *server)
{
	while (server->all) {
		struct connection *c = server->all;

		server->all = c->next;
		if (c->ssl)
			drop(c);
		free(c->held);
		free(c->out);
		free(c);
	}
}

/*
 * Answers.
 */
static void
flush(struct server *server, struct connection *c)
{
	bool blocked = false;

	while (c->ssl && c->out_from < c->out_len && !blocked) {
		int n;

		ERR_clear_error();
		n = SSL_write(c->ssl, c->out + c->out_from, (int)(c->out_len - c->out_from));
		if (n > 0)
			c->out_from += (size_t)n;
		else if (SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_WRITE)
			blocked = true;
		else
			drop(c);
	}
	if (!blocked)
		c->out_from = c->out_len = 0;
	if (c->ssl && blocked != c->writing) {
		c->writing = blocked;
		watch(server, EPOLL_CTL_MOD, c->fd, EPOLLIN | (blocked ? EPOLLOUT : 0), c);
	}
}

static void
answer(struct server *server, struct connection *c, unsigned count)
{
	size_t one = sizeof(ack) - 1;

	if (!c->ssl)
		return;
	if (c->out_len + count * one > c->out_room) {
		c->out_room = c->out_len + count * one;
		c->out = realloc(c->out, c->out_room);
		if (!c->out)
			die("memory");
	}
	for (; count; count--, c->out_len += one)
		memcpy(c->out + c->out_len, ack, one);
	flush(server, c);
}

/*
 * Committing.
 */
static void
commit_inline(struct server *server)
{
	struct connection *next;

	if (!server->gathered)
		return;
	ceiling_log_commit(server->log);
	for (struct connection *c = server->gathered; c; c = next) {
		unsigned count = c->gathered;

		next = c->next_gathered;
		c->gathered = 0;
		answer(server, c, count);
	}
	server->gathered = NULL;
}

static void
commit_threaded(struct server *server)
{
	if (!server->gathered || !ceiling_log_hand_over(server->log))
		return;
	server->committing = server->gathered;
	server->gathered = NULL;
	for (struct connection *c = server->committing; c; c = c->next_gathered) {
		c->committing = c->gathered;
		c->next_committing = c->next_gathered;
		c->gathered = 0;
	}
}

static void
committed(struct server *server)
{
	struct connection *next;

	if (!ceiling_log_done(server->log))
		return;
	for (struct connection *c = server->committing; c; c = next) {
		next = c->next_committing;
		answer(server, c, c->committing);
		c->committing = 0;
	}
	server->committing = NULL;
}

/*
 * Messages.
 */
static void
message(struct server *server, struct connection *c, const uint8_t *bytes, size_t len)
{
	struct span span = span_make(bytes, len);
	uint8_t header[64] = { 0 };
	uint32_t crc = digest_crc32c(0, span);

	memcpy(header, &crc, sizeof(crc));
	memcpy(header + 8, &len, sizeof(len));
	memcpy(header + 16, &server->messages, sizeof(server->messages));
	if (sha256_of(&server->sha, span, header + 32))
		die("sha256");
	if (server->document)
		ceiling_document_read(server->document, span);
	ceiling_log_append(server->log, header, bytes, len);
	server->messages++;
	if (c->gathered++ == 0) {
		c->next_gathered = server->gathered;
		server->gathered = c;
	}
}

static void
hold(struct connection *c, const uint8_t *bytes, size_t len)
{
	if (c->held_len + len > c->held_room) {
		c->held_room = (c->held_len + len) * 2;
		c->held = realloc(c->held, c->held_room);
		if (!c->held)
			die("memory");
	}
	memcpy(c->held + c->held_len, bytes, len);
	c->held_len += len;
}

/* A frame is taken at its FS: the CR behind it begins the next one. */
static void
take(struct server *server, struct connection *c, const uint8_t *bytes, size_t len)
{
	while (len) {
		const uint8_t *end = memchr(bytes, FS, len);
		size_t part = end ? (size_t)(end - bytes) + 1 : len;

		if (!end || c->held_len)
			hold(c, bytes, part);
		if (end && c->held_len) {
			message(server, c, c->held, c->held_len);
			c->held_len = 0;
		} else if (end) {
			message(server, c, bytes, part);
		}
		bytes += part;
		len -= part;
		if (end && len && *bytes == '\r') {
			bytes++;
			len--;
		}
	}
}

static void
receive(struct server *server, struct connection *c)
{
	for (size_t got = 0; got < READ_MOST || SSL_has_pending(c->ssl);) {
		int n;

		ERR_clear_error();
		n = SSL_read(c->ssl, server->room, sizeof(server->room));
		if (n > 0) {
			take(server, c, server->room, (size_t)n);
			got += (size_t)n;
			continue;
		}
		n = SSL_get_error(c->ssl, n);
		if (n != SSL_ERROR_WANT_READ && n != SSL_ERROR_WANT_WRITE)
			drop(c);
		return;
	}
}

static void
serve(struct server *server, struct connection *c, uint32_t events)
{
	int n;

	if (!c->ssl)
		return;
	if (!c->shaken) {
		ERR_clear_error();
		n = SSL_do_handshake(c->ssl);
		if (n != 1) {
			n = SSL_get_error(c->ssl, n);
			if (n != SSL_ERROR_WANT_READ && n != SSL_ERROR_WANT_WRITE)
				drop(c);
			return;
		}
		c->shaken = true;
	}
	if (events & EPOLLOUT)
		flush(server, c);
	if (c->ssl)
		receive(server, c);
}

static void
accept_all(struct server *server)
{
	for (;;) {
		int fd = accept4(server->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct connection *c;

		if (fd < 0)
			return;
		c = calloc(1, sizeof(*c));
		if (!c)
			die("memory");
		c->fd = fd;
		c->ssl = SSL_new(server->ctx);
		if (!c->ssl || SSL_set_fd(c->ssl, fd) != 1)
			die("memory");
		SSL_set_accept_state(c->ssl);
		c->next = server->all;
		server->all = c;
		watch(server, EPOLL_CTL_ADD, fd, EPOLLIN, c);
	}
}

/*
 * Setting up.
 */
static void
make_context(struct server *server, const char *certificate, const char *key, const char *authorities)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1 ||
	    SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_load_verify_locations(ctx, authorities, NULL) != 1 ||
	    SSL_CTX_set_num_tickets(ctx, 0) != 1)
		die("certificate, key or authorities");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_mode(ctx,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	server->ctx = ctx;
}

static uint16_t
listen_here(struct server *server)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	static const int on = 1;

	server->listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (server->listening < 0 ||
	    setsockopt(server->listening, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
	    bind(server->listening, (struct sockaddr *)&at, len) || listen(server->listening, 1024) ||
	    getsockname(server->listening, (struct sockaddr *)&at, &len))
		die("listening");
	return ntohs(at.sin_port);
}

static void
loop(struct server *server)
{
	struct epoll_event events[EVENTS];
	uint64_t drained;
	bool stop = false;

	watch(server, EPOLL_CTL_ADD, server->listening, EPOLLIN, &server->listening);
	watch(server, EPOLL_CTL_ADD, server->wake, EPOLLIN, &server->wake);
	watch(server, EPOLL_CTL_ADD, server->signals, EPOLLIN, &server->signals);
	while (!stop) {
		int count = epoll_wait(server->epoll, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			void *what = events[i].data.ptr;

			if (what == &server->listening)
				accept_all(server);
			else if (what == &server->signals)
				stop = true;
			else if (what != &server->wake)
				serve(server, what, events[i].events);
			else if (read(server->wake, &drained, sizeof(drained)) > 0)
				committed(server);
		}
		if (server->threaded)
			commit_threaded(server);
		else
			commit_inline(server);
	}
}

static void
tell(const struct server *server)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	printf("{\"messages\": %llu, \"sync_p50_us\": %llu, \"cpu_s\": %.3f}\n",
	    (unsigned long long)server->messages, (unsigned long long)ceiling_log_sync_p50(server->log),
	    (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
		(double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
}

/* What a sync costs just now: PROBE_SYNC of 1 KB each, one after another. */
static int
probe(const char *directory)
{
	struct ceiling_log *log = ceiling_log_new(directory, false, -1);
	static const uint8_t header[64], body[1024];

	for (int i = 0; i < PROBE_SYNC; i++) {
		ceiling_log_append(log, header, body, sizeof(body));
		ceiling_log_commit(log);
	}
	printf("{\"sync_p50_us\": %llu}\n", (unsigned long long)ceiling_log_sync_p50(log));
	ceiling_log_free(log);
	return 0;
}

static int
usage(FILE *to)
{
	fputs("Usage: ceiling --log DIRECTORY --cert FILE --key FILE --ca FILE --commit inline|thread "
	      "[--documents]\n"
	      "       ceiling --log DIRECTORY --probe\n"
	      "Listens on a port of the loopback that it prints. --probe prints what a sync costs just now.\n"
	      "--documents reads the XML document that each message must have.\n",
	    to);
	return to == stdout ? 0 : 2;
}

int
main(int argc, char *argv[])
{
	static const struct option options[] = { { "log", 1, NULL, 'l' }, { "cert", 1, NULL, 'c' },
		{ "key", 1, NULL, 'k' }, { "ca", 1, NULL, 'a' }, { "commit", 1, NULL, 'm' },
		{ "probe", 0, NULL, 'p' }, { "documents", 0, NULL, 'd' }, { "help", 0, NULL, 'h' },
		{ NULL, 0, NULL, 0 } };
	const char *directory = NULL, *certificate = NULL, *key = NULL, *authorities = NULL, *commit = NULL;
	static struct server server;
	bool probing = false;
	sigset_t set;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'l':
			directory = optarg;
			break;
		case 'c':
			certificate = optarg;
			break;
		case 'k':
			key = optarg;
			break;
		case 'a':
			authorities = optarg;
			break;
		case 'm':
			commit = optarg;
			break;
		case 'p':
			probing = true;
			break;
		case 'd':
			server.document = ceiling_document_new();
			break;
		case 'h':
			return usage(stdout);
		default:
			return usage(stderr);
		}
	}
	if (directory && probing)
		return probe(directory);
	if (!directory || !certificate || !key || !authorities || !commit || optind != argc)
		return usage(stderr);
	server.threaded = strcmp(commit, "thread") == 0;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	server.epoll = epoll_create1(EPOLL_CLOEXEC);
	server.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	server.signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (server.epoll < 0 || server.wake < 0 || server.signals < 0 || sha256_init(&server.sha))
		die("starting");
	make_context(&server, certificate, key, authorities);
	server.log = ceiling_log_new(directory, server.threaded, server.wake);
	printf("{\"port\": %u}\n", listen_here(&server));
	fflush(stdout);
	loop(&server);
	tell(&server);
	ceiling_log_free(server.log);
	free_all(&server);
	if (server.document)
		ceiling_document_free(server.document);
	sha256_fini(&server.sha);
	SSL_CTX_free(server.ctx);
	return 0;
}
