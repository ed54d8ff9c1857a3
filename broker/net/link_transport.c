/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes between a link and its socket, through TLS or, on a plain link, as they are. One call, one answer: the bounds are its callers'.
 */
#include <errno.h>

#include <openssl/err.h>

#include "broker/net/link_state.h"

static enum link_io
tls_says(struct link *link, int rc)
{
	switch (SSL_get_error(link->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return LINK_IO_WANTS_READ;
	case SSL_ERROR_WANT_WRITE:
		return LINK_IO_WANTS_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return LINK_IO_ENDED;
	default:
		link->why = tls_alert_words();
		return LINK_IO_FAILED;
	}
}

enum link_io
link_take(struct link *link, void *to, size_t len, size_t *n)
{
	ssize_t got;
	int rc;

	if (link->ssl) {
		ERR_clear_error();
		rc = SSL_read_ex(link->ssl, to, len, n);
		return rc == 1 ? LINK_IO_DONE : tls_says(link, rc);
	}
	do
		got = recv(link->fd, to, len, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? LINK_IO_WANTS_READ : LINK_IO_FAILED;
	*n = (size_t)got;
	return got > 0 ? LINK_IO_DONE : LINK_IO_ENDED;
}

enum link_io
link_give(struct link *link, const void *from, size_t len, size_t *n)
{
	ssize_t gone;
	int rc;

	if (link->ssl) {
		ERR_clear_error();
		rc = SSL_write_ex(link->ssl, from, len, n);
		return rc == 1 ? LINK_IO_DONE : tls_says(link, rc);
	}
	do
		gone = send(link->fd, from, len, MSG_NOSIGNAL);
	while (gone < 0 && errno == EINTR);
	if (gone < 0)
		return errno == EAGAIN ? LINK_IO_WANTS_WRITE : LINK_IO_FAILED;
	*n = (size_t)gone;
	return LINK_IO_DONE;
}

bool
link_pending(const struct link *link)
{
	return link->ssl && (link->wire.ahead.len || SSL_has_pending(link->ssl));
}

void
link_farewell(struct link *link)
{
	if (!link->ssl || !SSL_is_init_finished(link->ssl))
		return;
	ERR_clear_error();
	if (SSL_shutdown(link->ssl) < 0)
		ERR_clear_error(); /* the socket is full or gone: then without */
}
