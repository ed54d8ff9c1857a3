/* SPDX-License-Identifier: Apache-2.0 */
/* What tls.c and tls_refusal.c share: the note of what verification disliked. Nobody else includes this. */
#pragma once

#include <openssl/x509.h>

/* Once per process: the slot of an SSL that holds the note. */
int tls_verify_ready(void) __attribute__((warn_unused_result));

/* The verify callback: keeps the first error and its certificate with the SSL, changes no verdict. */
int tls_verify_note(int ok, X509_STORE_CTX *store);
