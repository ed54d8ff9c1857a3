/* SPDX-License-Identifier: Apache-2.0 */
/* A dialler on a loop thread, names, and servers without manners: see the header. */
#include "dial_rig.h"

#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>

#define MUST(what)                                                                                           \
	do {                                                                                                 \
		if (!(what)) {                                                                               \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                           \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

int __real_getaddrinfo(
    const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found);
int __wrap_getaddrinfo(
    const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found);

atomic_uint names_asked;
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;

void
names_silence(void)
{
	names_asked = 0;
	pthread_mutex_lock(&names_lock);
}

void
names_speak(void)
{
	pthread_mutex_unlock(&names_lock);
}

int
__wrap_getaddrinfo(
    const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	struct addrinfo *first;
	bool turned;

	if (!strstr(host, ".test"))
		return __real_getaddrinfo(host, service, hints, found);
	names_asked++;
	if (strcmp(host, "none.test") == 0)
		return EAI_NONAME;
	if (strcmp(host, "down.test") == 0)
		return EAI_AGAIN;
	if (strcmp(host, "silent.test") == 0) {
		pthread_mutex_lock(&names_lock);
		pthread_mutex_unlock(&names_lock);
	}
	turned = strcmp(host, "turned.test") == 0;
	MUST(__real_getaddrinfo(turned ? "127.0.0.1" : "127.0.0.2", service, hints, &first) == 0);
	MUST(__real_getaddrinfo(turned ? "127.0.0.2" : "127.0.0.1", service, hints, &first->ai_next) == 0);
	*found = first;
	return 0;
}

static int
descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	MUST(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static const char *
file(const struct dial_rig *rig, const char *name)
{
	static char room[4][128];
	static unsigned next;
	char *to = room[next++ % 4];

	snprintf(to, sizeof(room[0]), "%s/%s", rig->rig.dir, name);
	return to;
}

void
dial_rig_server(struct dial_rig *rig, const struct certificate *certificate)
{
	certificate_write(certificate, file(rig, "server.pem"));
	certificate_write_key(certificate, file(rig, "server.key"), 0600);
}

void
dial_rig_client(struct dial_rig *rig, const struct certificate *certificate)
{
	certificate_write(certificate, file(rig, "client.pem"));
	certificate_write_key(certificate, file(rig, "client.key"), 0600);
}

void
dial_rig_init(struct dial_rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	rig->fds = descriptors();
	rig_init(&rig->rig);
	dial_rig_client(rig, &rig->rig.client);
	rig->to = (struct config_dial){
		.host = "127.0.0.1",
		.server_name = "127.0.0.1",
		.connect_ms = 5000,
	};
}

static void *
opened(struct link *link, struct peer *peer, void *arg)
{
	static const char piece[16 * 1024];
	struct dial_rig *rig = arg;

	if (peer || link_peer(link) || dialler_link(rig->dialler) != link)
		abort();
	rig->door.link = link;
	rig->door.opened++;
	for (size_t sent = 0; sent < rig->to_send;) {
		size_t n = rig->to_send - sent < sizeof(piece) ? rig->to_send - sent : sizeof(piece);

		if (link_send(link, span_make(piece, n)) != 0)
			break;
		sent += n;
	}
	return rig->refuse ? NULL : rig;
}

static void
input(void *arg, struct span bytes)
{
	struct dial_rig *rig = arg;

	rig->door.inputs++;
	rig->door.received += bytes.len;
	if (rig->at_input)
		rig->at_input(rig);
}

static void
closed(void *arg, enum link_end end)
{
	struct dial_rig *rig = arg;
	const char *why = link_why(rig->door.link);

	snprintf(rig->end_why, sizeof(rig->end_why), "%s", why ? why : "");
	rig->door.end = (int)end;
	if (rig->again) {
		rig->again = false;
		if (dialler_dial(rig->dialler, &rig->rig.config, &rig->to, rig->client) != 0)
			abort();
	}
	rig->door.closed++;
}

static void
failed(void *arg, const struct dial_failure *failure)
{
	struct dial_rig *rig = arg;

	snprintf(rig->step, sizeof(rig->step), "%s", failure->step);
	snprintf(rig->why, sizeof(rig->why), "%s", failure->why);
	snprintf(rig->address, sizeof(rig->address), "%s", failure->address);
	snprintf(
	    rig->subject, sizeof(rig->subject), "%s", failure->identity ? failure->identity->subject : "");
	rig->identified = failure->identity;
	rig->error = failure->error;
	if (rig->again) {
		rig->again = false;
		if (dialler_dial(rig->dialler, &rig->rig.config, &rig->to, rig->client) != 0)
			abort();
	}
	rig->failed++;
}

static const struct link_handler handler = { .opened = opened, .input = input, .closed = closed };

void
dial_rig_start(struct dial_rig *rig)
{
	const struct config_tls tls = { file(rig, "client.pem"), file(rig, "client.key"),
		file(rig, "ca.pem") };
	struct dialler_options options = {
		.name = "chu-lyon",
		.handler = &handler,
		.door = rig,
		.failed = failed,
	};
	struct buffer errors;

	rig_start(&rig->rig, &echo, &rig->server);
	buffer_init(&errors, 4096);
	MUST(tls_client_new(&rig->client, &tls, &errors) == 0);
	buffer_fini(&errors);
	MUST(workers_new(&rig->workers, 2, 8, loop_poster(rig->rig.loop)) == 0);
	options.loop = rig->rig.loop;
	options.workers = rig->workers;
	MUST(dialler_new(&rig->dialler, &options) == 0);
	if (rig->to.port == 0)
		rig->to.port = listener_port(rig->rig.listener);
}

static void
free_dialler(struct dial_rig *rig)
{
	dialler_free(rig->dialler);
	rig->dialler = NULL;
}

void
dial_free(struct dial_rig *rig)
{
	dial_on_loop(rig, free_dialler);
}

void
dial_rig_stop(struct dial_rig *rig)
{
	dial_free(rig);
	workers_free(rig->workers);
	tls_free(rig->client);
	loop_drain(rig->rig.loop);
	rig_stop(&rig->rig);
}

void
dial_rig_fini(struct dial_rig *rig)
{
	unlink(file(rig, "client.pem"));
	unlink(file(rig, "client.key"));
	rig_fini(&rig->rig);
	assert_int_equal(descriptors(), rig->fds);
}

struct errand {
	struct post_item item;
	void (*work)(struct dial_rig *rig);
	struct dial_rig *rig;
	atomic_uint done;
};

static void
errand_run(struct post_item *item)
{
	struct errand *errand = (struct errand *)item;

	errand->work(errand->rig);
	errand->done = 1;
}

void
dial_on_loop(struct dial_rig *rig, void (*work)(struct dial_rig *rig))
{
	struct errand errand = { .item.run = errand_run, .work = work, .rig = rig };

	post(loop_poster(rig->rig.loop), &errand.item);
	MUST(wait_for(&errand.done, 1));
}

static int dialled;

static void
dial(struct dial_rig *rig)
{
	unsigned opened_before = rig->door.opened, failed_before = rig->failed;

	dialled = dialler_dial(rig->dialler, &rig->rig.config, &rig->to, rig->client);
	/* Never inside the call. */
	MUST(rig->door.opened == opened_before && rig->failed == failed_before);
}

int
dial_now(struct dial_rig *rig)
{
	dial_on_loop(rig, dial);
	return dialled;
}

static void
cancel(struct dial_rig *rig)
{
	dialler_cancel(rig->dialler);
}

void
dial_cancel(struct dial_rig *rig)
{
	dial_on_loop(rig, cancel);
}

void
dial_must_fail(struct dial_rig *rig, const char *step, const char *why)
{
	const unsigned before = rig->failed, opened_before = rig->door.opened;
	const int64_t counted = metric_value(metric_series(METRIC_DIALS_FAILED, why));

	assert_int_equal(dial_now(rig), 0);
	assert_true(wait_for(&rig->failed, before + 1));
	assert_string_equal(rig->step, step);
	assert_string_equal(rig->why, why);
	usleep(20000);
	assert_int_equal(rig->failed, before + 1);
	assert_int_equal(rig->door.opened, opened_before);
	assert_int_equal(metric_value(metric_series(METRIC_DIALS_FAILED, why)), counted + 1);
}

int
listen_here(int backlog, uint16_t *portp)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	at.sin_port = htons(*portp);
	MUST(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, backlog) == 0);
	MUST(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
	*portp = ntohs(at.sin_port);
	return fd;
}

/* The handshake of a server that takes any client; NULL when it failed. */
static SSL *
welcome(const struct server *server, int fd)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL *ssl;

	MUST(ctx && SSL_CTX_use_certificate(ctx, server->certificate->x509) == 1);
	MUST(SSL_CTX_use_PrivateKey(ctx, server->certificate->key) == 1);
	ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	MUST(ssl && SSL_set_fd(ssl, fd) == 1);
	if (SSL_accept(ssl) == 1)
		return ssl;
	ERR_clear_error();
	SSL_free(ssl);
	return NULL;
}

/* A ticket of several records, and of them the first. */
static void
begin_ticket(SSL *ssl, int fd)
{
	static const uint8_t stuffing[2000];
	BIO *memory = BIO_new(BIO_s_mem());
	char *records;
	size_t first;

	MUST(memory && SSL_set_max_send_fragment(ssl, 512) == 1);
	MUST(SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), stuffing, sizeof(stuffing)) == 1);
	SSL_set0_wbio(ssl, memory);
	MUST(SSL_new_session_ticket(ssl) == 1 && SSL_do_handshake(ssl) == 1);
	MUST(BIO_get_mem_data(memory, &records) > 1000);
	first = 5 + ((size_t)(uint8_t)records[3] << 8 | (uint8_t)records[4]);
	MUST(first < 1000 && send(fd, records, first, MSG_NOSIGNAL) == (ssize_t)first);
}

