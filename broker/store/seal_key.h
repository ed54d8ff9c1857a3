/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seal: the key with which the broker signs what stands in its journal, and the certificate that says whose key it is.
 *
 * A certificate that may open TLS connections (extended key usage clientAuth or serverAuth) is no seal: an authority that vouches for peers
 * would make each of them able to sign for the broker. Loading reads files and signing calls OpenSSL: never on a loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/statement.h"
#include "codecs/buffer.h"
#include "codecs/span.h"

struct seal_key;

enum {
	SEAL_KEY_INVALID = 1, /* the report holds one line per error: which file, what is wrong */
};

/*
 * The key in ${key_path} and its certificate, with those that vouch for it, in ${certificate_path}, both PEM. The certificate must be the key's, an
 * EC or RSA (2048 bits at least) one, for signatures, and its time must have come; that it has passed is found when it is to sign. 0 (seal_key_free is owed), SEAL_KEY_INVALID,
 * -errno.
 */
int seal_key_load(struct seal_key **keyp, const char *certificate_path, const char *key_path,
    struct buffer *errors) __attribute__((warn_unused_result));
void seal_key_free(struct seal_key *key);

struct config_journal;

/* The same by a configuration: *${keyp} is NULL when it names none. */
int seal_key_configured(struct seal_key **keyp, const struct config_journal *config, struct buffer *errors)
    __attribute__((warn_unused_result));

/* What is told of a certificate: names in RFC 2253 form, cut. */
struct seal_names {
	char subject[256], issuer[256];
	char serial[64];	       /* hex */
	int64_t not_before, not_after; /* Unix seconds */
};
const struct seal_names *seal_key_names(const struct seal_key *key);

/*
 * Sign ${statement}, of which algorithm and certificates are filled in here, and append the facts of a RECORD_SIGNED to ${facts}.
 * 0, -EIO (OpenSSL refuses) or -ENOMEM.
 */
int seal_key_sign(const struct seal_key *key, struct statement *statement, struct buffer *facts)
    __attribute__((warn_unused_result));

/* Whether the signature in ${facts} is that of its first certificate over its statement. */
bool seal_signed(const struct statement_facts *facts) __attribute__((warn_unused_result));

/* The names of a certificate (DER); false when it is none. */
bool seal_names(struct span der, struct seal_names *names) __attribute__((warn_unused_result));

/* Authorities that a verifier trusts. */
struct seal_trust;

/* All certificates of the PEM file ${path}. 0, SEAL_KEY_INVALID or -errno. */
int seal_trust_load(struct seal_trust **trustp, const char *path, struct buffer *errors)
    __attribute__((warn_unused_result));
void seal_trust_free(struct seal_trust *trust);

/*
 * Whether ${trust} vouches for the seal of ${facts}: its certificates lead to one of the authorities, all of them valid at the time of the
 * statement, and the first may sign and is a seal's. NULL: yes; else why not. Revocation is not looked at.
 */
const char *seal_trust_check(const struct seal_trust *trust, const struct statement_facts *facts);
