/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dialling for a report: name, connection, handshake, chain, and whether our certificate was taken.
 *
 * The handshake is made without verifying, so that a chain with a fault can be looked at whole; then nothing is sent and the connection is
 * closed. Blocking calls with one deadline: on a worker.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "broker/base/clock.h"
#include "broker/net/explain.h"
#include "broker/net/explain_parts.h"
#include "broker/net/resolve.h"

/* How long a server gets to say that it does not take our certificate: with TLS 1.3 it does so behind the handshake. */
#define ANSWER_MS 1000

struct dialling {
	const struct explain_target *target;
	struct buffer *report;
	uint64_t by_us;
	int fd;
	SSL *ssl;
};

static int
left_ms(const struct dialling *dialling)
{
	uint64_t now_us = clock_mono_us();

	return now_us >= dialling->by_us ? 0 : (int)((dialling->by_us - now_us + 999) / 1000);
}

/* Whether ${fd} became ready for ${events} within ${ms}. */
static bool
ready(int fd, short events, int ms)
{
	struct pollfd one = { .fd = fd, .events = events };
	int rc;

	do
		rc = poll(&one, 1, ms);
	while (rc < 0 && errno == EINTR);
	return rc > 0;
}

static int
find(struct dialling *dialling, struct resolved *found)
{
	const struct explain_target *target = dialling->target;

	if (resolve_numeric(found, target->host, target->port)) {
		buffer_printf(dialling->report, "name: %s is an address\n", target->host);
		return 0;
	}
	resolve_now(found, target->host, target->port);
	if (!found->why) {
		buffer_printf(dialling->report, "name: %s has %zu address%s\n", target->host, found->count,
		    found->count == 1 ? "" : "es");
		return 0;
	}
	buffer_printf(dialling->report,
	    "name: WRONG: %s: %s. Look at the spelling and at this machine's name servers "
	    "(/etc/resolv.conf).\n",
	    target->host, found->why);
	return EXPLAIN_BAD;
}