static void
serve(struct server *server, int fd)
{
	static const char http[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
	const struct linger hard = { 1, 0 };
	char bytes[64];
	SSL *ssl = NULL;

	switch (server->manner) {
	case CLOSES_AT_ONCE:
		break;
	case RESETS_IN_HANDSHAKE:
		MUST(recv(fd, bytes, 5, MSG_WAITALL) >= 0);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		break;
	case CLOSES_IN_HANDSHAKE:
		MUST(recv(fd, bytes, 5, MSG_WAITALL) >= 0);
		break;
	case SPEAKS_HTTP:
		MUST(recv(fd, bytes, sizeof(bytes), 0) >= 0);
		MUST(send(fd, http, sizeof(http) - 1, MSG_NOSIGNAL) > 0);
		break;
	case READS_NOTHING:
	case SAYS_MORE_AND_RESETS:
	case CLOSES_AFTER:
	case BEGINS_A_TICKET:
		ssl = welcome(server, fd);
		break;
	}
	if (ssl && server->manner == CLOSES_AFTER && client_write(ssl, "x", 1))
		SSL_shutdown(ssl);
	if (ssl && server->manner == SAYS_MORE_AND_RESETS && client_write(ssl, "x", 1)) {
		usleep(100000);
		client_write(ssl, "last words", 10);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	}
	if (ssl && server->manner == BEGINS_A_TICKET)
		begin_ticket(ssl, fd);
	while (ssl && (server->manner == READS_NOTHING || server->manner == BEGINS_A_TICKET) && !server->stop)
		usleep(5000);
	SSL_free(ssl);
	close(fd);
}

static void *
server_run(void *arg)
{
	struct server *server = arg;

	while (!server->stop) {
		struct pollfd wait = { .fd = server->listening, .events = POLLIN };
		int fd = poll(&wait, 1, 20) == 1 ? accept(server->listening, NULL, NULL) : -1;

		if (fd >= 0)
			serve(server, fd);
	}
	return NULL;
}

void
server_start(struct server *server)
{
	server->listening = listen_here(16, &server->port);
	server->stop = 0;
	MUST(pthread_create(&server->thread, NULL, server_run, server) == 0);
}

void
server_stop(struct server *server)
{
	server->stop = 1;
	pthread_join(server->thread, NULL);
	close(server->listening);
}

/* One byte from ${from} to ${to}; false at the end. */
static bool
drip_one(int from, int to)
{
	char byte;

	if (recv(from, &byte, 1, 0) == 1)
		return send(to, &byte, 1, MSG_NOSIGNAL) == 1;
	shutdown(to, SHUT_WR);
	return false;
}

static void *
drip_run(void *arg)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct drip *drip = arg;
	static const int on = 1;
	struct pollfd side[2] = { { .events = POLLIN }, { .events = POLLIN } };

	side[0].fd = accept(drip->listening, NULL, NULL);
	side[1].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	at.sin_port = htons(drip->to);
	MUST(side[0].fd >= 0 && connect(side[1].fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	for (int i = 0; i < 2; i++)
		setsockopt(side[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	for (bool open[2] = { true, true }; open[0] || open[1];) {
		MUST(poll(side, 2, 20000) > 0);
		for (int i = 0; i < 2; i++) {
			if (open[i] && side[i].revents && !drip_one(side[i].fd, side[1 - i].fd)) {
				open[i] = false;
				side[i].events = 0;
			}
		}
		if ((!open[0] && (side[1].revents & POLLHUP)) || (!open[1] && (side[0].revents & POLLHUP)))
			break;
	}
	close(side[0].fd);
	close(side[1].fd);
	return NULL;
}

void
drip_start(struct drip *drip)
{
	drip->listening = listen_here(1, &drip->port);
	MUST(pthread_create(&drip->thread, NULL, drip_run, drip) == 0);
}

void
drip_stop(struct drip *drip)
{
	pthread_join(drip->thread, NULL);
	close(drip->listening);
}
