/* SPDX-License-Identifier: Apache-2.0 */
/* A blocking connection over mutual TLS: see tls_client.h. The socket itself does not block; poll keeps the deadlines. */
#include "broker/cli/tls_client.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "broker/base/clock.h"
#include "broker/net/tls.h"

struct tls_client {
	const struct cli *cli;
	char *to, *host, *port; /* host and port without brackets */
	struct tls_context *context;
	SSL *ssl;
	int fd;
	unsigned timeout_s;
	bool heard; /* at least one byte */
};

/* "host:port" or "[address]:port". */
static bool
split(struct tls_client *client)
{
	const char *colon = strrchr(client->to, ':');
	const char *host = client->to;
	size_t len = colon ? (size_t)(colon - host) : 0;

	if (len > 1 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	} else if (len && memchr(host, ':', len)) {
		return false;
	}
	if (!len || !colon[1])
		return false;
	client->host = strndup(host, len);
	client->port = strdup(colon + 1);
	return client->host && client->port;
}

/* Wait for ${events} until ${deadline_us}. 0 or -errno. */
static int
wait_for(int fd, short events, uint64_t deadline_us)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		uint64_t now = clock_mono_us();
		int ready = now >= deadline_us ? 0 : poll(&p, 1, (int)((deadline_us - now) / 1000) + 1);

		if (ready > 0)
			return 0;
		if (ready == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int
connect_one(const struct addrinfo *address, uint64_t deadline_us)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = 0, one = 1, r = 0;
	socklen_t len = sizeof(error);

	if (fd < 0)
		return -errno;
	if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
		r = errno == EINPROGRESS ? wait_for(fd, POLLOUT, deadline_us) : -errno;
		if (!r && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0)
			r = -error;
	}
	if (r) {
		close(fd);
		return r;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int
connect_tcp(struct tls_client *client, uint64_t deadline_us)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *addresses = NULL;
	int r = getaddrinfo(client->host, client->port, &hints, &addresses), fd = -EHOSTUNREACH;

	if (r)
		return cli_fail(client->cli, CLI_COULD_NOT, "%s: %s", client->to, gai_strerror(r));
	for (const struct addrinfo *a = addresses; a && fd < 0; a = a->ai_next)
		fd = connect_one(a, deadline_us);
	freeaddrinfo(addresses);
	if (fd < 0)
		return cli_fail(client->cli, CLI_COULD_NOT, "%s: %s", client->to, strerror(-fd));
	client->fd = fd;
	return 0;
}

static uint64_t
deadline_of(const struct tls_client *client, unsigned extra_s)
{
	return clock_mono_us() + ((uint64_t)client->timeout_s + extra_s) * 1000000;
}

/* What ${result} of an SSL call asks for: 0: try again; 1: orderly end; -errno; -EPROTO: the error queue tells. */
static int
settle(struct tls_client *client, int result, uint64_t deadline_us)
{
	int saved = errno;

	switch (SSL_get_error(client->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return wait_for(client->fd, POLLIN, deadline_us);
	case SSL_ERROR_WANT_WRITE:
		return wait_for(client->fd, POLLOUT, deadline_us);
	case SSL_ERROR_ZERO_RETURN:
		return 1;
	case SSL_ERROR_SYSCALL:
		return saved ? -saved : -ECONNRESET;
	default:
		return -EPROTO;
	}
}

/* In words: what OpenSSL says, else what the system says. */
static const char *
words(int error)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = error == -EPROTO && code ? ERR_reason_error_string(code) : NULL;

	return reason ? reason : strerror(-error);
}

/* What may be behind an end before the first byte: with TLS 1.3 the server judges our certificate after our side of the handshake is done. */
static const char *
hint(const struct tls_client *client, int error)
{
	bool ended = error == 1 || error == -ECONNRESET || error == -EPIPE || error == -EPROTO;

	return ended && !client->heard
		   ? "; it may not know our certificate, or not want this of it: the server's log tells"
		   : "";
}

static int
shake_hands(struct tls_client *client, uint64_t deadline_us)
{
	for (;;) {
		struct tls_identity identity;
		int result, r;

		ERR_clear_error();
		errno = 0;
		result = SSL_connect(client->ssl);
		if (result == 1)
			return 0;
		r = settle(client, result, deadline_us);
		if (r == 0)
			continue;
		if (r == -EPROTO && SSL_get_verify_result(client->ssl) != X509_V_OK)
			return cli_fail(client->cli, CLI_COULD_NOT,
			    "%s: the server's certificate is refused: %s", client->to,
			    tls_refusal(client->ssl, &identity));
		return cli_fail(client->cli, CLI_COULD_NOT, "%s: TLS handshake: %s", client->to,
		    r == 1 ? "the server closed" : words(r));
	}
}

