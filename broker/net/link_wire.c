/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a TLS link reads from and writes to: its socket, with some reading ahead.
 *
 * OpenSSL asks for a record's five bytes of head, then for its body, then to be told that there is no more: three calls of the system for one
 * message. Here one call fetches what a message or a few take, into the loop's memory, and a socket that gave less than it was asked for is
 * not asked again in this turn: the loop tells when more has come. Bodies that are longer go straight where OpenSSL wants them.
 * Its own SSL_set_read_ahead would do a part of this, but keeps what it read where nobody can tell a whole record from a piece.
 *
 * What was read ahead and is not used at the end of a turn is kept by the link (link_wire_keep), at most LOOP_AHEAD bytes. During the handshake
 * nothing is read ahead.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>

#include "broker/net/link_state.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method; /* NULL: there was no memory for it */

static ssize_t
receive(struct link *link, void *to, size_t len)
{
	ssize_t got;

	do
		got = recv(link->fd, to, len, 0);
	while (got < 0 && errno == EINTR);
	link->wire.dry = got < 0 || (size_t)got < len;
	link->wire.ended = got == 0;
	return got;
}

/* Fetch some into the loop's memory; as receive. */
static ssize_t
fetch(struct link *link)
{
	uint8_t *room = loop_ahead(link_loop(link));
	ssize_t got = receive(link, room, LOOP_AHEAD);

	if (got > 0)
		link->wire.ahead = span_make(room, (size_t)got);
	return got;
}

static size_t
take_ahead(struct link *link, void *to, size_t len)
{
	struct span *ahead = &link->wire.ahead;
	size_t n = ahead->len < len ? ahead->len : len;

	memcpy(to, ahead->ptr, n);
	*ahead = span_cut(*ahead, n, ahead->len);
	return n;
}

static int
wire_read(BIO *bio, char *to, int len)
{
	struct link *link = BIO_get_data(bio);
	size_t want = len > 0 ? (size_t)len : 0;
	ssize_t got = -1;

	BIO_clear_retry_flags(bio);
	errno = EAGAIN;
	if (link->wire.ahead.len)
		return (int)take_ahead(link, to, want);
	if (link->state == LINK_HANDSHAKE || want >= LOOP_AHEAD) {
		if (!link->wire.dry || link->state == LINK_HANDSHAKE)
			got = receive(link, to, want);
	} else if (!link->wire.dry) {
		got = fetch(link);
		if (got > 0)
			return (int)take_ahead(link, to, want);
	}
	if (got < 0 && errno == EAGAIN)
		BIO_set_retry_read(bio);
	return (int)got;
}

static int
wire_write(BIO *bio, const char *from, int len)
{
	struct link *link = BIO_get_data(bio);
	ssize_t gone;

	BIO_clear_retry_flags(bio);
	do
		gone = send(link->fd, from, (size_t)len, MSG_NOSIGNAL);
	while (gone < 0 && errno == EINTR);
	if (gone < 0 && errno == EAGAIN)
		BIO_set_retry_write(bio);
	return (int)gone;
}

static long
wire_control(BIO *bio, int what, long number, void *pointer)
{
	const struct link *link = BIO_get_data(bio);

	(void)number;
	(void)pointer;
	switch (what) {
	case BIO_CTRL_FLUSH: /* nothing is held back */
		return 1;
	case BIO_CTRL_EOF:
		return link->wire.ended;
	default:
		return 0;
	}
}

static void
make_method(void)
{
	BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "link");

	if (!made)
		return;
	if (BIO_meth_set_read(made, wire_read) == 1 && BIO_meth_set_write(made, wire_write) == 1 &&
	    BIO_meth_set_ctrl(made, wire_control) == 1)
		method = made;
	else
		BIO_meth_free(made);
}

int
link_wire_init(struct link *link)
{
	BIO *bio;

	(void)pthread_once(&once, make_method);
	bio = method ? BIO_new(method) : NULL;
	if (!bio)
		return -ENOMEM;
	BIO_set_data(bio, link);
	BIO_set_init(bio, 1);
	SSL_set_bio(link->ssl, bio, bio);
	return 0;
}

void
link_wire_begin(struct link *link)
{
	link->wire.dry = false;
}

int
link_wire_keep(struct link *link)
{
	struct wire *wire = &link->wire;
	uint8_t *kept = NULL;

	if (wire->ahead.len) {
		kept = malloc(wire->ahead.len);
		if (!kept)
			return -ENOMEM;
		memcpy(kept, wire->ahead.ptr, wire->ahead.len);
		wire->ahead.ptr = kept;
	}
	free(wire->kept);
	wire->kept = kept;
	return 0;
}

void
link_wire_fini(struct link *link)
{
	free(link->wire.kept);
	link->wire.kept = NULL;
	link->wire.ahead = SPAN_EMPTY;
}
