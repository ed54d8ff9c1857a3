/* SPDX-License-Identifier: Apache-2.0 */
/* See statement.h. */
#include "broker/store/statement.h"

#include <string.h>

#include "broker/store/bytes.h"

#define MAGIC	  "LIAISONS"
#define MAGIC_LEN 8
#define VERSION	  1

enum {
	AT_VERSION = 8,
	AT_ALGORITHM = 12,
	AT_TIME = 16,
	AT_SEGMENT = 24,
	AT_ZERO = 28,
	AT_SEGMENT_ID = 32,
	AT_FROM = 48,
	AT_TO = 56,
	AT_COUNT = 64,
	AT_ZERO_TOO = 72,
	AT_CHAIN_FROM = 80,
	AT_CHAIN_TO = 112,
	AT_ROOT = 144,
	AT_CERTIFICATES = 176,
};

void
statement_encode(const struct statement *statement, uint8_t out[static STATEMENT_SIZE])
{
	memset(out, 0, STATEMENT_SIZE);
	memcpy(out, MAGIC, MAGIC_LEN);
	bytes_put32(out + AT_VERSION, VERSION);
	bytes_put32(out + AT_ALGORITHM, statement->algorithm);
	bytes_put64(out + AT_TIME, statement->time_us);
	bytes_put32(out + AT_SEGMENT, statement->segment);
	memcpy(out + AT_SEGMENT_ID, statement->segment_id, SEGMENT_ID_LEN);
	bytes_put64(out + AT_FROM, statement->from);
	bytes_put64(out + AT_TO, statement->to);
	bytes_put64(out + AT_COUNT, statement->count);
	memcpy(out + AT_CHAIN_FROM, statement->chain_from, DIGEST_SHA256_LEN);
	memcpy(out + AT_CHAIN_TO, statement->chain_to, DIGEST_SHA256_LEN);
	memcpy(out + AT_ROOT, statement->root, DIGEST_SHA256_LEN);
	memcpy(out + AT_CERTIFICATES, statement->certificates_sha256, DIGEST_SHA256_LEN);
}

static bool
statement_decode(const uint8_t *in, struct statement *statement)
{
	if (memcmp(in, MAGIC, MAGIC_LEN) != 0 || bytes_get32(in + AT_VERSION) != VERSION ||
	    bytes_get32(in + AT_ZERO) != 0 || bytes_get64(in + AT_ZERO_TOO) != 0)
		return false;
	statement->algorithm = bytes_get32(in + AT_ALGORITHM);
	statement->time_us = bytes_get64(in + AT_TIME);
	statement->segment = bytes_get32(in + AT_SEGMENT);
	memcpy(statement->segment_id, in + AT_SEGMENT_ID, SEGMENT_ID_LEN);
	statement->from = bytes_get64(in + AT_FROM);
	statement->to = bytes_get64(in + AT_TO);
	statement->count = bytes_get64(in + AT_COUNT);
	memcpy(statement->chain_from, in + AT_CHAIN_FROM, DIGEST_SHA256_LEN);
	memcpy(statement->chain_to, in + AT_CHAIN_TO, DIGEST_SHA256_LEN);
	memcpy(statement->root, in + AT_ROOT, DIGEST_SHA256_LEN);
	memcpy(statement->certificates_sha256, in + AT_CERTIFICATES, DIGEST_SHA256_LEN);
	return statement->count > 0 && statement->from < statement->to;
}

static void
put_length(struct buffer *out, size_t len)
{
	uint8_t bytes[4];

	bytes_put32(bytes, (uint32_t)len);
	buffer_append(out, bytes, sizeof bytes);
}

void
statement_certificate_add(struct buffer *certificates, struct span der)
{
	put_length(certificates, der.len);
	buffer_append_span(certificates, der);
}

void
statement_facts_encode(struct buffer *out, const uint8_t encoded[static STATEMENT_SIZE],
    struct span signature, struct span certificates)
{
	buffer_append(out, encoded, STATEMENT_SIZE);
	put_length(out, signature.len);
	buffer_append_span(out, signature);
	buffer_append_span(out, certificates);
}

/* Cut a length and so many bytes off ${rest}. */
static bool
take(struct span *rest, size_t max, struct span *part)
{
	size_t len;

	if (rest->len < 4)
		return false;
	len = bytes_get32(rest->ptr);
	if (len == 0 || len > max || len > rest->len - 4)
		return false;
	*part = span_cut(*rest, 4, 4 + len);
	*rest = span_cut(*rest, 4 + len, rest->len);
	return true;
}

bool
statement_facts_decode(struct span facts, struct statement_facts *out)
{
	uint8_t digest[DIGEST_SHA256_LEN];
	struct span rest = span_cut(facts, STATEMENT_SIZE, facts.len);

	if (facts.len < STATEMENT_SIZE || !statement_decode(facts.ptr, &out->statement))
		return false;
	out->encoded = span_cut(facts, 0, STATEMENT_SIZE);
	if (!take(&rest, STATEMENT_SIGNATURE_MAX, &out->signature))
		return false;
	out->certificates = rest;
	for (out->certificate_count = 0; rest.len; out->certificate_count++)
		if (out->certificate_count == STATEMENT_CERTIFICATES ||
		    !take(&rest, STATEMENT_CERTIFICATE_MAX, &out->certificate[out->certificate_count]))
			return false;
	return out->certificate_count > 0 && digest_sha256(out->certificates, digest) == 0 &&
	       memcmp(digest, out->statement.certificates_sha256, sizeof digest) == 0;
}
