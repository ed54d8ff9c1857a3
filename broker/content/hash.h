/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 with a context that each thread keeps until it ends: to have libcrypto look the algorithm up and make a context for every
 * message costs a third of what it takes to digest 1 KiB.
 */
#pragma once

#include <stdint.h>

#include "codecs/digest.h"

/* The digest of ${bytes}. 0, or a negative errno and ${out} all zero. On any thread. */
int hash_sha256(struct span bytes, uint8_t out[DIGEST_SHA256_LEN]) __attribute__((warn_unused_result));
