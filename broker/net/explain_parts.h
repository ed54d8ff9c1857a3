/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of explain.h share: explain.c (peers), explain_dial.c, explain_chain.c. Nobody else includes this. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "broker/net/tls.h"
#include "codecs/buffer.h"

/* What to do about ${words} of tls_refusal; never NULL. */
const char *explain_advice(const char *words);

/*
 * The chain that the server of ${ssl} showed, certificate by certificate, and what ${context} has to say against it. How many faults there are; -ENOMEM.
 */
int explain_chain(struct buffer *report, struct tls_context *context, SSL *ssl, const char *server_name,
    int64_t now_s) __attribute__((warn_unused_result));
