/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the broker signs of its journal, and how it stands in a record (RECORD_SIGNED): the place and the chain values of a run of records, the root of the
 * tree over them, the signature, and the certificates of the key that made it.
 *
 * Pure: no I/O. Layout: conf/doc/journal.md. A statement stays within one segment, and the next one of that segment begins where it ends.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/segment.h"
#include "codecs/buffer.h"
#include "codecs/digest.h"
#include "codecs/span.h"

#define STATEMENT_SIZE		  208
#define STATEMENT_CERTIFICATES	  8 /* the seal's own first, then who vouches for it */
#define STATEMENT_CERTIFICATE_MAX ((size_t)8 << 10)
#define STATEMENT_SIGNATURE_MAX	  1024
#define STATEMENT_FACTS_MAX                                                                                  \
	(STATEMENT_SIZE + 8 + STATEMENT_SIGNATURE_MAX +                                                      \
	    STATEMENT_CERTIFICATES * (4 + STATEMENT_CERTIFICATE_MAX))

enum statement_algorithm {
	STATEMENT_ECDSA_SHA256 = 1, /* the signature in DER, as RFC 3279 2.2.3 has it */
	STATEMENT_RSA_SHA256,	    /* RSASSA-PKCS1-v1_5 */
};

struct statement {
	uint32_t algorithm;
	uint64_t time_us; /* journal time of the signature */
	uint32_t segment; /* number */
	uint8_t segment_id[SEGMENT_ID_LEN];
	uint64_t from, to;		       /* offsets: of the first record, and behind the last */
	uint64_t count;			       /* records between them, the leaves of the tree */
	uint8_t chain_from[DIGEST_SHA256_LEN]; /* before the first record */
	uint8_t chain_to[DIGEST_SHA256_LEN];   /* behind the last */
	uint8_t root[DIGEST_SHA256_LEN];
	uint8_t certificates_sha256[DIGEST_SHA256_LEN]; /* of all that stands behind the signature */
};

/* The facts of a RECORD_SIGNED; spans point into them. */
struct statement_facts {
	struct statement statement;
	struct span encoded; /* the signed bytes */
	struct span signature;
	struct span certificates; /* the run of certificates, each behind its length */
	struct span certificate[STATEMENT_CERTIFICATES];
	size_t certificate_count;
};

void statement_encode(const struct statement *statement, uint8_t out[static STATEMENT_SIZE]);

/* The facts: the encoded statement, the signature, the run of certificates. */
void statement_facts_encode(struct buffer *out, const uint8_t encoded[static STATEMENT_SIZE],
    struct span signature, struct span certificates);

/* One more certificate (DER) at the end of a run. */
void statement_certificate_add(struct buffer *certificates, struct span der);

/* False when they are no facts of a version we know, or the certificates are not those that the statement names. */
bool statement_facts_decode(struct span facts, struct statement_facts *out)
    __attribute__((warn_unused_result));
