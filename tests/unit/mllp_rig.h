/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HL7 door over a link, an intake and workers that only remember, with an account of memory that must be empty at each test's end.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/base/budget.h"
#include "broker/doors/mllp.h"
#include "broker/doors/slots.h"
#include "codecs/buffer.h"
#include "fake_intake.h"
#include "fake_link.h"

#define MESSAGE(id) "\vMSH|^~\\&|LIS|CHU|DUI|EHPAD|20251121||ORU^R01|" id "|P|2.5\rPID|1\r\x1c\r"

extern struct config_peer peer_config;
extern struct peer peer;
extern struct config config;
extern struct slots slots; /* one */
extern struct budget budget;
extern bool turn_asked; /* of the loop, by the budget */
extern struct mllp_door *door;
extern struct link link_;

/* Before and after each test: everything as new, one link open; at the end all is decided and given back. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* A link that knows what was changed of its peer. */
void reopen(void);

/* One frame of ${size} bytes of content with the control id BIG. The caller frees it. */
struct buffer big(size_t size);
