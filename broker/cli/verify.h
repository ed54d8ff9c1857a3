/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a proof, as `show --proof` makes it. */
#pragma once

#include "broker/cli/cli.h"

/* Ask ${request} (taken), and write the proof that comes to ${path}: the exit status. */
int verify_make_proof(const struct cli *cli, json_t *request, const char *path)
    __attribute__((warn_unused_result));