/* 0 and the socket, or why not. */
static int
try(struct dialling *dialling, const struct resolve_address *to, int ms)
{
	socklen_t len = sizeof(int);
	int error = 0;

	dialling->fd = socket(to->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (dialling->fd < 0)
		return -errno;
	if (connect(dialling->fd, (const struct sockaddr *)&to->at, to->len) < 0 && errno != EINPROGRESS)
		error = errno;
	else if (!ready(dialling->fd, POLLOUT, ms))
		error = ETIMEDOUT;
	else if (getsockopt(dialling->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error == 0)
		return 0;
	close(dialling->fd);
	dialling->fd = -1;
	return -error;
}

static const char *
connect_advice(int error)
{
	switch (error) {
	case -ECONNREFUSED:
		return "The machine is there, but nothing listens on that port: is the partner's program "
		       "running?";
	case -ETIMEDOUT:
		return "Nothing answers: a firewall on the way, a wrong address, or the machine is down.";
	case -ENETUNREACH:
	case -EHOSTUNREACH:
		return "There is no way to it: look at the routes and the VPN.";
	default:
		return "Look at the network of this machine.";
	}
}

static int
reach(struct dialling *dialling, const struct resolved *found)
{
	int rc = -ETIMEDOUT;

	for (size_t i = 0; i < found->count && left_ms(dialling) > 0; i++) {
		const struct resolve_address *to = &found->addresses[i];
		int share = left_ms(dialling) / (int)(found->count - i);
		char host[64] = "", port[8] = "";

		(void)getnameinfo((const struct sockaddr *)&to->at, to->len, host, sizeof(host), port,
		    sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
		rc = try(dialling, to, share);
		if (rc == 0) {
			buffer_printf(dialling->report, "connection: %s port %s accepted it\n", host, port);
			return 0;
		}
		buffer_printf(dialling->report, "connection: WRONG: %s port %s: %s. %s\n", host, port,
		    strerror(-rc), connect_advice(rc));
	}
	if (left_ms(dialling) == 0)
		buffer_append_str(dialling->report, "connection: WRONG: the time is up\n");
	return EXPLAIN_BAD;
}

/* Go on with ${rc} of an SSL call; false: it will not succeed. */
static bool
wait_for(struct dialling *dialling, int rc, int ms)
{
	switch (SSL_get_error(dialling->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return ready(dialling->fd, POLLIN, ms);
	case SSL_ERROR_WANT_WRITE:
		return ready(dialling->fd, POLLOUT, ms);
	default:
		return false;
	}
}

static int
shake(struct dialling *dialling)
{
	struct tls_identity identity;
	const char *words;
	int rc;

	for (;;) {
		ERR_clear_error();
		rc = SSL_connect(dialling->ssl);
		if (rc == 1)
			break;
		if (wait_for(dialling, rc, left_ms(dialling)))
			continue;
		rc = SSL_get_error(dialling->ssl, rc);
		if (rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE) {
			buffer_append_str(dialling->report,
			    "handshake: WRONG: the other side fell silent. Is it a TLS port at all?\n");
			return EXPLAIN_BAD;
		}
		words = tls_refusal(dialling->ssl, &identity);
		buffer_printf(dialling->report, "handshake: WRONG: %s. %s\n", words,
		    strcmp(words, "not TLS") == 0 || strcmp(words, "closed") == 0 ? "Is it a TLS port at all?"
										  : explain_advice(words));
		return EXPLAIN_BAD;
	}
	buffer_printf(dialling->report, "handshake: %s, %s\n", SSL_get_version(dialling->ssl),
	    SSL_get_cipher_name(dialling->ssl));
	return 0;
}

static bool
is_client(SSL *ssl)
{
	return X509_check_purpose(SSL_get_certificate(ssl), X509_PURPOSE_SSL_CLIENT, 0) == 1;
}

/* Whether the server takes our certificate: silence is consent. */
static int
answered(struct dialling *dialling)
{
	uint64_t by_us = clock_mono_us() + (uint64_t)ANSWER_MS * 1000;
	const char *words;
	uint8_t byte;
	int rc, ms;

	do {
		ERR_clear_error();
		rc = SSL_read(dialling->ssl, &byte, 1);
		ms = clock_mono_us() >= by_us ? 0 : (int)((by_us - clock_mono_us()) / 1000);
		if (ms > left_ms(dialling))
			ms = left_ms(dialling);
	} while (rc <= 0 && ms > 0 && wait_for(dialling, rc, ms));
	if (rc > 0 || SSL_get_error(dialling->ssl, rc) == SSL_ERROR_WANT_READ) {
		buffer_append_str(dialling->report, "our certificate: the server did not refuse it\n");
		return 0;
	}
	words = tls_alert_words();
	buffer_printf(dialling->report, "our certificate: WRONG: %s. %s\n",
	    words ? words : "the server closed the connection straight after the handshake",
	    is_client(dialling->ssl)
		? "Send our certificate (tls.certificate) to the partner's administrator: its issuer "
		  "must be trusted there, and its subject known."
		: "Get a certificate that is for a client as well (clientAuth): this one is not.");
	return EXPLAIN_BAD;
}

static void
tell_own(struct buffer *report, const struct tls_context *context, SSL *ssl, int64_t now_s)
{
	const struct tls_identity *own = tls_own(context);

	buffer_printf(report, "our certificate: %s, issued by %s, serial %s, %lld days left\n", own->subject,
	    own->issuer, own->serial, (long long)tls_identity_days(own, now_s));
	if (!is_client(ssl))
		buffer_append_str(report, "  note: it is not one for a client (its extended key usage lacks "
					  "clientAuth): many servers refuse that\n");
}

static int
look(struct dialling *dialling, struct tls_context *context)
{
	const int64_t now_s = (int64_t)(clock_wall_us() / 1000000);
	int faults, rc;

	rc = tls_client_ssl(context, dialling->target->server_name, &dialling->ssl);
	if (rc == -EINVAL) {
		buffer_printf(
		    dialling->report, "WRONG: %s cannot be a server's name\n", dialling->target->server_name);
		return EXPLAIN_BAD;
	}
	if (rc)
		return rc;
	SSL_set_verify(dialling->ssl, SSL_VERIFY_NONE, NULL);
	if (SSL_set_fd(dialling->ssl, dialling->fd) != 1)
		return -ENOMEM;
	rc = shake(dialling);
	if (rc)
		return rc;
	faults =
	    explain_chain(dialling->report, context, dialling->ssl, dialling->target->server_name, now_s);
	if (faults < 0)
		return faults;
	tell_own(dialling->report, context, dialling->ssl, now_s);
	rc = answered(dialling);
	return faults ? EXPLAIN_BAD : rc;
}

int
explain_dial(const struct explain_target *target, struct buffer *report)
{
	struct dialling dialling = { .target = target, .report = report, .fd = -1 };
	struct tls_context *context = NULL;
	struct resolved found = { 0 };
	int rc;

	dialling.by_us = clock_mono_us() + target->ms * 1000;
	buffer_printf(report, "dialling %s port %u; its certificate must be for %s\n", target->host,
	    target->port, target->server_name);
	rc = tls_client_new(&context, target->tls, report);
	if (rc == TLS_INVALID)
		buffer_append_str(report, "WRONG: our own files cannot be used (above)\n");
	if (rc == 0)
		rc = find(&dialling, &found);
	if (rc == 0)
		rc = reach(&dialling, &found);
	if (rc == 0)
		rc = look(&dialling, context);
	SSL_free(dialling.ssl);
	ERR_clear_error();
	if (dialling.fd >= 0)
		close(dialling.fd);
	tls_free(context);
	if (rc >= 0)
		buffer_append_str(report, rc ? "verdict: messages cannot be sent there\n"
					     : "verdict: good, messages can be sent there\n");
	return rc < 0 ? rc : rc ? EXPLAIN_BAD : buffer_failed(report) ? -ENOMEM : 0;
}
