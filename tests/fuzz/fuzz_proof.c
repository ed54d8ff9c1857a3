/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of proofs: any bytes are refused or read without harm; what is read and hangs together is spelled again as it came. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "broker/cli/proof.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char problem[PROOF_PROBLEM];
	struct proof proof;
	struct arena arena;
	struct buffer again;

	arena_init(&arena, (size_t)16 << 20);
	if (proof_decode(span_make(data, size), &arena, &proof, problem) &&
	    proof_check(&proof, NULL, problem)) {
		buffer_init(&again, PROOF_FILE_MAX);
		if (proof_encode(&proof, &again) != 0)
			abort();
		buffer_fini(&again);
	}
	arena_fini(&arena);
	return 0;
}