static int
make_context(struct tls_client *client, const struct tls_client_options *options)
{
	const struct config_tls tls = {
		.certificate = options->certificate, .key = options->key, .authorities = options->authorities
	};
	struct buffer errors;
	int r;

	buffer_init(&errors, 65536);
	r = tls_client_new(&client->context, &tls, &errors);
	if (r) {
		cli_fail(client->cli, 0, "the certificate, key or authorities cannot be used");
		if (errors.len)
			fwrite(errors.data, 1, errors.len, stderr);
	}
	buffer_fini(&errors);
	return r ? CLI_COULD_NOT : 0;
}

int
tls_client_open(const struct cli *cli, const struct tls_client_options *options, struct tls_client **clientp)
{
	struct tls_client *client = calloc(1, sizeof(*client));
	const char *name;
	uint64_t deadline_us;
	int r = CLI_COULD_NOT;

	if (!client || !(client->to = strdup(options->to))) {
		free(client);
		return cli_fail(cli, CLI_COULD_NOT, "not enough memory");
	}
	client->cli = cli;
	client->fd = -1;
	client->timeout_s = options->timeout_s;
	if (!split(client)) {
		cli_fail(cli, 0, "%s: not HOST:PORT", options->to);
		goto fail;
	}
	if ((r = make_context(client, options)) != 0)
		goto fail;
	deadline_us = deadline_of(client, 0);
	if ((r = connect_tcp(client, deadline_us)) != 0)
		goto fail;
	name = options->server_name ? options->server_name : client->host;
	if (tls_client_ssl(client->context, name, &client->ssl) != 0 ||
	    SSL_set_fd(client->ssl, client->fd) != 1) {
		r = cli_fail(cli, CLI_COULD_NOT, "%s: cannot be the name of a server", name);
		goto fail;
	}
	if ((r = shake_hands(client, deadline_us)) != 0)
		goto fail;
	*clientp = client;
	return 0;
fail:
	tls_client_close(client);
	return r;
}

void
tls_client_close(struct tls_client *client)
{
	if (!client)
		return;
	if (client->ssl && SSL_is_init_finished(client->ssl))
		(void)SSL_shutdown(client->ssl);
	SSL_free(client->ssl);
	tls_free(client->context);
	if (client->fd >= 0)
		close(client->fd);
	free(client->to);
	free(client->host);
	free(client->port);
	free(client);
}

const char *
tls_client_to(const struct tls_client *client)
{
	return client->to;
}

int
tls_client_write(struct tls_client *client, struct span bytes)
{
	uint64_t deadline_us = deadline_of(client, 0);

	while (bytes.len) {
		size_t n = 0;
		int r;

		ERR_clear_error();
		errno = 0;
		r = SSL_write_ex(client->ssl, bytes.ptr, bytes.len < 16384 ? bytes.len : 16384, &n);
		if (r == 1) {
			bytes = span_cut(bytes, n, bytes.len);
			deadline_us = deadline_of(client, 0);
			continue;
		}
		r = settle(client, r, deadline_us);
		if (r)
			return cli_fail(client->cli, CLI_COULD_NOT, "%s: sending: %s%s", client->to,
			    r == 1 ? "the server closed" : words(r), hint(client, r));
	}
	return 0;
}

ssize_t
tls_client_read(struct tls_client *client, void *bytes, size_t size, unsigned extra_s)
{
	uint64_t deadline_us = deadline_of(client, extra_s);

	for (;;) {
		size_t n = 0;
		int r;

		ERR_clear_error();
		errno = 0;
		r = SSL_read_ex(client->ssl, bytes, size, &n);
		if (r == 1) {
			client->heard = true;
			return (ssize_t)n;
		}
		r = settle(client, r, deadline_us);
		if (r == 1 && client->heard)
			return 0;
		if (r) {
			/* With TLS 1.3 a refused certificate is told only now, by an alert. */
			cli_fail(client->cli, 0, "%s: waiting for an answer: %s%s", client->to,
			    r == 1 ? "the server closed" : words(r), hint(client, r));
			return -1;
		}
	}
}
